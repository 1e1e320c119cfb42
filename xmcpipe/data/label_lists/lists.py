"""Lists of labels, one per document: predictions, truth or training labels, from whatever file.

Two things must agree before lists can be compared. Their labels: files may hold ids or names, and two files
of names number them differently, so `common_vocabulary` gives all of them one numbering. Their rows: files
may be in different orders, so `prediction_rows` joins them by document id.

Legend: N documents · P (document, label) pairs · L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from xmcpipe.data.arrays import row_offsets
from xmcpipe.errors import XmcpipeError

Ints = npt.NDArray[np.integer[Any]]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating[Any] | np.integer[Any]]
OCCURRING = "the labels that truth and training have"  # part of metrics.json, so it never changes
# Ids below this are looked up in a table, of at most 80 MB; larger ones by hash, which takes 4 times as long.
LOOKUP_TABLE_IDS = 1 << 24


@dataclass(frozen=True)
class LabelLists:
    """Labels of N documents in CSR: `labels[indptr[n] : indptr[n + 1]]`.

    `ids` string [N], or None if the file has none. `indptr` int64 [N + 1]. `labels` int32 or int64 [P]:
    positions in `names`, if there are names. `scores` [P], or None. `width` is L if the source fixes it (a
    matrix, an artifact with its vocabulary), and None if the source only shows the labels that occur.
    `source` names the file in errors.
    """

    source: str
    ids: pa.ChunkedArray | None
    indptr: Int64s
    labels: Ints
    scores: Scores | None = None
    names: pa.Array | None = None
    width: int | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1


@dataclass(frozen=True)
class CommonVocabulary:
    """Lists with one numbering, and without names.

    Labels from `num_labels` on occur in the `others` only (predictions, filter pairs). They do not count in
    `num_labels`, so that two systems are measured over the same labels. `origin` describes, for the user,
    what determined `num_labels`.
    """

    others: list[LabelLists]
    truth: LabelLists
    train: LabelLists | None
    num_labels: int
    origin: str


def common_vocabulary(
    others: Sequence[LabelLists], truth: LabelLists, train: LabelLists | None
) -> CommonVocabulary:
    """Give all lists one numbering; `others` are predictions and filter pairs.

    Ids of a vocabulary or a matrix keep their values, and `num_labels` is its size. Names are numbered by
    that vocabulary; names outside it follow, sorted. Without either, the labels of truth and training are
    numbered in their own order (ids by value, names as UTF-8), so that ties, broken by (-score, label id), do
    not depend on the files.

    Raises XmcpipeError for ids and names that can't be related to each other.
    """
    known = [truth] if train is None else [truth, train]
    every = [*others, *known]
    if any(lists.names is not None for lists in every):
        parts, num_labels, origin = _by_name(every, known)
    elif any(lists.width is not None for lists in every):
        parts, num_labels, origin = every, _one_width(every), "the vocabulary"
    else:
        parts, num_labels, origin = _by_value(every, known)
    after = len(others)
    trained = None if train is None else parts[after + 1]
    return CommonVocabulary(parts[:after], parts[after], trained, num_labels, origin)


def prediction_rows(predictions: LabelLists, truth: LabelLists) -> tuple[Int64s | None, str]:
    """The row in the predictions of each document of the truth, int64 [N], and what joined them.

    The rows are None if both are in the same order. Lists without ids are joined by row number. Raises
    XmcpipeError for documents that only one of the two has, and for ids that repeat while the order differs.
    """
    if predictions.ids is None or truth.ids is None:
        if len(predictions) != len(truth):
            raise XmcpipeError(
                f"expected as many rows in {predictions.source} as in {truth.source}, "
                f"got {len(predictions):,} and {len(truth):,}; without ids they are joined by row number",
                "give both the same documents in the same order",
            )
        return None, "row number"
    if len(predictions) == len(truth) and predictions.ids.equals(truth.ids):
        return None, "id"
    for lists in (predictions, truth):
        _refuse_repeated_ids(lists)
    rows = pc.index_in(truth.ids, value_set=predictions.ids)
    _refuse_strangers(predictions, truth, rows)
    return np.asarray(rows.to_numpy(), np.int64), "id"


def select_rows(lists: LabelLists, rows: Int64s) -> LabelLists:
    """The given rows in that order, without ids; -1 gives an empty row."""
    lengths = np.where(rows >= 0, np.diff(lists.indptr)[rows], 0)
    indptr = row_offsets(lengths)
    within = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
    source = np.repeat(lists.indptr[:-1][rows], lengths) + within
    scores = None if lists.scores is None else lists.scores[source]
    return replace(lists, ids=None, indptr=indptr, labels=lists.labels[source], scores=scores)


def pair_rows(pairs: LabelLists, truth: LabelLists) -> LabelLists:
    """Filter pairs with one row, possibly empty, for each document of the truth.

    They are joined by id if both have ids, else by row number. Raises XmcpipeError for rows beyond the
    truth's, for ids that it doesn't have and for ids that repeat.
    """
    if pairs.ids is not None and truth.ids is not None:
        for lists in (pairs, truth):
            _refuse_repeated_ids(lists)
        rows = pc.index_in(truth.ids, value_set=pairs.ids)
        if len(truth) - rows.null_count < len(pairs):
            strangers = pairs.ids.filter(pc.invert(pc.is_in(pairs.ids, value_set=truth.ids)))
            raise XmcpipeError(
                f"{len(strangers):,} documents of {pairs.source} are not in {truth.source}, "
                f"such as {strangers[0].as_py()!r}",
                "give pairs of the test documents only",
            )
        return select_rows(pairs, rows.fill_null(-1).to_numpy())
    if len(pairs) > len(truth):
        raise XmcpipeError(
            f"{pairs.source}: expected rows below {len(truth):,} as in {truth.source}, "
            f"got {len(pairs) - 1:,}",
            "rows are counted from 0, in the order of the truth",
        )
    more = np.full(len(truth) - len(pairs), pairs.indptr[-1], np.int64)
    return replace(pairs, indptr=np.concatenate([pairs.indptr, more]))


def _by_name(every: list[LabelLists], known: list[LabelLists]) -> tuple[list[LabelLists], int, str]:
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
    return [_renumbered(lists, names) for lists in every], len(counted), origin


def _require_ids_of(lists: LabelLists, vocabularies: list[tuple[str, pa.Array]]) -> None:
    """Refuse ids next to names, unless exactly one vocabulary gives them their meaning."""
    if not vocabularies or any(not names.equals(vocabularies[0][1]) for _, names in vocabularies[1:]):
        raise XmcpipeError(
            f"{lists.source}: expected label names as in another file, got label ids",
            "give both as names, or name the artifact's folder, which holds its vocabulary",
        )
    source, names = vocabularies[0]
    if lists.width not in (None, len(names)):
        raise _other_width(source, len(names), lists)
    _require_below(lists, len(names), source)


def _other_width(source: str, width: int, lists: LabelLists) -> XmcpipeError:
    return XmcpipeError(
        f"{lists.source}: expected {width:,} labels as in {source}, got {lists.width:,}",
        "give files of the same vocabulary",
    )


def _extended(names: pa.Array, group: Sequence[LabelLists]) -> pa.Array:
    """`names`, followed by the group's other names, sorted."""
    others = [lists.names for lists in group if lists.names is not None and not lists.names.equals(names)]
    new = [other.filter(pc.invert(pc.is_in(other, value_set=names))) for other in others]
    added = pc.unique(pa.chunked_array(new, pa.string()))
    return pa.concat_arrays([names, added.take(pc.sort_indices(added))]) if len(added) else names


