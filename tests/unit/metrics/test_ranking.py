"""The order of predictions, the filter, and P, R and nDCG counted by hand."""

import math

import numpy as np
import pytest

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics import api, evaluate
from xmcpipe.metrics.ranking import Scores, rank
from xmcpipe.metrics.truth import Ints, TruthBatch, count_labels


def top(indptr: Ints, labels: Ints, scores: Scores | None, k: int) -> list[list[int]]:
    rows: list[list[int]] = rank(indptr, labels, scores, k).top.tolist()
    return rows


def test_scores_order_the_labels_and_ties_go_to_the_lower_id() -> None:
    indptr, labels = np.array([0, 4, 6]), np.array([7, 3, 9, 1, 5, 2], np.int32)
    scores = np.array([0.5, 0.9, 0.5, 0.5, 0.1, 0.1], np.float32)
    assert top(indptr, labels, scores, 3) == [[3, 1, 7], [2, 5, -1]]


def test_without_scores_the_given_order_is_the_ranking() -> None:
    assert top(np.array([0, 3]), np.array([7, 3, 9]), None, 2) == [[7, 3]]


def test_a_slice_of_a_larger_matrix() -> None:
    indptr = np.array([10, 12, 12, 13])
    assert top(indptr, np.array([4, 6, 1]), np.array([0.1, 0.2, 0.3]), 2) == [[6, 4], [-1, -1], [1, -1]]


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.uint8, np.int8])
def test_scores_of_any_number_type_are_ordered(kind: type) -> None:
    """-x of unsigned scores, and of the least signed one, is another number than minus x."""
    least = np.iinfo(kind).min if np.issubdtype(kind, np.integer) else -np.inf
    scores: Scores = np.array([least, 100, 1], kind)
    assert top(np.array([0, 3]), np.array([5, 6, 7]), scores, 3) == [[6, 7, 5]]


def test_infinite_and_negative_scores_are_ordered() -> None:
    scores = np.array([-1.0, -np.inf, np.inf])
    assert top(np.array([0, 3]), np.array([0, 1, 2]), scores, 3) == [[2, 0, 1]]


def test_nan_is_refused_and_its_row_named() -> None:
    with pytest.raises(XmcpipeError, match=r"NaN, first in row 1"):
        rank(np.array([0, 1, 3]), np.array([0, 0, 1]), np.array([1, 1, np.nan]), 1)


def test_a_label_predicted_twice_is_refused() -> None:
    with pytest.raises(XmcpipeError, match="row 1 predicts a label more than once"):
        rank(np.array([0, 2, 5]), np.array([0, 1, 2, 1, 2]), np.array([2, 1, 3, 2, 1.0]), 3)


def test_an_error_names_the_row_in_any_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "ROWS", 2)
    rows = [[1, 2]] * 7
    with pytest.raises(XmcpipeError, match="row 5 predicts"):
        evaluate([*rows[:5], [2, 2], [1, 2]], rows, k=(2,))
    scored = [[(1, 0.5)]] * 5
    with pytest.raises(XmcpipeError, match="first in row 5"):
        evaluate([*scored, [(1, math.nan)], *scored[:1]], rows, k=(1,))


def test_pairs_are_excluded_before_the_cut_so_that_the_next_moves_up() -> None:
    exclude = TruthBatch.of(np.array([0, 1, 2]), np.array([3, 8]), 10)
    ranking = rank(np.array([0, 3, 5]), np.array([3, 1, 7, 3, 2]), None, 2, exclude)
    assert ranking.top.tolist() == [[1, 7], [3, 2]]  # 3 is excluded in the first document only
    assert ranking.candidates.tolist() == [3, 2]
    assert ranking.excluded.tolist() == [1, 0]


def test_figures_by_hand() -> None:
    # document 0: true {1, 2}, ranks hit: no, yes, no; document 1: true {0}, hit at once
    figures = evaluate(np.array([[3, 1, 0], [0, 3, 1]]), [[2, 1], [0]], k=(1, 3), num_labels=4).figures
    assert figures["P@1"] == 0.5
    assert figures["P@3"] == pytest.approx(2 / 6)
    assert figures["R@1"] == pytest.approx((0 / 2 + 1 / 1) / 2)
    assert figures["R@3"] == pytest.approx((1 / 2 + 1 / 1) / 2)
    assert (figures["hits@1"], figures["hits@3"]) == (0.5, 1.0)
    assert (figures["MRR@1"], figures["MRR@3"]) == (0.5, 0.75)
    discount = 1 / np.log2(3)
    assert figures["nDCG@3"] == pytest.approx((discount / (1 + discount) + 1) / 2)
    assert figures["micro_R_all@3"] == pytest.approx(2 / 3)


def test_short_predictions_are_misses() -> None:
    # one right prediction: P@3 is divided by 3, micro precision by the 1 prediction
    figures = evaluate([[0]], [[0, 1]], k=(1, 3)).figures
    assert figures["P@3"] == pytest.approx(1 / 3)
    assert figures["micro_P_all@3"] == 1.0


def test_a_missing_prediction_is_not_the_last_label_of_the_row_above() -> None:
    # key of (row 1, -1) = key of (row 0, last label), and that of (row 0, L) = key of (row 1, label 0)
    truth = TruthBatch.of(np.array([0, 1, 2]), np.array([3, 0]), 4)
    assert truth.hits(np.array([[3, 4], [-1, 0]])).tolist() == [[True, False], [False, True]]


def test_a_document_without_truth_counts_as_zero() -> None:
    figures = evaluate([[0], [0]], [[0], []], k=(1,)).figures
    assert (figures["P@1"], figures["R@1"], figures["nDCG@1"]) == (0.5, 0.5, 0.5)


def test_a_label_repeated_in_the_truth_counts_once() -> None:
    truth = TruthBatch.of(np.array([0, 3, 4]), np.array([2, 0, 2, 2]), 3)
    assert truth.repeated == 1
    assert truth.sizes.tolist() == [2, 1]
    result = evaluate([[2, 1], [2, 1]], [[2, 0, 2], [2]], k=(1, 2), num_labels=3)
    assert result.figures["P@1"] == 1
    assert result.figures["R@2"] == pytest.approx((1 / 2 + 1) / 2)
    assert result.reference.repeated == 1


def test_label_counts_merge_repeated_labels_in_any_pieces() -> None:
    indptr, labels = np.array([0, 2, 4, 4, 5]), np.array([1, 1, 0, 1, 2])
    for rows in (1, 2, 100):
        counts, repeated = count_labels(indptr, labels, 4, rows)
        assert counts.tolist() == [1, 2, 1, 0]
        assert repeated == 1


def test_ids_beyond_float32_are_told_apart() -> None:
    # 2**24 and 2**24 + 1 are the same float32
    truth = TruthBatch.of(np.array([0, 1]), np.array([2**24]), 2**24 + 2)
    assert truth.hits(np.array([[2**24 + 1, 2**24]])).tolist() == [[False, True]]
