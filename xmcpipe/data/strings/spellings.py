"""Makes names and numbers in Arrow arrays alike that programs write in two ways (lookalikes/spelling.py)."""

import html
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from xmcpipe.lookalikes.spelling import HTML, PLAINER, UNSEEN, WHOLE_FLOAT, Steps

Strings = TypeVar("Strings", pa.Array, pa.ChunkedArray)


def plain_names(names: pa.Array) -> pa.Array:
    """The names, string [n], without what programs change: `xmcpipe.lookalikes.spelling.plain` of each."""
    marked = pc.match_substring_regex(names, HTML)
    if pc.any(marked, min_count=0).as_py():
        unescaped = pa.array([html.unescape(name) for name in names.filter(marked).to_pylist()], names.type)
        names = pc.replace_with_mask(names, marked, unescaped)
    return _changed(pc.utf8_lower(pc.utf8_normalize(names, "NFKC")), PLAINER)


def seen_names(names: pa.Array) -> pa.Array:
    """The names, string [n], as one sees them: without what has no width, and with one kind of blank."""
    return _changed(pc.utf8_normalize(names, "NFC"), UNSEEN)


def without_point(values: Strings) -> Strings:
    """The values; if all are whole numbers written as floats, 12.0, they lose their `.0`."""
    if not len(values) or not pc.all(pc.match_substring_regex(values, WHOLE_FLOAT)).as_py():
        return values
    return pc.replace_substring_regex(values, WHOLE_FLOAT, r"\1")


def _changed(names: pa.Array, steps: Steps) -> pa.Array:
    for pattern, replacement in steps:
        names = pc.replace_substring_regex(names, pattern, replacement)
    return names
