"""One numbering for the labels of several files, and rows joined by id."""

import numpy as np
import pyarrow as pa
import pytest

from xmcpipe.data.label_lists import numbering
from xmcpipe.data.label_lists.joining import pair_rows, prediction_rows
from xmcpipe.data.label_lists.lists import LabelLists, select_rows
from xmcpipe.data.label_lists.numbering import common_vocabulary, with_small_ids
from xmcpipe.errors import XmcpipeError


def lists(
    rows: list[list[int]],
    names: list[str] | None = None,
    width: int | None = None,
    ids: list[str] | None = None,
    source: str = "some.file",
) -> LabelLists:
    labels = np.array([label for row in rows for label in row], np.int32)
    strings = None if ids is None else pa.chunked_array([ids], pa.string())
    vocabulary = None if names is None else pa.array(names, pa.string())
    return LabelLists(source, strings, np.cumsum([0, *map(len, rows)]), labels, None, vocabulary, width)


def test_names_seen_in_files_are_numbered_in_sorted_order() -> None:
    predictions = lists([[0, 1]], ["c", "a"])
    truth = lists([[0], [1]], ["b", "c"])
    common = common_vocabulary([predictions], truth, None)
    assert common.num_labels == 2  # b and c; a is only predicted
    assert common.truth.labels.tolist() == [0, 1]
    assert common.others[0].labels.tolist() == [1, 2]


def test_the_number_of_labels_does_not_depend_on_the_predictions() -> None:
    truth, train = lists([[5]]), lists([[900], [5, 7]])
    for predicted in ([5], [7, 1, 2], [10**6]):
        common = common_vocabulary([lists([predicted])], truth, train)
        assert common.num_labels == 3
        assert common.truth.labels.tolist() == [0]
        assert common.train is not None
        assert common.train.labels.tolist() == [2, 0, 1]
        assert [int(label) < 3 for label in common.others[0].labels] == [
            label in (5, 7) for label in predicted
        ]


@pytest.mark.parametrize("table", [0, 1 << 24])
def test_table_and_hash_give_ids_the_same_numbers(monkeypatch: pytest.MonkeyPatch, table: int) -> None:
    monkeypatch.setattr(numbering, "LOOKUP_TABLE_IDS", table)
    common = common_vocabulary([lists([[7, 1, 900]])], lists([[900], [5]]), lists([[5, 7], [3]]))
    assert common.num_labels == 4  # 3, 5, 7, 900
    assert common.truth.labels.tolist() == [3, 1]
    assert common.others[0].labels.tolist() == [2, 4, 3]
    assert common.train is not None
    assert common.train.labels.tolist() == [1, 2, 0]
    small, values = with_small_ids(lists([[900, 5], [5]]))
    found = small.labels if values is None else values[small.labels]
    assert found.tolist() == [900, 5, 5]
    assert (values is None) == (table > 0)


def test_ids_are_numbered_by_value_and_not_as_text() -> None:
    common = common_vocabulary([lists([[10, 2]])], lists([[10, 2]]), None)
    assert common.truth.labels.tolist() == [1, 0]


def test_a_matrix_keeps_its_ids_and_its_width() -> None:
    common = common_vocabulary([lists([[1]])], lists([[3]], width=50), None)
    assert (common.num_labels, common.truth.labels.tolist()) == (50, [3])


def test_a_vocabulary_gives_ids_their_meaning_next_to_names() -> None:
    vocabulary = ["red", "green", "blue"]
    predictions = lists([[2, 0]], vocabulary, width=3)
    common = common_vocabulary([predictions], lists([[0, 1]], ["blue", "mauve"]), lists([[1]]))
    assert common.num_labels == 4  # mauve is in the truth, so it counts, after the vocabulary
    assert common.others[0].labels.tolist() == [2, 0]
    assert common.truth.labels.tolist() == [2, 3]
    assert common.train is not None
    assert common.train.labels.tolist() == [1]


def test_ids_next_to_names_without_a_vocabulary_are_refused() -> None:
    with pytest.raises(XmcpipeError, match="expected label names as in another file, got label ids"):
        common_vocabulary([lists([[0]])], lists([[0]], ["a"]), None)


