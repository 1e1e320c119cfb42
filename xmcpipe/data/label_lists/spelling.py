"""Finds labels that two files spell in two ways: they count as two labels, so that hits are missed.

Names are compared without what programs change: upper case, blanks of all kinds, `_` and `-` for a blank,
`<…>` and quotes around a name, the prefix of fastText, HTML (`&amp;`), zeros before a number and `.0` behind.
"""

import html
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from xmcpipe.data.label_lists.label_names import shown
from xmcpipe.data.label_lists.lists import LabelLists

MOST_NAMES = 20_000  # of which other spellings are sought
HTML = r"&(#\w+|\w+);"
PLAINER = (  # after lower case and NFKC, which makes a blank of one that doesn't break
    (r"^\s*(__label__|[<'\"]+)(.+)$", r"\2"),
    (r"^(.+?)[>'\"]+\s*$", r"\1"),
    (r"[\s_\x{200B}\x{FEFF}\x{00AD}\p{Pd}]+", " "),
    (r"^ | $", ""),
    (r"(^|[^0-9.])0+([0-9])", r"\1\2"),
    (r"^([0-9]+)\.0$", r"\1"),
)


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
    plain = _plain(names)
    for lists in named:
        known = lists.names
        assert known is not None
        found = pc.index_in(plain, value_set=_plain(known))
        if found.null_count < len(found):
            one = names.filter(found.is_valid())[0]
            two = known[found.drop_null()[0].as_py()]
            yield (
                f"{first.source}: {len(found) - found.null_count:,} labels are spelt otherwise in "
                f"{lists.source}, such as {shown(one)} for {shown(two)}: they count as other labels"
            )
            return


def _plain(names: pa.Array) -> pa.Array:
    """The names without what programs change."""
    names = names.cast(pa.string())
    marked = pc.match_substring_regex(names, HTML)
    if pc.any(marked, min_count=0).as_py():
        unescaped = pa.array([html.unescape(name) for name in names.filter(marked).to_pylist()], pa.string())
        names = pc.replace_with_mask(names, marked, unescaped)
    names = pc.utf8_lower(pc.utf8_normalize(names, "NFKC"))
    for pattern, replacement in PLAINER:
        names = pc.replace_substring_regex(names, pattern, replacement)
    return names
