"""napkinXC and xCOLUMNs agree where definitions do; where they differ, a test explains why ours is right."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from napkinxc import metrics as napkin
from scipy import sparse
from xcolumns import metrics as xcolumns

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics import Training, evaluate, inverse_propensity

L, K = 60, 5
Rows = list[list[int]]


def draw(documents: int, least: int, most: int, seed: int) -> Rows:
    """Skewed label lists of `least` to `most` labels; none twice in a row."""
    random = np.random.default_rng(seed)
    chances = 1 / np.arange(1, L + 1)
    sizes = random.integers(least, most + 1, documents)
    return [random.choice(L, size, replace=False, p=chances / chances.sum()).tolist() for size in sizes]


def matrix(rows: Rows, scores: Sequence[Sequence[float]] | None = None) -> sparse.csr_matrix:
    indptr = np.cumsum([0, *map(len, rows)])
    flat = np.ones(indptr[-1]) if scores is None else np.concatenate([*scores, []])
    return sparse.csr_matrix((flat, np.concatenate([*rows, []]).astype(int), indptr), shape=(len(rows), L))


COUNTS = np.random.default_rng(1).integers(0, 400, L)
TRAINING = Training(COUNTS, 5000)
WEIGHTS = inverse_propensity(COUNTS, 5000, 0.6, 2.6)
# every label is true somewhere and predicted somewhere, so that all scopes are all labels
EVERY = [list(range(L))]
KINDS = {
    "random": (draw(120, 5, 5, 2), draw(120, 1, 7, 3)),
    "short": (draw(120, 0, 4, 4), draw(120, 1, 7, 5)),
    "empty": (draw(120, 0, 5, 6), draw(120, 0, 2, 7)),
    "long": (draw(50, 9, 20, 8), draw(50, 3, 30, 9)),
}


def ours(ranked: Any, truth: Any, **options: Any) -> dict[str, float]:
    found = evaluate(ranked, truth, TRAINING, k=range(1, K + 1), a=0.6, b=2.6, num_labels=L, **options)
    return found.figures


def of_napkinxc(ranked: Any, truth: Any) -> dict[str, Any]:
    return {
        "P": napkin.precision_at_k(truth, ranked, k=K),
        "R": napkin.recall_at_k(truth, ranked, k=K),
        "nDCG": napkin.ndcg_at_k(truth, ranked, k=K),
        "hits": napkin.abandonment_at_k(truth, ranked, k=K),
        "PSP": napkin.psprecision_at_k(truth, ranked, WEIGHTS, k=K),
        "PSP_raw": napkin.psprecision_at_k(truth, ranked, WEIGHTS, k=K, normalize=False),
        "PSR": napkin.psrecall_at_k(truth, ranked, WEIGHTS, k=K),
        "PSnDCG": napkin.psndcg_at_k(truth, ranked, WEIGHTS, k=K),
        "coverage_tested": napkin.coverage_at_k(truth, ranked, k=K),
        "macro_P_all": napkin.macro_precision_at_k(truth, ranked, k=K),
        "macro_R_all": napkin.macro_recall_at_k(truth, ranked, k=K),
        "macro_F1_all": napkin.macro_f1_measure_at_k(truth, ranked, k=K),
    }


def assert_same(figures: dict[str, float], theirs: dict[str, Any]) -> None:
    for name, values in theirs.items():
        for k, value in enumerate(values, 1):
            assert figures[f"{name}@{k}"] == pytest.approx(value, rel=1e-9, abs=1e-12), (name, k)


@pytest.mark.parametrize("kind", KINDS)
def test_napkinxc_agrees_on_lists(kind: str) -> None:
    ranked, truth = KINDS[kind]
    ranked, truth = [*ranked, [L - 1, 0, 1]], [*truth, *EVERY]  # its macro is over ids up to the largest seen
    assert_same(ours(ranked, truth), of_napkinxc(ranked, truth))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_napkinxc_agrees_on_matrices_with_scores(kind: str, tied: bool) -> None:
    """Ties are passed to it as a list in our order; its own order of ties is tested below."""
    ranked, truth = KINDS[kind]
    ranked, true = [*ranked, [L - 1, 0, 1]], matrix([*truth, *EVERY])
    random = np.random.default_rng(0)
    scores = [
        (random.integers(-1, 3, len(row)) / 4 if tied else random.random(len(row))).tolist() for row in ranked
    ]
    pairs = [
        sorted(zip(row, of, strict=True), key=lambda pair: (-pair[1], pair[0]))
        for row, of in zip(ranked, scores, strict=True)
    ]
    theirs = of_napkinxc(
        [[label for label, _ in row] for row in pairs] if tied else matrix(ranked, scores),
        [row.indices.tolist() for row in true],
    )
    assert_same(ours(matrix(ranked, scores), true), theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_napkinxc_agrees_on_every_metric_once_filter_pairs_are_out(kind: str) -> None:
    """Of candidates and truth; pairs of both, of one, and of neither."""
    ranked, truth = KINDS[kind]
    exclude = [
        [*row[::3], *true[1:2], row_number % L]
        for row_number, (row, true) in enumerate(zip(ranked, truth, strict=True))
    ]
    ranked, truth, exclude = [*ranked, [L - 1, 0, 1]], [*truth, *EVERY], [*exclude, []]
    remaining, true = (
        [[label for label in row if label not in out] for row, out in zip(rows, exclude, strict=True)]
        for rows in (ranked, truth)
    )
    assert sum(map(len, true)) < sum(map(len, truth))
    assert sum(map(len, remaining)) < sum(map(len, ranked))
    assert_same(ours(ranked, truth, exclude=exclude), of_napkinxc(remaining, true))
    assert_same(
        ours(
            matrix(ranked, [[-n for n in range(len(row))] for row in ranked]), matrix(truth), exclude=exclude
        ),
        of_napkinxc(remaining, true),
    )


def test_filter_pairs_that_leave_the_candidates_after_the_cut_cost_hits() -> None:
    ranked, truth = KINDS["long"]
    exclude = [row[::3] for row in ranked]
    pairs = list(zip(ranked, truth, exclude, strict=True))
    remaining = [[label for label in row if label not in out] for row, _, out in pairs]
    true = [[label for label in row if label not in out] for _, row, out in pairs]
    before = ours(ranked, truth, exclude=exclude)[f"P@{K}"]
    assert before == pytest.approx(napkin.precision_at_k(true, remaining, k=K)[K - 1])
    cut = [[label for label in row[:K] if label not in out] for row, _, out in pairs]
    after = napkin.precision_at_k(true, cut, k=K)[K - 1]
    assert after < before  # filtered after the cut, as most do it


def test_napkinxc_propensities_agree() -> None:
    train = draw(500, 0, 6, 11)
    assert evaluate([[0]], [[0]], train, k=(1,), num_labels=L).reference.weights is not None
    weights = evaluate([[0]], [[0]], train, k=(1,), num_labels=L).reference.weights
    assert weights is not None
    theirs = napkin.Jain_et_al_inverse_propensity(matrix(train), A=0.55, B=1.5)
    assert weights.inverse == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 3, 5])
def test_xcolumns_agrees_on_micro_macro_and_coverage(kind: str, k: int) -> None:
    ranked, truth = KINDS[kind]
    y_true, y_pred = matrix(truth).toarray(), matrix([row[:k] for row in ranked]).toarray()
    figures = ours(ranked, truth)
    tiny = {"epsilon": 1e-300}  # its default is the divergence below
    theirs = {
        "P": xcolumns.precision_at_k(y_true, y_pred, k=k),
        "micro_P_all": xcolumns.micro_precision(y_true, y_pred, **tiny),
        "micro_R_all": xcolumns.micro_recall(y_true, y_pred, **tiny),
        "micro_F1_all": xcolumns.micro_f1_score(y_true, y_pred, **tiny),
        "macro_P_all": xcolumns.macro_precision(y_true, y_pred, **tiny),
        "macro_R_all": xcolumns.macro_recall(y_true, y_pred, **tiny),
        "macro_F1_all": xcolumns.macro_f1_score(y_true, y_pred, **tiny),
        "coverage_all": xcolumns.coverage(y_true, y_pred),
    }
    for name, value in theirs.items():
        assert figures[f"{name}@{k}"] == pytest.approx(value, rel=1e-9, abs=1e-12), name


# Divergences: what they give, what we give, and why.


def test_ties_go_to_the_lower_id_on_every_machine() -> None:
    """It sorts a matrix with NumPy's default, which is not stable: which of two equal scores is first depends
    on the instructions that the processor has. (pyxclib takes the highest id.)
    """
    labels = np.arange(40)
    scores = sparse.csr_matrix((np.repeat([2.0, 1.0], 20), labels, [0, 40]), shape=(1, 40))
    assert next(napkin.Metric._get_Y_iterator(scores, ranking=True))[:20].max() < 20
    assert evaluate(scores, [[0]], k=(1,), num_labels=40).figures["P@1"] == 1.0
    shuffled = np.random.default_rng(0).permutation(40)
    scores = sparse.csr_matrix((np.where(shuffled < 20, 2.0, 1.0), shuffled, [0, 40]), shape=(1, 40))
    assert evaluate(scores, [[0]], k=(1,), num_labels=40).figures["P@1"] == 1.0


def test_a_label_predicted_twice_is_no_second_hit() -> None:
    """P@3 would be 1 with one label of three right: predictions are sets, so a repeat is a fault."""
    assert napkin.precision_at_k([[7]], [[7, 7, 7]], k=3)[2] == 1.0
    with pytest.raises(XmcpipeError, match="more than once"):
        evaluate([[7, 7, 7]], [[7]], k=(3,))


def test_a_label_twice_in_the_truth_is_one_label() -> None:
    """Recall of a document whose only label is found is 1, however often a file repeats the label."""
    assert napkin.recall_at_k([[7, 7]], [[7]], k=1)[0] == 0.5
    assert evaluate([[7]], [[7, 7]], k=(1,)).figures["R@1"] == 1.0


def test_the_value_of_a_training_label_is_no_count_of_documents() -> None:
    """It adds the values up: an entry of 2 counts as two documents, and two of 0.5 each as one."""
    train = sparse.csr_matrix(([2.0, 0.5, 0.5, 1.0], [0, 1, 1, 1], [0, 1, 2, 3, 4]), shape=(4, 2))
    theirs = napkin.count_labels(train)
    assert np.ravel(theirs).tolist() == [2.0, 2.0]
    assert evaluate([[0]], [[0]], train, k=(1,)).reference.training.counts.tolist() == [1, 3]  # type: ignore[union-attr]


def test_its_macro_figures_are_over_ids_up_to_the_largest_that_was_seen() -> None:
    """Neither all labels nor those of the test set: the mean depends on which ids the rare labels have."""
    ranked, truth = [[0], [1], [3]], [[0], [2], [3]]
    theirs = napkin.macro_recall_at_k(truth, ranked, k=5)[0]
    figures = evaluate(ranked, truth, k=(1,), num_labels=10).figures
    assert theirs == pytest.approx(2 / 4)  # ids 0 … 3
    assert figures["macro_R_tested@1"] == pytest.approx(2 / 3)  # labels 0, 2 and 3
    assert figures["macro_R_all@1"] == pytest.approx(2 / 10)


def test_its_macro_figures_have_five_ranks_whatever_k() -> None:
    """k is fixed in the class as 5; ours are computed at any requested ranks."""
    assert len(napkin.macro_recall_at_k([[0], [1]], [[0], [2]], k=7)) == 5
    assert "macro_R_all@7" in evaluate([[0], [2]], [[0], [1]], k=(7,)).figures


def test_its_macro_figures_fail_if_nothing_is_right() -> None:
    """A system that is never right has a macro recall of 0, and not none."""
    with pytest.raises(ValueError, match="max"):
        napkin.macro_recall_at_k([[0]], [[1]], k=5)
    assert evaluate([[1]], [[0]], k=(1,), num_labels=2).figures["macro_R_all@1"] == 0


def test_a_score_that_is_no_number_is_refused_and_not_ranked() -> None:
    """It sorts NaN last without a word (pyxclib first): either rank hides that the model broke."""
    scores = sparse.csr_matrix(([np.nan, 0.5], [0, 1], [0, 2]), shape=(1, 2))
    assert napkin.precision_at_k([[1]], scores, k=1)[0] == 1.0
    with pytest.raises(XmcpipeError, match="NaN"):
        evaluate(scores, [[1]], k=(1,), num_labels=2)


def test_a_stored_zero_in_the_truth_is_no_label() -> None:
    """It takes whatever is stored; `A - B` of two SciPy matrices stores zeros where labels cancel."""
    truth = sparse.csr_matrix(([0.0, 1.0], [0, 1], [0, 2]), shape=(1, 2))
    assert napkin.precision_at_k(truth, [[0]], k=1)[0] == 1.0
    assert evaluate([[0]], truth, k=(1,)).figures["P@1"] == 0.0


def test_propensities_of_under_three_documents_are_refused() -> None:
    """ln 2 < 1: rare labels would weigh less than 1, against the meaning of a propensity."""
    assert napkin.Jain_et_al_inverse_propensity([[0], [1]])[0] < 1
    with pytest.raises(XmcpipeError, match="3 or more"):
        inverse_propensity(np.array([1, 1]), 2)


def test_xcolumns_adds_an_epsilon_of_the_size_of_its_rates() -> None:
    """Its counts are divided by N first, so 1e-6 is not small compared with one hit in 150,000 documents."""
    n = 150_000
    y_true, y_pred = np.zeros((n, 1)), np.zeros((n, 1))
    y_true[0] = y_pred[0] = 1
    assert xcolumns.macro_recall(y_true, y_pred) == pytest.approx(0.87, abs=0.005)  # 1e-6 against 6.7e-6
    ranked = [[0], *[[]] * (n - 1)]
    assert evaluate(ranked, ranked, k=(1,)).figures["macro_R_all@1"] == 1.0


def test_xcolumns_takes_a_prediction_of_more_than_k_labels() -> None:
    """It divides all predictions by k, so P@1 may be 2; here the cut to k is part of the definition."""
    y = np.ones((1, 2))
    assert xcolumns.precision_at_k(y, y, k=1) == 2.0
    assert evaluate([[0, 1]], [[0, 1]], k=(1,)).figures["P@1"] == 1.0
