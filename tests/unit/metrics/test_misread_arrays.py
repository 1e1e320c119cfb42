"""`evaluate` refuses, or warns about, arrays and lists that are not what they are taken for."""

import warnings
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics import MisreadWarning, evaluate

N, L, K = 80, 40, 5
RANDOM = np.random.default_rng(0)
TRUTH = [sorted(RANDOM.permutation(L)[: 1 + row % 4].tolist()) for row in range(N)]
RANKED = [list(dict.fromkeys([*true[:2], *RANDOM.permutation(L).tolist()]))[:K] for true in TRUTH]
DENSE_TRUTH = np.zeros((N, L), int)
for _row, _labels in enumerate(TRUTH):
    DENSE_TRUTH[_row, _labels] = 1
SCORES = np.zeros((N, L))
for _row, _labels in enumerate(RANKED):
    SCORES[_row, _labels] = np.linspace(1, 0.5, K)
SPARSE = sparse.csr_matrix(SCORES)
RIGHT = evaluate(RANKED, TRUTH, k=(1, 3), num_labels=L).figures


@pytest.mark.parametrize(
    ("predictions", "truth"),
    [
        (RANKED, DENSE_TRUTH),
        (np.array(RANKED), DENSE_TRUTH.astype(bool)),
        (SCORES, DENSE_TRUTH.astype(float)),
        (SCORES.astype(np.float32), sparse.csr_matrix(DENSE_TRUTH)),
        (SPARSE.tocoo(), DENSE_TRUTH),
    ],
)
def test_dense_arrays_are_read_right_and_without_a_warning(predictions: Any, truth: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate(predictions, truth, k=(1, 3)).figures == pytest.approx(RIGHT)


@pytest.mark.parametrize(
    ("predictions", "truth", "message"),
    [
        (DENSE_TRUTH, TRUTH, "a dense array of 0 and 1: decisions without an order"),
        (DENSE_TRUTH.astype(bool), TRUTH, "decisions without an order"),
        (DENSE_TRUTH.astype(float), TRUTH, "decisions without an order"),
        (DENSE_TRUTH.tolist(), TRUTH, "predictions: expected the labels of each document, got 0/1 vectors"),
        (list(DENSE_TRUTH), TRUTH, "predictions: expected the labels of each document, got 0/1 vectors"),
        (RANKED, list(DENSE_TRUTH.astype(bool)), "0/1 vectors of length 40"),
        (RANKED, DENSE_TRUTH.tolist(), "truth: expected the labels of each document, got 0/1 vectors"),
        (RANKED, DENSE_TRUTH.astype(float).tolist(), "0/1 vectors of length 40"),
        (RANKED, DENSE_TRUTH.astype(bool).tolist(), "0/1 vectors of length 40"),
        (np.array(RANKED, float), TRUTH, "whole float64"),
        (sparse.csr_matrix(DENSE_TRUTH), SPARSE, "predictions and truth look swapped"),
        (TRUTH, SPARSE, "predictions and truth look swapped"),
        (DENSE_TRUTH, SCORES, "other values of float64"),
        (SPARSE.T, TRUTH, "the matrix is transposed"),
        (SPARSE.T, sparse.csr_matrix(DENSE_TRUTH).T, "the matrix is transposed"),
        (SCORES.T, TRUTH, "looks transposed"),
        (SPARSE, sparse.csr_matrix(2 * DENSE_TRUTH - 1), "write 0, or nothing, for what is no label"),
        ([[label + 1 for label in row] for row in RANKED], DENSE_TRUTH, "are these counted from 1?"),
        (RANKED[1:], TRUTH, "is the first line of truth a header"),
    ],
)
def test_what_is_sure_is_refused(predictions: Any, truth: Any, message: str) -> None:
    with pytest.raises(XmcpipeError) as error:
        evaluate(predictions, truth, k=(1, 3))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("predictions", "truth", "message"),
    [
        (SPARSE, sparse.csr_matrix(DENSE_TRUTH * 3), "truth has values from 3 to 3: each that is not 0"),
        (TRUTH, RANKED, "every document of truth has 5 labels, and those of predictions have 1 to 4"),
        ([row[:3] for row in TRUTH], TRUTH, "has no scores, and the label ids of each document rise"),
        (sparse.csr_matrix(DENSE_TRUTH), TRUTH, "every score of predictions is 1"),
        ([[label + 1 for label in row] for row in RANKED], TRUTH, "if every predicted id were 1 lower"),
        ([[label + 1 for label in row] for row in TRUTH], RANKED, "if every predicted id were 1 lower"),
        (RANKED, [[label + 1 for label in row] for row in TRUTH], "if every predicted id were 1 higher"),
        ([RANKED[-1], *RANKED[:-1]], TRUTH, "if each document had the predictions of the row below"),
        ([*RANKED[1:], RANKED[0]], TRUTH, "if each document had the predictions of the row above"),
        (RANKED[::-1], TRUTH, "fits other documents as well as its own"),
        ([[(7 * label + 3) % L for label in row] for row in RANKED], TRUTH, "fits other documents as well"),
    ],
)  # fmt: skip
def test_what_is_likely_is_warned_about(predictions: Any, truth: Any, message: str) -> None:
    with pytest.warns(MisreadWarning) as found:
        evaluate(predictions, truth, k=(1, 3))
    assert any(message in str(each.message) for each in found)
    assert {each.filename for each in found} == {__file__}


