"""Imports files as `xmcpipe import` does, and says what came out of it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from xmcpipe.config import from_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.importing import IMPORT, ImportConfig

KEEP = {"empty_text": "keep", "no_labels": "keep", "repeated": "keep", "leaked": "keep"}


@dataclass(frozen=True)
class Imported:
    """What an import gave: the names of the labels of each document, by its id; or the error.

    `log` has the lines of the log, and `texts` the text of each document.
    """

    labels: dict[str, list[str]]
    texts: dict[str, str]
    vocabulary: dict[str, str | None]
    log: list[str]
    figures: dict[str, Any]
    error: str = ""

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.log if line.startswith("warning: ")]


@contextmanager
def logged() -> Iterator[list[str]]:
    """The lines that xmcpipe logs in the meantime."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, handler = logging.getLogger("xmcpipe"), Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def imported(folder: Path, train: Path, split: int = 0, **table: Any) -> Imported:
    """Import the table `train` with the keys `table`; `folder` takes the artifact.

    The table is both splits or, with `split`, 1 in so many documents is in the test split.
    """
    test: dict[str, Any] = {"test_every": split} if split else {"test": str(train)}
    number = len(list(folder.glob("raw*")))
    out, scratch = folder / f"raw{number}", folder / f"scratch{number}"
    out.mkdir()
    scratch.mkdir()
    config = from_table(ImportConfig, {**KEEP, "train": str(train), **test, **table}, "import")
    with logged() as log:
        try:
            result = IMPORT.run(config, {}, out, scratch)
        except XmcpipeError as error:
            return Imported({}, {}, {}, log, {}, str(error))
    names = pl.read_parquet(out / "labels.parquet")
    splits = ("train",) if not split else ("train", "test")
    documents = pl.concat(pl.read_parquet(out / f"{split}.parquet") for split in splits)
    labels = {
        row["id"]: sorted(names["label"][code] for code in row["labels"])
        for row in documents.iter_rows(named=True)
    }
    texts = dict(documents.select("id", "text").iter_rows())
    return Imported(labels, texts, dict(names.iter_rows()), log, result.figures)
