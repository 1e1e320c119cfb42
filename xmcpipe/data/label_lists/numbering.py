"""A common numbering of the labels of several label lists.

Files may hold label ids or names, and each file of names numbers them in its own way. `common_vocabulary`
gives all lists one numbering, by names if there are any, else by the ids of a vocabulary, else by value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xmcpipe.data.label_lists.lists import Ints, LabelLists
from xmcpipe.errors import XmcpipeError

OCCURRING = "the labels that truth and training have"  # a value in metrics.json, so it must not change
# Ids below this limit are looked up in a table of at most 80 MB; larger ones in a hash table, which takes 4
# times as long.
LOOKUP_TABLE_IDS = 1 << 24
WHOLE = "^(0|[1-9][0-9]{0,17})$"


@dataclass(frozen=True)
class CommonVocabulary:
    """Label lists with a common numbering, and without names.

    Labels from `num_labels` on occur only in the `others` (predictions, filter pairs). They don't count, so
    that two systems are measured over the same labels. `origin` describes, for the user, where `num_labels`
    comes from. `labels` has the name or the id of each number; None if the numbers are the ids.
    """

    others: list[LabelLists]
    truth: LabelLists
    train: LabelLists | None
    num_labels: int
    origin: str
    labels: pa.Array | Ints | None = None


def common_vocabulary(
    others: Sequence[LabelLists], truth: LabelLists, train: LabelLists | None
) -> CommonVocabulary:
    """Give all lists a common numbering; `others` are predictions and filter pairs.

    If there is a vocabulary or a matrix, its ids keep their values, and `num_labels` is its size. Names are
    numbered by the vocabulary; names that are not in it follow, sorted. Without a vocabulary or a matrix, the
    labels of truth and training are sorted (ids by value, names as UTF-8) and numbered. The numbering then
    doesn't depend on the order in the files, and neither do ties, which are broken by (-score, label id).

    Raises XmcpipeError if some files have names and others ids, and no vocabulary relates them.
    """
    known = [truth] if train is None else [truth, train]
    every = with_one_type([*others, *known])
    if any(lists.names is not None for lists in every):
        parts, num_labels, origin, labels = _by_name(every, every[len(others) :])
    elif any(lists.width is not None for lists in every):
        parts, num_labels, origin, labels = every, _one_width(every), "the vocabulary", None
    else:
        parts, num_labels, origin, labels = _by_value(every, every[len(others) :])
    after = len(others)
    trained = None if train is None else parts[after + 1]
    return CommonVocabulary(parts[:after], parts[after], trained, num_labels, origin, labels)


def with_one_type(every: Sequence[LabelLists]) -> list[LabelLists]:
    """The lists; whole numbers in text become names if another file has names, and no vocabulary ids.

    Text doesn't say whether 12 is an id or the name "12".
    """
    named = any(lists.names is not None for lists in every)
    if not named or any(lists.names is not None and lists.width is not None for lists in every):
        return list(every)
    return [_as_names(lists) if lists.untyped and lists.names is None else lists for lists in every]


def _as_names(lists: LabelLists) -> LabelLists:
    values, numbers = np.unique(lists.labels, return_inverse=True)
    names = pa.array(values.astype(str).tolist(), pa.string())
    return replace(lists, labels=numbers.astype(np.int32), names=names)


def _by_name(every: list[LabelLists], known: list[LabelLists]) -> tuple[list[LabelLists], int, str, pa.Array]:
    """Number labels by their names, which come last in the result.

    `known` (truth and training) are those of `every` that count.
    """
    vocabularies = [
        (lists.source, lists.names) for lists in every if lists.names is not None and lists.width is not None
    ]
    for lists in every:
        if lists.names is None:
            _require_ids_of(lists, vocabularies)
    fixed = vocabularies[0][1] if vocabularies else pa.array([], pa.string())
    counted = _extended(fixed, known)
    names = _extended(counted, every)  # labels that only the predictions have come last
    if not vocabularies:
        origin = OCCURRING
    else:
        origin = "the vocabulary" if len(counted) == len(fixed) else f"the vocabulary and {OCCURRING}"
    return [_renumbered(lists, names) for lists in every], len(counted), origin, names


def _require_ids_of(lists: LabelLists, vocabularies: list[tuple[str, pa.Array]]) -> None:
    """Raise XmcpipeError for lists of ids among lists of names, unless there is exactly one vocabulary."""
    if not vocabularies or any(not names.equals(vocabularies[0][1]) for _, names in vocabularies[1:]):
        raise XmcpipeError(
            f"{lists.source}: expected label names as in another file, got label ids",
            "give both as names, or name the artifact's folder, which holds its vocabulary",
        )
    source, names = vocabularies[0]
    if lists.width not in (None, len(names)):
        raise _other_width(source, len(names), lists)
    _require_below(lists, len(names), source)


def _other_width(source: str, width: int, lists: LabelLists, rows: int | None = None) -> XmcpipeError:
    """The error for a number of labels that is not that of `source`, which has `rows` rows."""
    return XmcpipeError(
        f"{lists.source}: expected {width:,} labels as in {source}, got {lists.width:,}",
        "is one of them transposed? Give a row for each document, a column for each label"
        if width == len(lists) or lists.width == rows
        else "give files of the same vocabulary",
    )


def _extended(names: pa.Array, group: Sequence[LabelLists]) -> pa.Array:
    """`names`, followed by the other names of the group, sorted."""
    others = [lists.names for lists in group if lists.names is not None and not lists.names.equals(names)]
    new = [other.filter(pc.invert(pc.is_in(other, value_set=names))) for other in others]
    added = pc.unique(pa.chunked_array(new, pa.string()))
    return pa.concat_arrays([names, added.take(pc.sort_indices(added))]) if len(added) else names


def _renumbered(lists: LabelLists, names: pa.Array) -> LabelLists:
    """The lists with labels as positions in `names`, and without names of their own."""
    if lists.names is None or lists.names.equals(names.slice(0, len(lists.names))):
        return replace(lists, names=None)
    numbers = pc.index_in(lists.names, value_set=names).to_numpy()
    return replace(lists, labels=numbers[lists.labels], names=None)


def _one_width(every: list[LabelLists]) -> int:
    """The number of labels that the sources state. Raises XmcpipeError if they or the label ids disagree."""
    fixed = next(lists for lists in every if lists.width is not None)
    width = fixed.width or 0
    for lists in every:
        if lists.width not in (None, width):
            raise _other_width(fixed.source, width, lists, len(fixed))
        _require_below(lists, width, fixed.source)
    return width


def _require_below(lists: LabelLists, width: int, source: str) -> None:
    largest = int(lists.labels.max(initial=-1))
    if largest >= width:
        way_out = "give files of the same vocabulary"
        if width == len(lists):
            way_out = f"is {source} transposed? Give a row for each document, a column for each label"
        elif largest == width:
            way_out = "ids begin at 0: are these counted from 1?"
        raise XmcpipeError(
            f"{lists.source}: expected label ids below {width:,} as in {source}, got {largest}", way_out
        )


def _by_value(every: list[LabelLists], known: list[LabelLists]) -> tuple[list[LabelLists], int, str, Ints]:
    """Number integer labels by their order; only labels that occur get a number.

    They come last in the result. The largest label may be far greater than the number of labels that occur.
    """
    end = 1 + max(int(lists.labels.max(initial=-1)) for lists in every)
    values = _distinct(known, end)
    # Labels that occur only in predictions or filter pairs come last: they don't count as labels.
    ordered = np.concatenate([values, np.setdiff1d(_distinct(every, end), values, assume_unique=True)])
    if end <= LOOKUP_TABLE_IDS:
        number = np.empty(end, np.int32)
        number[ordered] = np.arange(len(ordered), dtype=np.int32)
        parts = [replace(lists, labels=number[lists.labels]) for lists in every]
    else:
        parts = [replace(lists, labels=_positions(lists, ordered)) for lists in every]
    return parts, len(values), OCCURRING, ordered


def with_small_ids(lists: LabelLists) -> tuple[LabelLists, Ints | None]:
    """The lists with labels that are small enough to index an array, and the original value of each label.

    The values are None if nothing changed, because labels are small or are ids of a vocabulary.
    """
    end = 1 + int(lists.labels.max(initial=-1))
    if lists.names is not None or lists.width is not None or end <= LOOKUP_TABLE_IDS:
        return lists, None
    values = _distinct([lists], end)
    return replace(lists, labels=_positions(lists, values)), values


def with_numbers(lists: LabelLists) -> LabelLists:
    """The lists with ids instead of names if all names are whole numbers; they are then `untyped`.

    A name such as 007 is no number.
    """
    if lists.names is None or not pc.all(pc.match_substring_regex(lists.names, WHOLE), min_count=0).as_py():
        return lists
    ids = lists.names.cast(pa.int64()).to_numpy()
    return replace(lists, labels=ids[lists.labels], names=None, untyped=True)


def _positions(lists: LabelLists, values: Ints) -> Ints:
    return np.asarray(pc.index_in(pa.array(lists.labels), value_set=pa.array(values)).to_numpy())


def _distinct(group: list[LabelLists], end: int) -> Ints:
    """The labels that occur in any of the lists, ascending; all are below `end`."""
    if end <= LOOKUP_TABLE_IDS:
        seen = np.zeros(end, bool)
        for lists in group:
            seen[lists.labels] = True
        return np.flatnonzero(seen)
    # pyarrow hashes the labels without a copy; NumPy would sort a copy of all of them.
    return np.unique(np.concatenate([pc.unique(pa.array(lists.labels)).to_numpy() for lists in group]))
