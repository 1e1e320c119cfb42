"""Policies: what to do with documents and labels that distort an evaluation, one key per case.

`keep` leaves them, `drop` removes them, and `refuse` stops with an error that counts them. They are counted
in any case. Policies are applied in the order of the fields below, each to the documents that the earlier
ones left. A label that a document names twice is always merged, because the truth is a set, and counted.
"""

from dataclasses import dataclass
from typing import Literal

from xmcpipe.config import later

Policy = Literal["keep", "drop", "refuse"]


@dataclass(frozen=True, kw_only=True)
class Policies:
    """The policies of an import or download. Documents keep their order in any case."""

    empty_text: Policy = "drop"
    """What to do with documents whose text is empty or blank: keep, drop or refuse."""

    no_labels: Policy = "drop"
    """What to do with documents without a label: keep, drop or refuse.

    `refuse` applies to documents as they were read. Documents that lose all their labels to the policies
    below are dropped by `refuse`, as by `drop`.
    """

    repeated: Policy = "drop"
    """What to do with documents that have the text of an earlier one: keep, drop or refuse.

    `drop` keeps the first one. A single table is searched before it is split; two tables are searched
    separately.
    """

    leaked: Policy = "drop"
    """What to do with training documents that have the text of a test document: keep, drop or refuse.

    `drop` removes them from the training split; the test split stays unchanged.
    """

    unseen: Policy = "keep"
    """What to do with labels of test documents that no training document has: keep, drop or refuse.

    `drop` removes them from the truth. With `keep`, each counts as a miss, which no model can avoid.
    """

    same_text: Literal["caseless", "exact"] = "caseless"
    """How `repeated` and `leaked` compare texts: `exact`, or `caseless`, which also merges runs of blanks."""

    min_label_count: int = 1
    """Minimum number of training documents of a label: labels with fewer are dropped from both splits.

    With 2 or more, unseen labels are dropped too; with 1, `unseen` decides about them. With 0, labels of the
    label table that no document has are also kept.
    """

    test_every: int = 10
    """Put 1 in this many documents into the test split, if there is only one table."""

    split: Literal["hash", "stratified"] = later("hash")
    """How a single table is divided. With `hash`, a document is in the test split if md5(id) is a multiple of
    test_every, and stays there when documents are added. With `stratified`, labels are divided evenly, and
    every label with two documents or more has one in training.
    """

    split_seed: int = later(0, of="split")
    """Seed of the stratified split."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        if self.min_label_count < 0:
            raise ValueError(f"expected min_label_count >= 0, got min_label_count = {self.min_label_count}")
        if self.test_every < 2:
            raise ValueError(f"expected test_every >= 2, got test_every = {self.test_every}")
        if self.split_seed < 0:
            raise ValueError(f"expected split_seed >= 0, got split_seed = {self.split_seed}")


# Policies for public datasets: keep everything, since published figures are for exactly these documents.
AS_GIVEN = {
    "empty_text": "keep",
    "no_labels": "keep",
    "repeated": "keep",
    "leaked": "keep",
    "unseen": "keep",
    "min_label_count": 0,
}
