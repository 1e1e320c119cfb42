"""Matrices, arrays and lists give the same figures; wrong input is an error of one line."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics import Training, evaluate, inverse_propensity

RANKED = [[3, 1], [0], []]
TRUTH = [[1], [0, 2], [3]]
TRAIN = [[0], [1, 2], [3], [0, 1]]


def csr(
    rows: list[list[int]], ranked: bool = False, width: int = 4, kind: type = np.int32
) -> sparse.csr_matrix:
    indptr: Any = np.cumsum([0, *map(len, rows)]).astype(kind)
    indices: Any = np.concatenate([*rows, []]).astype(kind)
    data = np.concatenate([-np.arange(len(row)) if ranked else np.ones(len(row)) for row in rows])
    matrix = sparse.csr_matrix((len(rows), width))
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    return matrix


def named(rows: list[list[int]]) -> list[list[str]]:
    return [[f"label {label}" for label in row] for row in rows]


EXPECTED = evaluate(RANKED, TRUTH, TRAIN, k=(1, 2)).figures


@pytest.mark.parametrize(
    ("predictions", "truth", "train"),
    [
        (csr(RANKED, ranked=True), csr(TRUTH), csr(TRAIN)),
        (csr(RANKED, ranked=True).tocsc(), csr(TRUTH).tocoo(), csr(TRAIN).astype(bool)),
        (csr(RANKED, ranked=True, kind=np.uint64), csr(TRUTH, kind=np.uint32), csr(TRAIN)),  # as PECOS
        (sparse.csr_array(csr(RANKED, ranked=True)), sparse.csr_array(csr(TRUTH)), csr(TRAIN)),
        (np.array([[3, 1], [0, -1], [-1, -1]]), TRUTH, csr(TRAIN)),
        ([[(1, 0.5), (3, 0.75)], [(0, 2.0)], []], TRUTH, TRAIN),  # as napkinXC and omikuji
        ([{1: 0.5, 3: 0.75}, {0: 2.0}, {}], TRUTH, TRAIN),
        ([tuple(row) for row in RANKED], [set(row) for row in TRUTH], [np.array(row) for row in TRAIN]),
        (named(RANKED), named(TRUTH), named(TRAIN)),
    ],
)  # fmt: skip
def test_the_same_in_every_form(predictions: Any, truth: Any, train: Any) -> None:
    assert evaluate(predictions, truth, train, k=(1, 2)).figures == pytest.approx(EXPECTED)


def test_ids_of_lists_are_ids_and_not_positions() -> None:
    far = [[x * 1_000_003 for x in row] for row in RANKED]
    truth = [[x * 1_000_003 for x in row] for row in TRUTH]
    assert evaluate(far, truth, k=(1,)).figures == evaluate(RANKED, TRUTH, k=(1,)).figures


def test_num_labels_sets_the_number_of_labels_of_a_macro_mean() -> None:
    four = evaluate(RANKED, TRUTH, k=(2,)).figures
    eight = evaluate(RANKED, TRUTH, k=(2,), num_labels=8).figures
    assert eight["macro_F1_all@2"] == pytest.approx(four["macro_F1_all@2"] / 2)
    assert eight["macro_F1_tested@2"] == four["macro_F1_tested@2"]


def test_a_stored_zero_is_a_score_but_no_label() -> None:
    stored = sparse.csr_matrix(([0.0, 1.0], [0, 1], [0, 2]), shape=(1, 2))
    figures = evaluate(stored, stored, k=(1, 2)).figures
    assert (figures["P@1"], figures["micro_P_all@2"], figures["R@2"]) == (1.0, 0.5, 1.0)


def test_excluded_pairs_can_be_a_matrix() -> None:
    exclude = csr([[3], [], []])
    lists = evaluate(RANKED, TRUTH, k=(1,), num_labels=4, exclude=[[3], [], []]).figures
    assert evaluate(RANKED, TRUTH, k=(1,), exclude=exclude).figures == lists
    assert lists["P@1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"predictions": RANKED[:2]}, "predictions has 2 rows, truth has 3"),
        ({"exclude": [[1]]}, "exclude has 1 rows, truth has 3"),
        ({"predictions": csr(RANKED, True, 5), "truth": csr(TRUTH)}, "predictions 5"),
        ({"truth": csr(TRUTH), "num_labels": 7}, "num_labels 7"),
        ({"predictions": [[9], [], []], "num_labels": 4}, "label ids from 0 to 3, got 9 in predictions"),
        ({"truth": [["a"], ["b"], []]}, "expected labels of one kind, got both integers and strings"),
        ({"truth": [["a", 1], [], []]}, "int and str"),
        ({"truth": [[1.0], [], []]}, "16,777,216"),
        ({"truth": [[True], [], []]}, "all strings, got bool"),
        ({"truth": [[-1], [], []]}, "expected label ids >= 0, got -1"),
        ({"truth": [1, 2, 3]}, "truth: "),
        ({"truth": [[], [], []]}, "none of 3 documents has a true label"),
        ({"truth": np.full((3, 4), 2)}, "truth: expected a dense array of 0 and 1 [N, L], got other values"),
        ({"truth": np.random.default_rng(0).random((3, 4))}, "are the two swapped?"),
        ({"predictions": np.ones((3, 4))}, "got a dense array of 0 and 1: decisions without an order"),
        ({"predictions": np.eye(4, dtype=int)[:3]}, "predictions: expected scores or rankings, got a dense"),
        ({"predictions": np.eye(4, dtype=bool)[:3]}, "give the scores from which they were made"),
        ({"predictions": np.array([[3.0, 1.0], [0.0, -1.0], [-1.0, -1.0]])}, "convert with .astype(int)"),
        ({"predictions": np.array([[-5, 1], [0, 2], [1, 2]])}, "or -1 for none, got -5"),
        ({"predictions": np.zeros(3)}, "predictions: "),
        ({"predictions": {0: [1]}}, "label lists, got dict"),
        ({"predictions": [[(1, 2, 3)], [], []]}, "pairs (label, score)"),
        ({"predictions": [[(1, float("nan"))], [], []]}, "NaN, first in row 0"),
        ({"predictions": [[1, 1], [], []]}, "more than once"),
        ({"truth": sparse.csr_matrix([[np.nan, 1], [0, 1], [1, 0]])}, "truth: a value is not a number"),
        ({"k": 5}, "expected a list of ranks, got k = 5"),
        ({"k": ()}, "k = []"),
        ({"k": (3, 3)}, "k = [3, 3]"),
        ({"k": (1.9,)}, "expected a list of ranks, got k = (1.9,)"),
        ({"k": "135"}, "expected a list of ranks, got k = '135'"),
        ({"k": (True,)}, "a list of ranks"),
        ({"num_labels": -1}, "num_labels >= 1, got -1"),
        ({"num_labels": 0}, "num_labels >= 1, got 0"),
        ({"num_labels": 4.0}, "num_labels >= 1, got 4.0"),
        ({"predictions": ["cat", "dog", ""]}, "predictions: expected a list of labels for each"),
        ({"truth": [["cat"], "dog", []]}, "truth: expected a list of labels for each document, got a string"),
        ({"predictions": [{3, 1}, {0}, set()]}, "expected ordered labels, got a set"),
        ({"truth": [{1: 1.0}, {}, {}]}, "truth: expected a list of labels for each document, got a dict"),
        ({"predictions": [{3: 1.0}, [0], []]}, "list of labels for each document, got a dict"),
        ({"truth": [[2**63], [1], []]}, "2^63"),
        ({"predictions": [[2**70], [], []]}, "2^63"),
        ({"predictions": sparse.coo_array(np.ones(3))}, "expected a matrix [N, L], got shape (3,)"),
        ({"predictions": [[7], [8], [9]]}, "none of the predicted labels is in truth or training"),
        ({"predictions": named(RANKED), "truth": named(TRUTH), "num_labels": 4}, "strings, but num_labels"),
        ({"exclude": TRUTH}, "the pairs to exclude contain every true label"),
        ({"train": TRAIN, "b": np.inf}, "b = inf"),
        ({"train": TRAIN, "a": np.inf}, "a = inf"),
        ({"train": Training(np.array([1, 99]), 100)}, "label ids from 0 to 1, got 3"),
        ({"train": Training(np.ones(4, np.int64), 9), "num_labels": 7}, "the training counts 4"),
        ({"k": (0, 1)}, "k = [0, 1]"),
        ({"train": [[0], [1]]}, "3 or more training documents for PSP, got 2 (train on more documents or"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_match_are_refused(changed: dict[str, Any], message: str) -> None:
    arguments = {"predictions": RANKED, "truth": TRUTH, "k": (1, 2), **changed}
    with pytest.raises(XmcpipeError) as error:
        evaluate(**arguments)
    assert message in str(error.value)


def test_ranks_may_come_in_any_order_and_type() -> None:
    expected = evaluate(RANKED, TRUTH, TRAIN, k=(1, 2)).figures
    for ks in ([2, 1], np.array([1, 2]), iter([2, 1]), range(1, 3)):
        assert evaluate(RANKED, TRUTH, TRAIN, k=ks).figures == expected


@pytest.mark.parametrize(
    "counts", [[2, 2, 1, 1], np.array([2.0, 2.0, 1.0, 1.0]), np.ravel(csr(TRAIN).sum(axis=0)), (2, 2, 1, 1)]
)
def test_training_counts_of_any_form(counts: Any) -> None:
    training = Training(counts, np.int64(len(TRAIN)))  # type: ignore[arg-type]
    result = evaluate(RANKED, TRUTH, training, k=(1, 2))
    assert result.figures == pytest.approx(EXPECTED)
    assert [part.labels for part in result.by_frequency(2)] == [2, 2]


@pytest.mark.parametrize(
    ("counts", "documents", "message"),
    [
        ([1.5], 9, "float64"),
        ([np.nan], 9, "float64"),
        ([-1], 9, "got -1 to -1"),
        ([1, 10], 9, "from 0 to the 9 documents, got 1 to 10"),
        ([np.inf], 9, "inf"),
        (csr(TRAIN).sum(axis=0), 9, "shape (1, 4)"),
        (["a"], 9, "shape (1,)"),
        ([1], 9.5, "9.5"),
    ],
)
def test_impossible_training_counts_are_refused(counts: Any, documents: Any, message: str) -> None:
    with pytest.raises(XmcpipeError) as error:
        Training(counts, documents)
    assert message in str(error.value)


def test_training_counts_belong_to_ids_and_not_to_labels_of_the_test() -> None:
    """Labels 10 and 20 are in the test; the counts are of the labels 0 … 20."""
    counts = np.zeros(21, np.int64)
    counts[[10, 20]] = 1, 99
    result = evaluate([[10], [20]], [[10], [20]], Training(counts, 100), k=(1,))
    assert result.reference.num_labels == 21
    assert result.reference.weights is not None
    assert result.reference.weights.inverse[[10, 20]].tolist() == pytest.approx(
        inverse_propensity(np.array([1, 99]), 100).tolist()
    )


def test_unusual_inputs_are_counted() -> None:
    predictions = [[0, 1, 2], [1, 9, 0], [0], [2, 1, 0]]
    truth = [[2, 2], [1], [], [0]]
    exclude = [[0, 0], [], [0], [7]]
    result = evaluate(predictions, truth, [[0, 0], [1], [2], [1]], k=(3,), exclude=exclude, num_labels=10)
    assert result.unusual == {
        "documents_without_truth": 1,
        "repeated_labels_merged": 2,
        "documents_with_short_predictions": 2,
        "predictions_of_unknown_labels": 0,
        "predictions_filtered": 2,
        "documents_short_by_filter": 1,  # the third was short before
    }
    plain = evaluate([[0, 1], [5, 1]], [[0], [1]], k=(1, 2))
    assert plain.unusual == {
        "documents_without_truth": 0,
        "repeated_labels_merged": 0,
        "documents_with_short_predictions": 0,
        "predictions_of_unknown_labels": 1,
    }


def test_the_package_needs_numpy_alone() -> None:
    code = (
        "import sys, xmcpipe.metrics, xmcpipe.metrics.table, xmcpipe.metrics.baseline\n"
        "heavy = {'torch', 'transformers', 'scipy', 'pyarrow', 'polars', 'pandas', 'sklearn', 'numba'}\n"
        "print(sorted(heavy & set(sys.modules)), len(sys.modules) < 400)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
