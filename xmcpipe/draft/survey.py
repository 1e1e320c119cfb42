"""What the user's files hold, counted by the same code that imports them."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.importing import IMPORT, ImportConfig

SAMPLE = 5000  # training texts whose lengths are measured
FREQUENT = 50  # training documents of a label that may have a head of its own
TOKENS_A_WORD = 1.4  # if the encoder's tokenizer can't be loaded


@dataclass(frozen=True)
class Survey:
    """Counts after the policies of the import.

    `figures` are those of the raw artifact. `documents` and `test`: rows of both splits; `labels`: L.
    `singles`: labels with one training document; `frequent`: those with `FREQUENT` or more. `tokens_median`,
    `tokens_95`, `tokens_max`: lengths of a sample of the training texts, in tokens of the encoder with its
    special tokens; `tokens_estimated` if they are estimated from the number of words.
    """

    figures: dict[str, Any]
    documents: int
    test: int
    labels: int
    labels_a_document: float
    singles: int
    frequent: int
    tokens_median: int
    tokens_95: int
    tokens_max: int
    tokens_estimated: bool


@contextmanager
def quiet_import() -> Iterator[None]:
    """Don't log the counts of an import whose caller shows them itself, or runs it twice."""
    logger = logging.getLogger("xmcpipe.data.raw.writing")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def survey(config: ImportConfig, encoder: str) -> Survey:
    """Import the files into a temporary folder, and look at the result.

    Raises the errors of the import, and XmcpipeError for data without a training document or a label.
    """
    with tempfile.TemporaryDirectory(prefix="xmcpipe-init-") as name:
        out, scratch = Path(name, "raw"), Path(name, "scratch")
        out.mkdir()
        scratch.mkdir()
        figures = IMPORT.run(config, {}, out, scratch).figures
        if not figures["train"] or not figures["labels"]:
            raise XmcpipeError(
                f"expected training documents with labels, got {figures['train']:,} documents and "
                f"{figures['labels']:,} labels",
                "check --text-column, --labels-column and --label-separator",
            )
        counts_L = _label_counts(out)
        lengths, estimated = _token_lengths(_sample(out, figures["train"]), encoder)
        return Survey(
            figures=figures,
            documents=figures["train"],
            test=figures["test"],
            labels=figures["labels"],
            labels_a_document=figures["labels_a_document"],
            singles=int((counts_L == 1).sum()),
            frequent=int((counts_L >= FREQUENT).sum()),
            tokens_median=lengths[len(lengths) // 2],
            tokens_95=lengths[int(0.95 * (len(lengths) - 1))],
            tokens_max=lengths[-1],
            tokens_estimated=estimated,
        )


def _sample(raw: Path, documents: int) -> list[str]:
    """The texts of every n-th training document, SAMPLE at most."""
    from xmcpipe.data.raw.writing import read_documents

    def texts() -> Iterator[str]:
        for batch in read_documents(raw, "train"):
            yield from batch.column("text").to_pylist()

    return list(islice(texts(), 0, None, -(-documents // SAMPLE)))


def _token_lengths(texts: list[str], encoder: str) -> tuple[list[int], bool]:
    """The sorted lengths in tokens, and whether they are estimated, because there is no tokenizer here."""
    from xmcpipe.modeling.encoder import load_tokenizer

    try:
        tokenizer = load_tokenizer(encoder)
    except XmcpipeError:
        return sorted(round(TOKENS_A_WORD * len(text.split())) + 2 for text in texts), True
    encoded = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    return sorted(len(ids) for ids in encoded), False


def _label_counts(raw: Path) -> Any:
    """The number of training documents of each label, int64."""
    import numpy as np

    from xmcpipe.data.raw.writing import read_documents

    counts = np.zeros(0, np.int64)
    for batch in read_documents(raw, "train"):
        labels = batch.column("labels").flatten().to_numpy()
        counts = _added(counts, np.bincount(labels, minlength=len(counts)))
    return counts


def _added(counts: Any, more: Any) -> Any:
    more[: len(counts)] += counts
    return more
