"""Joins the rows of two label lists: by document id if both have ids, else by row number.

Files may list the documents in different orders.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xmcpipe.data.label_lists.id_spelling import alike
from xmcpipe.data.label_lists.lists import Int64s, LabelLists, select_rows
from xmcpipe.errors import XmcpipeError
from xmcpipe.lookalikes.inputs import row_counts


def prediction_rows(predictions: LabelLists, truth: LabelLists) -> tuple[Int64s | None, str]:
    """The row in the predictions of each document of the truth, int64 [N], and what they were joined by.

    The rows are None if both are in the same order. If one of the lists has no ids, they are joined by row
    number. Raises XmcpipeError for documents that only one of the two has, and for repeated ids if the orders
    differ.
    """
    if predictions.ids is None or truth.ids is None:
        if len(predictions) != len(truth):
            raise XmcpipeError(
                f"expected as many rows in {predictions.source} as in {truth.source}, "
                f"got {len(predictions):,} and {len(truth):,}; {_without_ids(predictions, truth)} they are "
                "joined by row number",
                row_counts(
                    predictions.source,
                    len(predictions),
                    truth.source,
                    len(truth),
                    {predictions.width, truth.width},
                ),
            )
        return None, "row number"
    if len(predictions) == len(truth) and predictions.ids.equals(truth.ids):
        return None, "id"
    for lists in (predictions, truth):
        _refuse_repeated_ids(lists)
    rows = pc.index_in(truth.ids, value_set=predictions.ids)
    _refuse_unmatched(predictions, truth, rows)
    return np.asarray(rows.to_numpy(), np.int64), "id"


def doubts_about_join(predictions: LabelLists, truth: LabelLists) -> Iterator[str]:
    """A sentence if only one of the two has ids, and these are no row numbers."""
    if (predictions.ids is None) == (truth.ids is None):
        return
    known, other = (predictions, truth) if truth.ids is None else (truth, predictions)
    assert known.ids is not None
    if _are_row_numbers(known):
        return
    yield (
        f"{known.source} has ids, such as {known.ids[0].as_py()!r}, and {other.source} has none: its "
        f"{len(other):,} documents are taken to be in the same order"
    )


def _are_row_numbers(lists: LabelLists) -> bool:
    """Whether the ids count the rows, from 0 or from 1."""
    assert lists.ids is not None
    if not len(lists) or lists.ids[0].as_py() not in ("0", "1"):
        return not len(lists)
    numbers = pa.array(np.arange(len(lists)) + int(lists.ids[0].as_py())).cast(pa.string())
    return bool(lists.ids.equals(pa.chunked_array([numbers])))


def _without_ids(predictions: LabelLists, truth: LabelLists) -> str:
    if predictions.ids is None and truth.ids is None:
        return "without ids"
    return f"without ids in {(truth if truth.ids is None else predictions).source}"


def pair_rows(pairs: LabelLists, truth: LabelLists) -> LabelLists:
    """The filter pairs with a row, possibly empty, for each document of the truth.

    They are joined by id if both have ids, else by row number. Raises XmcpipeError for rows that are not in
    the truth, for ids of which none is, and for repeated ids.
    """
    if pairs.ids is not None and truth.ids is not None:
        for lists in (pairs, truth):
            _refuse_repeated_ids(lists)
        rows = pc.index_in(truth.ids, value_set=pairs.ids)
        if len(pairs) and rows.null_count == len(rows):
            raise XmcpipeError(
                f"none of the {len(pairs):,} documents of {pairs.source} is in {truth.source}: such as "
                f"{pairs.ids[0].as_py()!r}; {truth.source} has {truth.ids[0].as_py()!r}",
                alike(pairs.ids, truth.ids) or "give pairs of the test documents",
            )
        return select_rows(pairs, rows.fill_null(-1).to_numpy())
    if len(pairs) > len(truth):
        raise XmcpipeError(
            f"{pairs.source}: expected rows below {len(truth):,} as in {truth.source}, "
            f"got {len(pairs) - 1:,}",
            "rows are counted from 0, in the order of the truth",
        )
    # The pairs may end before the last document: add empty rows.
    more = np.full(len(truth) - len(pairs), pairs.indptr[-1], np.int64)
    return replace(pairs, indptr=np.concatenate([pairs.indptr, more]))


def doubts_about_pair_rows(pairs: LabelLists, truth: LabelLists) -> Iterator[str]:
    """A sentence about filter pairs of other documents, or that are joined by row number in spite of ids.

    Raises XmcpipeError if the pairs have ids, the truth has none, and their numbers of rows differ.
    """
    if pairs.ids is not None and truth.ids is not None:
        unknown = pairs.ids.filter(pc.invert(pc.is_in(pairs.ids, value_set=truth.ids)))
        if len(unknown):
            yield (
                f"{len(unknown):,} of {len(pairs):,} documents of {pairs.source} are not in {truth.source}, "
                f"such as {unknown[0].as_py()!r}: their pairs exclude nothing"
            )
        return
    if (
        pairs.ids is not None
        and truth.ids is None
        and len(pairs) != len(truth)
        and not _are_row_numbers(pairs)
    ):
        raise XmcpipeError(
            f"{pairs.source} has ids, such as {pairs.ids[0].as_py()!r}, and {truth.source} has none: their "
            f"{len(pairs):,} and {len(truth):,} rows can't be joined",
            "give both files ids, or write a line `row label` for each pair, with rows counted from 0",
        )
    if (
        pairs.ids is None
        and truth.ids is not None
        and len(pairs) < len(truth)
        and not _are_row_numbers(truth)
    ):
        yield (
            f"{pairs.source} has no ids: its {len(pairs):,} rows are taken to be the first of {truth.source}"
        )
        return
    yield from doubts_about_join(pairs, truth)


def _refuse_repeated_ids(lists: LabelLists) -> None:
    """Raise XmcpipeError, with an example, if an id occurs in several rows."""
    assert lists.ids is not None
    repeated = len(lists) - pc.count_distinct(lists.ids, mode="all").as_py()
    if repeated:
        counts = lists.ids.value_counts()
        example = counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0]
        raise XmcpipeError(
            f"{lists.source}: {repeated:,} rows repeat the id of another row, such as {example.as_py()!r}",
            "rows are joined by id: make ids unique, or give both files in the same order",
        )


def _refuse_unmatched(predictions: LabelLists, truth: LabelLists, rows: Any) -> None:
    """Raise XmcpipeError for documents that only the predictions or only the truth has.

    `rows` has the row in the predictions of each document of the truth, null without one.
    """
    assert predictions.ids is not None
    assert truth.ids is not None
    without = truth.ids.filter(rows.is_null())
    unknown = predictions.ids.filter(pc.invert(pc.is_in(predictions.ids, value_set=truth.ids)))
    faults = []
    if len(without):
        faults.append(
            f"{len(without):,} documents of {truth.source} have no predictions, "
            f"such as {without[0].as_py()!r}"
        )
    if len(unknown):
        faults.append(
            f"{len(unknown):,} documents of {predictions.source} are not in {truth.source}, "
            f"such as {unknown[0].as_py()!r}"
        )
    if faults:
        raise XmcpipeError(
            "; ".join(faults), alike(without, unknown) or "give predictions and truth of the same documents"
        )
