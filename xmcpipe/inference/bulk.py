"""Predicts a file of any size, block by block, so that a killed prediction continues where it stopped.

Each block of texts becomes a finished file in a folder beside the output, `.NAME.partial`. When all are
there, they are put together, the result is renamed to the output, and the folder is removed. A block depends
on nothing but its texts, so the bytes of the output are the same however often the prediction was killed.
Only one block of texts and predictions is in memory at a time.
"""

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.artifacts.lock import exclusive
from xmcpipe.data.predictions import PredictionsWriter
from xmcpipe.inference.document import Document
from xmcpipe.inference.outputs import WRITERS
from xmcpipe.inference.selection import Selection
from xmcpipe.inference.text_encoding import is_blank
from xmcpipe.json_file import parse_json
from xmcpipe.progress import progress

if TYPE_CHECKING:
    from xmcpipe.inference.bundle import Bundle

# A block ends at whichever of these is reached first: both bound the memory, and what a killed run loses.
BLOCK_ROWS = 4096
BLOCK_CHARACTERS = 1 << 24
JOB = "job.json"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What to write, and how: the selected labels, `batch_size` texts at a time, into `out` of a `format`.

    `identity` (JSON types) is everything that determines the predictions. A killed prediction is continued
    only if it was of the same identity; with None it never is, because its texts can't be read again.
    """

    out: Path
    format: str
    selection: Selection
    batch_size: int
    identity: Mapping[str, Any] | None

    @property
    def partial(self) -> Path:
        """The folder of finished blocks."""
        return self.out.with_name(f".{self.out.name}.partial")


@dataclass(frozen=True)
class Written:
    """Number of documents written, of those without text, and of those that a killed run had labelled."""

    documents: int
    without_text: int
    continued_from: int


def predict_file(documents: Iterable[Document], bundle: "Bundle", job: Job, total: int | None) -> Written:
    """Label all `documents` (`total` of them, if known) as `job` says, and write its output.

    A document without an id gets its row number, from 0.
    """
    with exclusive(job.partial.with_suffix(".lock"), str(job.out)):
        finished = _begin(job)
        try:
            written = _write_blocks(documents, bundle, job, total, finished)
            unfinished = job.partial / "output"
            WRITERS[job.format](_blocks(job), bundle.labels, unfinished)
            unfinished.replace(job.out)
        except BaseException:
            if job.identity is None:  # nobody could continue it
                shutil.rmtree(job.partial)
            raise
        shutil.rmtree(job.partial)
    return written


def in_blocks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """The documents in blocks that depend on their number and length alone."""
    block: list[Document] = []
    characters = 0
    for document in documents:
        block.append(document)
        characters += len(document.text)
        if len(block) == BLOCK_ROWS or characters >= BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _write_blocks(
    documents: Iterable[Document], bundle: "Bundle", job: Job, total: int | None, finished: int
) -> Written:
    """Write the blocks after the first `finished`, which exist."""
    rows = blank = continued = 0
    with progress("predict", total, "documents", scale=True) as bar:
        for number, block in enumerate(in_blocks(documents)):
            if number < finished:
                continued += len(block)
            else:
                if continued and number == finished:
                    logger.info("continuing %s after %s documents", job.out, f"{continued:,}")
                _write_block(_block(job, number), block, rows, bundle, job)
            rows += len(block)
            blank += sum(is_blank(document.text) for document in block)
            bar.update(len(block))
    return Written(rows, blank, continued)


def _write_block(path: Path, block: list[Document], first_row: int, bundle: "Bundle", job: Job) -> None:
    top = bundle.top([document.text for document in block], job.selection, job.batch_size)
    ids = [str(row) if each.id is None else each.id for row, each in enumerate(block, first_row)]
    unfinished = path.with_suffix(".unfinished")
    with PredictionsWriter(unfinished, top.probabilities is not None) as table:
        table.write(pa.array(ids, pa.string()), *top)
    unfinished.replace(path)


def _begin(job: Job) -> int:
    """Make the folder of blocks ready; returns the number of blocks that a killed run has finished."""
    job_file = job.partial / JOB
    try:
        same = job.identity is not None and parse_json(job_file.read_text("utf-8")) == job.identity
    except (OSError, ValueError):
        same = False
    if not same:
        if job.identity is not None and job.partial.is_dir():
            logger.info("%s: the input, the model or a setting changed: predicting from the start", job.out)
        shutil.rmtree(job.partial, ignore_errors=True)
        job.partial.mkdir()
        job_file.write_text(json.dumps(job.identity), encoding="utf-8")
    finished = 0
    while _is_complete(_block(job, finished)):
        finished += 1
    for path in _blocks(job)[finished:]:  # after one that a crash of the machine has damaged
        path.unlink()
    return finished


def _is_complete(path: Path) -> bool:
    """Whether `path` is a block; its end, which is written last, tells."""
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _block(job: Job, number: int) -> Path:
    return job.partial / f"block-{number:06}.parquet"


def _blocks(job: Job) -> list[Path]:
    return sorted(job.partial.glob("block-*.parquet"))