def _renumbered(lists: LabelLists, names: pa.Array) -> LabelLists:
    if lists.names is None or lists.names.equals(names.slice(0, len(lists.names))):
        return replace(lists, names=None)
    numbers = pc.index_in(lists.names, value_set=names).to_numpy()
    return replace(lists, labels=numbers[lists.labels], names=None)


def _one_width(every: list[LabelLists]) -> int:
    fixed = next(lists for lists in every if lists.width is not None)
    width = fixed.width or 0
    for lists in every:
        if lists.width not in (None, width):
            raise _other_width(fixed.source, width, lists)
        _require_below(lists, width, fixed.source)
    return width


def _require_below(lists: LabelLists, width: int, source: str) -> None:
    if len(lists.labels) and int(lists.labels.max()) >= width:
        raise XmcpipeError(
            f"{lists.source}: expected label ids below {width:,} as in {source}, "
            f"got {int(lists.labels.max())}",
            "give files of the same vocabulary",
        )


def _by_value(every: list[LabelLists], known: list[LabelLists]) -> tuple[list[LabelLists], int, str]:
    """Number integer labels by their order.

    The largest may be far greater than the number of labels that occur, and only those count.
    """
    end = 1 + max(int(lists.labels.max(initial=-1)) for lists in every)
    values = _distinct(known, end)
    both = np.concatenate([values, np.setdiff1d(_distinct(every, end), values, assume_unique=True)])
    if end <= LOOKUP_TABLE_IDS:
        number = np.empty(end, np.int32)
        number[both] = np.arange(len(both), dtype=np.int32)
        parts = [replace(lists, labels=number[lists.labels]) for lists in every]
    else:
        parts = [replace(lists, labels=_positions(lists, both)) for lists in every]
    return parts, len(values), OCCURRING


