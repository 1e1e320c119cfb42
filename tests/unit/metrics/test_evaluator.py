"""All metrics together: against a second implementation from the formulas, and against napkinXC."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napkinxc import metrics as napkin

from xmcpipe.metrics.evaluator import Evaluator, evaluate
from xmcpipe.metrics.propensity import LabelWeights, inverse_propensity
from xmcpipe.metrics.truth import TruthBatch


def brute_force(
    ranked: Sequence[Sequence[int]],
    truth: Sequence[set[int]],
    num_labels: int,
    k: int,
    inverse: Sequence[float] | None = None,
) -> dict[str, float]:
    """All figures at one k; `ranked` holds the labels of each document, best first, of any number."""
    n = len(truth)
    precision = recall = ndcg = psp = best_psp = psndcg = best_psndcg = 0.0
    predicted, right, support = [0] * num_labels, [0] * num_labels, [0] * num_labels
    for labels, true in zip(ranked, truth, strict=True):
        top = list(labels)[:k]
        hits = [label for label in top if label in true]
        precision += len(hits) / k
        ideal = sum(1 / math.log2(j + 2) for j in range(min(k, len(true))))
        if true:
            recall += len(hits) / len(true)
            ndcg += sum(1 / math.log2(j + 2) for j, label in enumerate(top) if label in true) / ideal
        if inverse is not None:
            heaviest = sorted((inverse[label] for label in true), reverse=True)[:k]
            psp += sum(inverse[label] for label in hits) / k
            best_psp += sum(heaviest) / k
            if true:
                gains = [inverse[label] / math.log2(j + 2) for j, label in enumerate(top) if label in true]
                psndcg += sum(gains) / ideal
                best_psndcg += sum(w / math.log2(j + 2) for j, w in enumerate(heaviest)) / ideal
        for label in top:
            predicted[label] += 1
            right[label] += label in true
        for label in true:
            support[label] += 1
    figures = {f"P@{k}": precision / n, f"R@{k}": recall / n, f"nDCG@{k}": ndcg / n}
    if inverse is not None:
        figures[f"PSP@{k}"] = psp / best_psp
        figures[f"PSP_raw@{k}"] = psp / n
        figures[f"PSnDCG@{k}"] = psndcg / best_psndcg
    tested = [label for label in range(num_labels) if support[label]]
    for scope, labels in (("all", list(range(num_labels))), ("tested", tested)):
        p = [right[label] / predicted[label] if predicted[label] else 0.0 for label in labels]
        r = [right[label] / support[label] if support[label] else 0.0 for label in labels]
        f1 = [2 * a * b / (a + b) if a + b else 0.0 for a, b in zip(p, r, strict=True)]
        hit = [right[label] > 0 for label in labels]
        for name, values in (("macro_P", p), ("macro_R", r), ("macro_F1", f1), ("coverage", hit)):
            figures[f"{name}_{scope}@{k}"] = sum(values) / len(labels)
    return figures


def csr(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    indptr = np.cumsum([0, *map(len, rows)])
    return indptr, np.array([label for row in rows for label in row], np.int64)


def padded(ranked: Sequence[Sequence[int]], k: int) -> np.ndarray:
    return np.array([[*row, *[-1] * k][:k] for row in ranked], np.int64)


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, list[list[int]], list[set[int]], list[int]]:
    """Number of labels, rankings, truths (at least one is not empty), training counts."""
    num_labels = draw(st.integers(1, 9))
    label = st.integers(0, num_labels - 1)
    documents = draw(st.integers(1, 7))
    ranked = draw(st.lists(st.lists(label, unique=True), min_size=documents, max_size=documents))
    truth = draw(
        st.lists(st.sets(label), min_size=documents, max_size=documents).filter(lambda sets: any(sets))
    )
    counts = draw(st.lists(st.integers(0, 50), min_size=num_labels, max_size=num_labels))
    return num_labels, ranked, truth, counts


@settings(max_examples=200, deadline=None)
@given(cases(), st.sets(st.integers(1, 6), min_size=1), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_any_case_equals_brute_force_in_any_batches(
    case: tuple[int, list[list[int]], list[set[int]], list[int]], k_set: set[int], batch: int, seed: int
) -> None:
    num_labels, ranked, truth, counts = case
    ks = sorted(k_set)
    inverse = inverse_propensity(np.array(counts), 100, 0.55, 1.5)
    weights = LabelWeights.of(inverse)
    evaluator = Evaluator(num_labels, ks, weights)
    shuffle = np.random.default_rng(seed).permutation
    for first in range(0, len(ranked), batch):
        rows = [shuffle(list(true)).tolist() for true in truth[first : first + batch]]  # sets have no order
        piece = TruthBatch.of(*csr(rows), num_labels)
        evaluator.add(padded(ranked[first : first + batch], ks[-1]), piece, weights.best(piece, ks[-1]))
    wanted: dict[str, float] = {}
    for k in ks:
        wanted |= brute_force(ranked, truth, num_labels, k, inverse.tolist())
    assert evaluator.figures() == pytest.approx(wanted, abs=1e-12)


def random_data(documents: int = 400, num_labels: int = 60) -> tuple[list[list[int]], list[list[int]]]:
    """Skewed rankings of 5 and truths of 0 to 7 labels; every label is in some truth."""
    generator = np.random.default_rng(0)
    chances = 1 / np.arange(1, num_labels + 1)
    chances /= chances.sum()
    ranked = [generator.choice(num_labels, 5, replace=False, p=chances).tolist() for _ in range(documents)]
    sizes = generator.integers(0, 8, documents)
    truth = [generator.choice(num_labels, size, replace=False, p=chances).tolist() for size in sizes]
    truth[-1] = list(range(num_labels))
    return ranked, truth


def test_napkinxc_gives_the_same_on_random_data() -> None:
    ranked, truth = random_data()
    inverse = inverse_propensity(np.random.default_rng(1).integers(0, 400, 60), 5000, 0.6, 2.6)
    ours = evaluate(padded(ranked, 5), *csr(truth), 60, [1, 2, 3, 4, 5], inverse)
    theirs = {
        "P": napkin.precision_at_k(truth, ranked, k=5),
        "R": napkin.recall_at_k(truth, ranked, k=5),
        "nDCG": napkin.ndcg_at_k(truth, ranked, k=5),
        "PSP": napkin.psprecision_at_k(truth, ranked, inverse, k=5),
        "PSP_raw": napkin.psprecision_at_k(truth, ranked, inverse, k=5, normalize=False),
        "PSnDCG": napkin.psndcg_at_k(truth, ranked, inverse, k=5),
        "coverage_tested": napkin.coverage_at_k(truth, ranked, k=5),
        # over ids up to the largest seen, which here are all labels
        "macro_P_all": napkin.macro_precision_at_k(truth, ranked, k=5),
        "macro_R_all": napkin.macro_recall_at_k(truth, ranked, k=5),
        "macro_F1_all": napkin.macro_f1_measure_at_k(truth, ranked, k=5),
    }
    for name, values in theirs.items():
        for k, value in enumerate(values, 1):
            assert ours[f"{name}@{k}"] == pytest.approx(value, rel=1e-9), (name, k)


def test_napkinxc_published_check() -> None:
    # two documents of three true labels; the first is hit at ranks 1 and 2, the second at 1 and 3
    figures = evaluate(np.array([[0, 1, 9], [2, 9, 4]]), *csr([[0, 1, 5], [2, 3, 4]]), 10, [1, 2, 3])
    assert [figures[f"P@{k}"] for k in (1, 2, 3)] == pytest.approx([1, 0.75, 2 / 3])
    assert [figures[f"R@{k}"] for k in (1, 2, 3)] == pytest.approx([1 / 3, 1 / 2, 2 / 3])
    assert [figures[f"nDCG@{k}"] for k in (1, 2, 3)] == pytest.approx([1, 0.8065736, 0.73463936], abs=5e-8)


def test_batches_of_different_size_are_not_averaged() -> None:
    # one document right, then three wrong: the mean of batch means would be 1/2
    evaluator = Evaluator(4, [1])
    evaluator.add(np.array([[0]]), TruthBatch.of(*csr([[0]]), 4))
    evaluator.add(np.array([[1], [1], [1]]), TruthBatch.of(*csr([[0], [2], [3]]), 4))
    assert evaluator.figures()["P@1"] == 0.25


def test_without_weights_there_is_no_psp() -> None:
    figures = evaluate(np.array([[0]]), *csr([[0]]), 2, [1])
    assert not [name for name in figures if name.startswith("PS")]
    assert math.isclose(figures["P@1"], 1)