def test_different_widths_and_ids_beyond_them_are_refused() -> None:
    with pytest.raises(XmcpipeError, match=r"expected 6 labels .*, got 5"):
        common_vocabulary([lists([[0]], width=6)], lists([[0]], width=5), None)
    with pytest.raises(XmcpipeError, match=r"expected label ids below 5 .*, got 5"):
        common_vocabulary([lists([[5]])], lists([[0]], width=5), None)
    with pytest.raises(XmcpipeError, match=r"expected label ids below 2 .*, got 3"):
        common_vocabulary([lists([[3]])], lists([[0]], ["a", "b"], width=2), None)


def test_rows_are_joined_by_id_in_any_order() -> None:
    predictions = lists([[0], [1], [2]], ids=["x", "y", "z"])
    truth = lists([[0], [1], [2]], ids=["z", "x", "y"])
    rows, how = prediction_rows(predictions, truth)
    assert rows is not None
    assert rows.tolist() == [2, 0, 1]
    assert how == "id"


def test_rows_in_the_same_order_need_no_unique_ids() -> None:
    same = lists([[0], [1]], ids=["x", "x"])
    assert prediction_rows(same, same) == (None, "id")


def test_without_ids_rows_are_joined_by_number() -> None:
    assert prediction_rows(lists([[0]]), lists([[0]], ids=["x"])) == (None, "row number")
    with pytest.raises(XmcpipeError, match=r"expected as many rows .*, got 2 and 1"):
        prediction_rows(lists([[0], [1]]), lists([[0]], ids=["x"]))


def test_documents_of_only_one_file_are_counted_and_one_is_named() -> None:
    predictions = lists([[0]] * 3, ids=["a", "b", "extra"], source="mine")
    truth = lists([[0]] * 4, ids=["b", "c", "d", "a"], source="theirs")
    with pytest.raises(XmcpipeError) as error:
        prediction_rows(predictions, truth)
    assert "2 documents of theirs have no predictions, such as 'c'" in error.value.message
    assert "1 documents of mine are not in theirs, such as 'extra'" in error.value.message


def test_predictions_for_more_documents_than_the_truth_are_refused() -> None:
    with pytest.raises(XmcpipeError, match=r"1 documents of .* are not in"):
        prediction_rows(lists([[0]] * 2, ids=["a", "b"]), lists([[0]], ids=["b"]))


def test_repeated_ids_are_refused_if_the_order_differs() -> None:
    with pytest.raises(XmcpipeError, match="1 rows repeat the id of another row, such as 'x'"):
        prediction_rows(lists([[0]] * 3, ids=["x", "x", "y"]), lists([[0]] * 3, ids=["y", "x", "x"]))


def test_several_systems_and_pairs_share_one_numbering() -> None:
    truth = lists([[5], [7]])
    common = common_vocabulary([lists([[7, 9]]), lists([[9, 5]]), lists([[7]])], truth, None)
    assert [part.labels.tolist() for part in common.others] == [[1, 2], [2, 0], [1]]
    assert common.num_labels == 2
    assert common.train is None


def test_rows_are_selected_in_any_order_and_with_empty_ones() -> None:
    found = select_rows(lists([[4, 5], [], [6]]), np.array([2, -1, 0, 0]))
    assert found.indptr.tolist() == [0, 1, 1, 3, 5]
    assert found.labels.tolist() == [6, 4, 5, 4, 5]


def test_pairs_of_fewer_rows_leave_the_other_documents_alone() -> None:
    truth = lists([[0]] * 4)
    assert pair_rows(lists([[1], [2, 3]]), truth).indptr.tolist() == [0, 1, 3, 3, 3]
    with pytest.raises(XmcpipeError, match=r"expected rows below 4 .*, got 4"):
        pair_rows(lists([[1]] * 5), truth)


def test_pairs_with_ids_are_joined_by_them() -> None:
    truth = lists([[0]] * 3, ids=["a", "b", "c"])
    found = pair_rows(lists([[7], [8, 9]], ids=["c", "a"]), truth)
    assert found.indptr.tolist() == [0, 2, 2, 3]
    assert found.labels.tolist() == [8, 9, 7]
    with pytest.raises(XmcpipeError, match=r"none of the 1 documents of .* such as 'x'; .* has 'a'"):
        pair_rows(lists([[7]], ids=["x"]), truth)
    with pytest.raises(XmcpipeError, match="repeat the id"):
        pair_rows(lists([[7], [8]], ids=["a", "a"]), truth)
