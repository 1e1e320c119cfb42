"""Finds pairs to exclude whose labels are of another vocabulary: they would exclude nothing, in silence."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.misread.doubts import examples


def doubts_about_excluded(
    pairs: Any, predictions: Sequence[Any], truth: Any, num_labels: int, names: Any
) -> Iterator[str]:
    """A sentence if labels of the pairs are in no other input; raises XmcpipeError if none of them is.

    All have labels, by number; those below `num_labels` are known. `names` has the label of each number, None
    if the numbers are ids.
    """
    labels = np.unique(pairs.labels)
    unknown = labels[labels >= num_labels]
    for lists in predictions:
        unknown = np.setdiff1d(unknown, lists.labels)
    if not len(unknown):
        return
    what, other = (str(getattr(lists, "source", None) or lists.what) for lists in (pairs, truth))
    if len(unknown) == len(labels):
        raise XmcpipeError(
            f"none of the {len(labels):,} labels of {what} is in truth, training or the best predictions: "
            f"{what} has {examples(labels, names)}, and {other} has {examples(truth.labels, names)}",
            "use one vocabulary for all; if the pairs are right, they exclude nothing: omit them",
        )
    yield (
        f"{len(unknown):,} of {len(labels):,} labels of {what} are in neither truth, training nor the best "
        f"predictions, such as {examples(unknown, names)}: their pairs exclude nothing"
    )
