"""What to do with documents and labels that make a measurement meaningless, each by a named choice.

`keep` leaves them, `drop` removes them, `refuse` stops with an error that counts them. All are counted
whatever the choice. They are applied in the order in which they stand here, so that a later one sees what an
earlier one left. A label that a document names twice is always merged (truth is a set), and counted.
"""

from dataclasses import dataclass
from typing import Literal

Policy = Literal["keep", "drop", "refuse"]


@dataclass(frozen=True, kw_only=True)
class Policies:
    """The choices of preparation. Documents keep the order of the input."""

    empty_text: Policy = "drop"
    """What to do with a document whose text is empty or blank: "keep", "drop" or "refuse"."""

    no_labels: Policy = "drop"
    """What to do with a document without a label: "keep", "drop" or "refuse". "refuse" applies to documents
    as they were given: those that lose all their labels to other rules are dropped.
    """

    repeated: Policy = "drop"
    """What to do with a document that has the text of an earlier one: "keep", "drop" or "refuse"; "drop"
    keeps the first. A table that will be split is searched before the split, two tables each on its own.
    """

    leaked: Policy = "drop"
    """What to do with a training document that has the text of a test document: "keep", "drop" or "refuse";
    "drop" removes it from training, so that the test split stays what it was.
    """

    unseen: Policy = "keep"
    """What to do with a label of test documents that no training document has: "keep", "drop" or "refuse".
    "drop" removes it from the truth, "keep" counts it as a miss that no model can avoid.
    """

    same_text: Literal["caseless", "exact"] = "caseless"
    """How `repeated` and `leaked` compare texts: "caseless" ignores case and the number of blanks."""

    min_label_count: int = 1
    """Minimum number of training documents of a label: labels with fewer are dropped from both splits. With 2
    or more no label is unseen; 1 leaves that to `unseen`; 0 keeps labels of the label table without
    documents.
    """

    test_every: int = 10
    """Put 1 in N documents into the test split, if one table is split: md5(id) is a multiple of N."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        if self.min_label_count < 0:
            raise ValueError(f"expected min_label_count >= 0, got min_label_count = {self.min_label_count}")
        if self.test_every < 2:
            raise ValueError(f"expected test_every >= 2, got test_every = {self.test_every}")


# Every document and label as it was published, since others' figures are of exactly those.
AS_GIVEN = {
    "empty_text": "keep",
    "no_labels": "keep",
    "repeated": "keep",
    "leaked": "keep",
    "unseen": "keep",
    "min_label_count": 0,
}
