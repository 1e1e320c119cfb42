"""The shapes on which memory depends, next to the configuration: that of the data, and that of one batch."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class BatchShape:
    """The sizes of a training batch.

    L labels, C clusters (0: no auxiliary branch), B rows, S tokens, P positive pairs.
    """

    labels: int
    clusters: int
    rows: int
    tokens: int
    """Tokens of the longest document; shorter ones are padded."""
    positives: int
    """Number of (row, label) pairs in the batch."""
    words: int = 0
    """Number of different words in the batch, of those that the model knows; 0 if it reads none."""
    terms: float = 0.0
    """Mean number of words of a document, of those that the model knows; 0 if it reads none."""
    piece_length: int = 0
    """Number of tokens after which a longer document is cut; 0 if each is read as a whole."""


@dataclass(frozen=True)
class DataShape:
    """The shape of a dataset; 0 means unknown.

    `labels`: L. `documents`: N. `tokens`: of the longest document. `positives`: mean number of labels of a
    document. `clusters`: C. `label_texts`: training documents in addition to N, each with one label. `terms`:
    mean number of different terms of a document. `piece_length`: tokens of a piece of a longer document.
    """

    labels: int = 0
    documents: int = 0
    tokens: int = 0
    positives: float = 0.0
    clusters: int = 0
    label_texts: int = 0
    terms: float = 0.0
    piece_length: int = 0

    def or_else(self, other: "DataShape") -> "DataShape":
        """This shape, with values from `other` for those that are unknown."""
        values = zip(*map(_values, (self, other)), strict=True)
        return DataShape(*(known or fallback for known, fallback in values))

    @property
    def rows(self) -> int:
        """Number of training documents, including the validation split; 0 if N is unknown."""
        return self.documents + self.label_texts if self.documents else 0

    @property
    def positives_per_row(self) -> float:
        """Mean number of labels of a row; a label text has one."""
        if not self.rows:
            return self.positives
        return (self.documents * self.positives + self.label_texts) / self.rows


def _values(shape: DataShape) -> tuple[Any, ...]:
    return tuple(getattr(shape, field.name) for field in fields(shape))
