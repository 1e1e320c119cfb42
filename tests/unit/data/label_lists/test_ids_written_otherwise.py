"""Ids of the same documents that two files write in two ways: the error says in which."""

from collections.abc import Callable

import pytest

from tests.unit.data.label_lists.test_lists import lists
from xmcpipe.data.label_lists.joining import pair_rows, prediction_rows
from xmcpipe.errors import XmcpipeError

WAYS: dict[str, tuple[Callable[[int], str], Callable[[int], str]]] = {
    "blanks around them": (lambda row: f" {row} ", str),
    "upper and lower case": (lambda row: f"DOC{row}", lambda row: f"doc{row}"),
    "zeros before numbers": (lambda row: f"d{row:05}", lambda row: f"d{row}"),
    "separators between thousands": (lambda row: f"{row * 1000 + 7:,}", lambda row: str(row * 1000 + 7)),
    "a .0 behind numbers": (lambda row: f"{row}.0", str),
    "quotes or brackets around them": (lambda row: f"<urn:{row}>", lambda row: f"urn:{row}"),
    "folders": (lambda row: f"/data/{row % 2}/{row}.txt", lambda row: f"{row}.txt"),
    "folders and endings of files": (lambda row: rf"C:\texts\{row}.txt", str),
    "what all begin or end with": (lambda row: f"doc_{row}", str),
    "what all begin or end with, at both ends": (lambda row: f"PMC{row}v1", lambda row: f"id-{row}"),
}


def refusal(one: list[str], two: list[str]) -> str:
    with pytest.raises(XmcpipeError) as error:
        prediction_rows(lists([[0]] * len(one), ids=one), lists([[0]] * len(two), ids=two))
    return error.value.hint or ""


@pytest.mark.parametrize("kind", WAYS)
def test_two_ways_to_write_ids_are_told(kind: str) -> None:
    one, two = ([way(row) for row in range(1, 30)] for way in WAYS[kind])
    for ours, theirs in ((one, two), (two, one), (one[::-1], two), (one, [*two, "id-x"])):
        hint = refusal(ours, theirs)
        assert hint.startswith(f"write ids alike: they differ in {kind.split(',')[0]}, such as ")
    pairs, truth = lists([[0]] * 3, ids=one[:3]), lists([[0]] * 29, ids=two)
    with pytest.raises(XmcpipeError, match="write ids alike: they differ in"):
        pair_rows(pairs, truth)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (["a", "b", "c"], ["x", "y", "z"]),
        (["01", "02", "03"], ["1", "9", "8"]),  # most have no other spelling
        (["A", "b"], ["a", "A", "B"]),  # two would become one
        (["x1"], ["y2"]),
    ],
)
def test_ids_of_other_documents_are_no_other_spelling(one: list[str], two: list[str]) -> None:
    assert refusal(one, two) == "give predictions and truth of the same documents"


def test_ids_that_differ_in_zeros_are_other_ids_where_both_occur() -> None:
    """Nothing is joined by another spelling."""
    rows, _ = prediction_rows(lists([[0]] * 2, ids=["1", "01"]), lists([[0]] * 2, ids=["01", "1"]))
    assert rows is not None
    assert rows.tolist() == [1, 0]
