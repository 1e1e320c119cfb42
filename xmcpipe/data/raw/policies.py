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
    """The choices of preparation. Documents keep the order of the input.

    empty_text: a document whose text is empty or blank.
    no_labels: a document without a label. `refuse` is about documents as they were given: those that lose all
      their labels to the rules below are dropped under `refuse` as under `drop`.
    repeated: a document with the text of an earlier one; `drop` keeps the first. One table that is to be
      split is searched before the split, two tables each by itself.
    leaked: a training document with the text of a test document; `drop` takes it out of training, so that the
      test stays what it was.
    unseen: a label of test documents that no training document has; `drop` takes it out of their truth,
      `keep` counts it as a miss that the model can't avoid.
    same_text: what `repeated` and `leaked` compare: lower case with runs of blanks as one, or exact.
    min_label_count: a label with fewer training documents is dropped from both splits, so 2 and more leave no
      unseen label. 1 leaves `unseen` to decide; 0 also keeps labels of the label table that no document has.
    test_every: one table is split: a document is in the test if md5(id) is a multiple of this (10: a tenth).
    """

    empty_text: Policy = "drop"
    no_labels: Policy = "drop"
    repeated: Policy = "drop"
    leaked: Policy = "drop"
    unseen: Policy = "keep"
    same_text: Literal["caseless", "exact"] = "caseless"
    min_label_count: int = 1
    test_every: int = 10

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        if self.min_label_count < 0:
            raise ValueError(f"min_label_count is {self.min_label_count}, 0 or more was wanted")
        if self.test_every < 2:
            raise ValueError(f"test_every is {self.test_every}, 2 or more was wanted")


# Every document and label as it was published, since others' figures are of exactly those.
AS_GIVEN = {
    "empty_text": "keep",
    "no_labels": "keep",
    "repeated": "keep",
    "leaked": "keep",
    "unseen": "keep",
    "min_label_count": 0,
}
