"""Finds names of labels that are no names: lists saved as text, several names in one, quotes left over.

What one file joins shows best beside another file, which has the parts.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xmcpipe.data.label_lists.lists import Int64s, Ints, LabelLists
from xmcpipe.errors import XmcpipeError

LISTS = r"(?s)^\s*[\[({].*[\])}]\s*$"
LEFT_OVER = r"""^\s*[\['"(]|[\]'"]\s*$"""  # a bracket or a quote at an end
SEPARATORS = (";", "|", ",", "\t", "\\t", " ")
MOST_NAMES, TENTH = 20_000, 10
LENGTH = 40  # maximum number of characters of a name in a message


def doubts_about_names(source: str, names: pa.Array, labels: Ints, indptr: Int64s) -> tuple[str, ...]:
    """Sentences about names, string [L], that look as if the file was read with a wrong separator.

    `labels` and `indptr` are those of `LabelLists`. Raises XmcpipeError if most names are lists.
    """
    if not len(names):
        return ()
    lists = pc.match_substring_regex(names, LISTS)
    if 2 * _count(lists) > len(names):
        raise XmcpipeError(
            f"{source}: expected a list of labels for each document, got lists that were saved as text, such "
            f"as {_example(names, lists)}",
            "write real lists, or a CSV file, where such text is read as a list",
        )
    ends = pc.match_substring_regex(names, LEFT_OVER)
    if 2 * _count(ends) > len(names):
        return (
            f"{source}: most labels begin or end with a bracket or a quote, such as "
            f"{_example(names, ends)}: was a list split as text?",
        )
    if int(np.diff(indptr).max(initial=0)) != 1:
        return ()
    for separator in SEPARATORS:
        joined = pc.match_substring(names, separator)
        # Names may hold a separator, as in "Smith, John". Joined names mostly do, and repeat their parts.
        if 2 * _count(joined) > len(names) and _parts_repeat(names, separator):
            return (
                f"{source}: no document has more than one label, and most labels hold {separator!r}, such as "
                f"{_example(names, joined)}: are these several labels?",
            )
    return ()


def _parts_repeat(names: pa.Array, separator: str) -> bool:
    """Whether the parts between separators repeat: there are fewer than half as many as all parts."""
    parts = pc.split_pattern(names, separator).flatten()
    return bool(2 * pc.count_distinct(parts).as_py() < len(parts))


def doubts_about_joined_names(first: LabelLists, second: LabelLists) -> Iterator[str]:
    """A sentence if names of the first hold several names of the second, as if it had not been split."""
    if first.names is None or second.names is None:
        return
    names = first.names.slice(0, MOST_NAMES)
    unknown = names.filter(pc.invert(pc.is_in(names, value_set=second.names)))
    for separator in SEPARATORS:
        joined = unknown.filter(pc.match_substring(unknown, separator))
        split = pc.split_pattern(joined, separator)
        parts = pc.utf8_trim_whitespace(split.flatten())
        rows = np.repeat(np.arange(len(joined)), pc.list_value_length(split).to_numpy(zero_copy_only=False))
        others = pc.invert(pc.is_in(parts, value_set=second.names)).to_numpy(zero_copy_only=False)
        whole = np.bincount(rows, others, len(joined)) == 0  # names of which each part is one of the second
        if len(joined) and TENTH * whole.sum() >= len(joined):
            yield (
                f"{first.source}: {int(whole.sum()):,} labels hold {separator!r} between labels of "
                f"{second.source}, such as {_example(joined, pa.array(whole))}: are these several labels?"
            )
            return


def shown(label: Any) -> str:
    """A label in a message: quoted, and cut if it is long."""
    text = label.as_py() if isinstance(label, pa.Scalar) else label
    return repr(text if not isinstance(text, str) or len(text) <= LENGTH else text[:LENGTH] + "…")


def examples(labels: Any, name: Callable[[int], Any]) -> str:
    """The first three labels, each through `name`, for a message."""
    return ", ".join(shown(name(label)) for label in labels[:3])


def _count(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _example(names: pa.Array, mask: pa.Array) -> str:
    return shown(names.filter(mask)[0])
