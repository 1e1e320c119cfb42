"""What memory depends on, except the configuration: the shape of the data, and that of one step's batch."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class BatchShape:
    """L labels, C clusters (0: no auxiliary branch), a batch of B rows x S tokens with P positive pairs."""

    labels: int
    clusters: int
    rows: int
    tokens: int
    positives: int


@dataclass(frozen=True)
class DataShape:
    """The shape of a dataset; 0 means unknown.

    `labels` L, `documents` N, `tokens` of the longest document, `positives` labels of a document on average,
    `clusters` C, `label_texts` that are training documents in addition to the N.
    """

    labels: int = 0
    documents: int = 0
    tokens: int = 0
    positives: float = 0.0
    clusters: int = 0
    label_texts: int = 0

    def or_else(self, other: "DataShape") -> "DataShape":
        """This shape, with values from `other` for those that are unknown."""
        return DataShape(*(mine or theirs for mine, theirs in zip(*map(_values, (self, other)), strict=True)))

    @property
    def rows(self) -> int:
        """Documents that are trained on, including the validation split; 0 if N is unknown."""
        return self.documents + self.label_texts if self.documents else 0

    @property
    def positives_per_row(self) -> float:
        """Labels of a row on average: a label text has one."""
        if not self.rows:
            return self.positives
        return (self.documents * self.positives + self.label_texts) / self.rows


def _values(shape: DataShape) -> tuple[Any, ...]:
    return tuple(getattr(shape, field.name) for field in fields(shape))
