"""What to do with documents and labels that make an evaluation meaningless: one named choice for each case.

`keep` leaves them, `drop` removes them, `refuse` stops with an error that counts them. All are counted
whatever the choice. Policies are applied in the order of the fields below, so that a later one sees what an
earlier one left. A label that a document names twice is always merged (the truth is a set), and counted.
"""

from dataclasses import dataclass
from typing import Literal

Policy = Literal["keep", "drop", "refuse"]


@dataclass(frozen=True, kw_only=True)
class Policies:
    """The choices of preparation. Documents keep the order of the input."""

    empty_text: Policy = "drop"
    """What to do with documents whose text is empty or blank: keep, drop or refuse."""

    no_labels: Policy = "drop"
    """What to do with documents without a label: keep, drop or refuse.

    `refuse` looks at documents as they were read: those that lose all their labels to the policies below are
    dropped under `refuse` as under `drop`.
    """

    repeated: Policy = "drop"
    """What to do with documents that have the text of an earlier one: keep, drop or refuse.

    `drop` keeps the first. One table that is to be split is searched before the split; with two tables, each
    is searched by itself.
    """

    leaked: Policy = "drop"
    """What to do with training documents that have the text of a test document: keep, drop or refuse.

    `drop` removes them from training, so that the test split stays unchanged.
    """

    unseen: Policy = "keep"
    """What to do with labels of test documents that no training document has: keep, drop or refuse.

    `drop` removes them from the truth, `keep` counts each as a miss that the model can't avoid.
    """

    same_text: Literal["caseless", "exact"] = "caseless"
    """How `repeated` and `leaked` compare texts: `exact`, or `caseless` with runs of blanks as one."""

    min_label_count: int = 1
    """Labels with fewer training documents than this are dropped from both splits.

    So 2 or more leave no unseen label, 1 lets `unseen` decide, and 0 also keeps labels of the label table
    that no document has.
    """

    test_every: int = 10
    """Put 1 in this many documents into the test split, if there is only one table.

    A document is in the test split if md5(id) is a multiple of this number.
    """

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        if self.min_label_count < 0:
            raise ValueError(f"expected min_label_count >= 0, got min_label_count = {self.min_label_count}")
        if self.test_every < 2:
            raise ValueError(f"expected test_every >= 2, got test_every = {self.test_every}")


# Keeps every document and label as published, since published figures hold for exactly those.
AS_GIVEN = {
    "empty_text": "keep",
    "no_labels": "keep",
    "repeated": "keep",
    "leaked": "keep",
    "unseen": "keep",
    "min_label_count": 0,
}