def with_small_ids(lists: LabelLists) -> tuple[LabelLists, Ints | None]:
    """The lists with labels small enough to index an array, and the original value of each new label.

    The values are None if nothing changed: the labels are small, or ids of a vocabulary.
    """
    end = 1 + int(lists.labels.max(initial=-1))
    if lists.names is not None or lists.width is not None or end <= LOOKUP_TABLE_IDS:
        return lists, None
    values = _distinct([lists], end)
    return replace(lists, labels=_positions(lists, values)), values


def _positions(lists: LabelLists, values: Ints) -> Ints:
    return np.asarray(pc.index_in(pa.array(lists.labels), value_set=pa.array(values)).to_numpy())


def _distinct(group: list[LabelLists], end: int) -> Ints:
    """The labels that occur in any of the lists, ascending; all are below `end`."""
    if end <= LOOKUP_TABLE_IDS:
        seen = np.zeros(end, bool)
        for lists in group:
            seen[lists.labels] = True
        return np.flatnonzero(seen)
    # pyarrow hashes the values in place; NumPy would sort a copy of all of them.
    return np.unique(np.concatenate([pc.unique(pa.array(lists.labels)).to_numpy() for lists in group]))


def _refuse_repeated_ids(lists: LabelLists) -> None:
    assert lists.ids is not None
    repeated = len(lists) - pc.count_distinct(lists.ids, mode="all").as_py()
    if repeated:
        counts = lists.ids.value_counts()
        example = counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0]
        raise XmcpipeError(
            f"{lists.source}: {repeated:,} rows repeat the id of another row, such as {example.as_py()!r}",
            "rows are joined by id: make ids unique, or give both files in the same order",
        )


def _refuse_strangers(predictions: LabelLists, truth: LabelLists, rows: Any) -> None:
    """Refuse documents that only the predictions or only the truth has."""
    assert predictions.ids is not None
    assert truth.ids is not None
    faults = []
    if rows.null_count:
        example = truth.ids.filter(rows.is_null())[0].as_py()
        faults.append(
            f"{rows.null_count:,} documents of {truth.source} have no predictions, such as {example!r}"
        )
    if len(predictions) > len(truth) - rows.null_count:
        strangers = predictions.ids.filter(pc.invert(pc.is_in(predictions.ids, value_set=truth.ids)))
        faults.append(
            f"{len(strangers):,} documents of {predictions.source} are not in {truth.source}, "
            f"such as {strangers[0].as_py()!r}"
        )
    if faults:
        raise XmcpipeError("; ".join(faults), "give predictions and truth of the same documents")
