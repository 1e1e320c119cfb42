"""Finds labels that two files spell in two ways: they count as two labels, so that hits are missed."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from xmcpipe.data.label_lists.label_names import shown
from xmcpipe.data.label_lists.lists import LabelLists
from xmcpipe.data.strings.spellings import plain_names
from xmcpipe.lookalikes.spelling import spelt_otherwise

MOST_NAMES = 20_000  # of which other spellings are sought


def doubts_about_spelling(first: LabelLists, others: Sequence[LabelLists]) -> Iterator[str]:
    """A sentence if names of the first that none of the others has are spelt otherwise in one of them."""
    if first.names is None:
        return
    named = [lists for lists in others if lists.names is not None]
    names = pc.unique(first.names)
    for lists in named:
        names = names.filter(pc.invert(pc.is_in(names, value_set=lists.names)))
    names = names.slice(0, MOST_NAMES)
    if not len(names):
        return
    plain = plain_names(names.cast(pa.string()))
    for lists in named:
        known = lists.names
        assert known is not None
        found = pc.index_in(plain, value_set=plain_names(known.cast(pa.string())))
        if found.null_count < len(found):
            one = names.filter(found.is_valid())[0]
            two = known[found.drop_null()[0].as_py()]
            number = len(found) - found.null_count
            yield spelt_otherwise(first.source, number, lists.source, shown(one), shown(two))
            return
