"""The labels to add, as files or a program give them: checked against the model before any work begins.

L labels of the model, M new ones, n documents.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NewLabels:
    """M labels: their `names`, and `texts`, None where a label has none.

    `documents` are n texts; `pairs_P2` int64 [P, 2] are the pairs of a document and a label's id: below L for
    a label of the model, and L + m for the new label m. No label is without a text and without a document.
    """

    names: tuple[str, ...]
    texts: tuple[str | None, ...]
    documents: tuple[str, ...]
    pairs_P2: Int64s

    def documents_of(self, num_labels: int) -> list[Int64s]:
        """The documents of each new label, ascending, if the model has `num_labels`."""
        pairs_P2 = np.unique(self.pairs_P2[:, ::-1], axis=0)  # by label, then by document
        bounds = np.searchsorted(pairs_P2[:, 0], num_labels + np.arange(len(self.names) + 1))
        return np.split(pairs_P2[:, 1], bounds)[1:-1]


def new_labels(
    known: Sequence[str],
    names: Sequence[str],
    texts: Sequence[str | None],
    documents: Iterable[tuple[str, Sequence[str]]] | None,
) -> NewLabels:
    """The labels `names` for a model with the labels `known`, with texts and documents (text, label names).

    Blank documents, and labels that are neither new nor known, are left out and counted in the log. Raises
    XmcpipeError for no label, a label without a name, twice or already in the model, and one without both a
    text and a document.
    """
    _require_new(known, names)
    ids = {name: number for number, name in enumerate([*known, *names])}
    kept: list[str] = []
    pairs: list[tuple[int, int]] = []
    blank = unknown = 0
    for text, labels in documents or ():
        if not text.strip():
            blank += 1
            continue
        numbers = sorted({ids[label] for label in labels if label in ids})
        unknown += len(set(labels)) - len(numbers)
        pairs += [(len(kept), number) for number in numbers]
        kept.append(text)
    for count, what in ((blank, "blank documents"), (unknown, "labels that are neither new nor the model's")):
        if count:
            logger.warning("left out: %s %s", f"{count:,}", what)
    stripped = tuple(None if text is None or not text.strip() else text for text in texts)
    found = NewLabels(tuple(names), stripped, tuple(kept), np.array(pairs, np.int64).reshape(-1, 2))
    _require_evidence(found, len(known), documents is not None)
    return found


def _require_new(known: Sequence[str], names: Sequence[str]) -> None:
    if not names:
        raise XmcpipeError("expected labels to add, got none", "name one on each line, or in a column")
    for row, name in enumerate(names, 1):
        if not name.strip():
            raise XmcpipeError(f"expected a name of each label, got a blank one in row {row}", "name it")
    first: dict[str, int] = {}
    for row, name in enumerate(names, 1):
        if name in first:
            raise XmcpipeError(
                f"expected distinct labels, got {name!r} in rows {first[name]} and {row}", "keep one of them"
            )
        first[name] = row
    if old := [name for name in known if name in first]:
        more = f" and {len(old) - 1:,} more" if len(old) > 1 else ""
        raise XmcpipeError(
            f"expected labels that the model doesn't have, got {old[0]!r}{more}", "leave them out"
        )


def _require_evidence(labels: NewLabels, num_labels: int, has_documents: bool) -> None:
    """Raise XmcpipeError for a label without text and documents: nothing would say what it is about."""
    with_documents = set((labels.pairs_P2[:, 1] - num_labels).tolist())
    bare = [
        name
        for number, (name, text) in enumerate(zip(labels.names, labels.texts, strict=True))
        if text is None and number not in with_documents
    ]
    if bare:
        more = f" and {len(bare) - 1:,} more" if len(bare) > 1 else ""
        got = "neither for" if has_documents else "no text and no documents for"
        raise XmcpipeError(
            f"expected a text or documents of each new label, got {got} {bare[0]!r}{more}",
            "describe it in the label table, or give documents that have it",
        )


def ordered_texts(names: Sequence[str], texts: Mapping[str, str] | None) -> list[str | None]:
    """The texts in the order of the names. Raises XmcpipeError for a text of no such label."""
    new = set(names)
    for name in texts or {}:
        if name not in new:
            raise XmcpipeError(f"texts: there is no new label {name!r}", "name it in labels too")
    return [(texts or {}).get(name) for name in names]