def test_few_documents_and_few_labels_are_not_judged() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate([[1], [0]], [[0], [1]], k=(1,))
        evaluate([[row % 2] for row in range(99)], [[1 - row % 2] for row in range(99)], k=(1,))


def frequent(seed: int, labels: int = 104, rows: int = 300) -> tuple[list[list[int]], list[list[int]]]:
    """True labels, frequent ones first, and rankings of a good model, which guesses by frequency."""
    random = np.random.default_rng(seed)
    chances = 1 / np.arange(1, labels + 1) ** 0.7
    truth, ranked = [], []
    for _ in range(rows):
        drawn = random.choice(labels, 9, replace=False, p=chances / chances.sum()).tolist()
        truth.append(sorted(drawn[:3]))
        ranked.append(drawn[:2] + drawn[3:6])
    return ranked, truth


def swap_all_but(kept: int, labels: int = 104) -> list[int]:
    """Another number for each label but the first `kept`: frequent ones become rare."""
    return [*range(kept), *reversed(range(kept, labels))]


@pytest.mark.parametrize("kept", [2, 4])
def test_ids_of_another_table_are_found_where_frequent_labels_kept_theirs(kept: int) -> None:
    ranked, truth = frequent(7)
    other = swap_all_but(kept)
    with pytest.warns(MisreadWarning, match=f"except for {kept} of 104 labels") as found:
        evaluate([[other[label] for label in row] for row in ranked], truth, k=(1, 3))
    assert len(found) == 1


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_a_model_that_knows_only_a_few_frequent_labels_is_no_other_table(kept: int) -> None:
    """It has hits among as few labels, but what it guesses are the labels that are often true."""
    ranked, truth = frequent(7)
    guesses, _ = frequent(8)
    weak = [
        list(dict.fromkeys([*(label for label in row if label < kept), *others]))[:5]
        for row, others in zip(ranked, guesses, strict=True)
    ]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        evaluate(weak, truth, k=(1, 3))
    assert not [each for each in found if "except for" in str(each.message)]


def test_rare_labels_that_are_found_are_no_other_table() -> None:
    """The frequencies differ as in another table; the hits are of many labels."""
    ranked, truth = frequent(7)
    other = swap_all_but(0)
    rare = [
        list(dict.fromkeys([*(label for label in row if label > 10), *(other[label] for label in row)]))[:5]
        for row in ranked
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(rare, truth, k=(1, 3))
