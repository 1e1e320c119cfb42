"""Finds labels of lists in memory that two of the inputs spell in two ways: they count as two labels."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from xmcpipe.lookalikes.spelling import pairs_spelt_otherwise, spelt_otherwise

MOST_NAMES = 20_000  # of which other spellings are sought


def doubts_about_spelling(first: Any, others: Sequence[Any]) -> Iterator[str]:
    """A sentence if names of the first that none of the others has are spelt otherwise in one of them.

    Each has labels, before any numbering, and `what` it is; only labels that are strings have spellings.
    """
    named = [each for each in (first, *others) if each.labels.dtype.kind == "U" and len(each.labels)]
    if len(named) < 2 or named[0] is not first:
        return
    names, *known = (np.unique(each.labels) for each in named)
    unknown = np.setdiff1d(names, np.concatenate(known))[:MOST_NAMES].tolist()
    if not unknown:
        return
    for other, its_names in zip(named[1:], known, strict=True):
        found = pairs_spelt_otherwise(unknown, its_names.tolist())
        if found:
            one, two = found[0]
            yield spelt_otherwise(first.what, len(found), other.what, repr(one), repr(two))
            return
