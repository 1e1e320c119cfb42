"""Right files of small datasets are read without a false alarm; mistakes in them are told."""

from itertools import permutations

import numpy as np
import pytest

from xmcpipe.metrics.misread.doubts import _Sample, doubts_about_hits
from xmcpipe.metrics.misread.shape import doubts_about_training
from xmcpipe.metrics.truth import Int64s

L = 30


class Lists:
    """True labels by number."""

    def __init__(self, rows: list[list[int]]) -> None:
        self.source = "truth"
        self.labels: Int64s = np.concatenate([np.array(row, np.int64) for row in rows])
        self.indptr: Int64s = np.cumsum([0, *map(len, rows)])


def chances(random: np.random.Generator) -> list[float]:
    found = 1 / np.arange(1, L + 1) ** 0.8
    ordered: list[float] = random.permutation(found / found.sum()).tolist()
    return ordered


def drawn(random: np.random.Generator, rows: int, shares: list[float]) -> list[list[int]]:
    sizes = random.integers(1, 6, rows).tolist()
    return [random.choice(L, size, replace=False, p=shares).tolist() for size in sizes]


def ranked(random: np.random.Generator, truth: list[list[int]], shares: list[float]) -> Int64s:
    """Rankings of a model that knows each true label with a chance of 1/2, and then guesses by frequency."""
    rows = []
    for row in truth:
        known = [label for label in row if random.random() < 0.5]
        guesses = random.choice(L, 12, replace=False, p=shares).tolist()
        rows.append(list(dict.fromkeys([*known, *guesses]))[:5])
    return np.array(rows)


@pytest.mark.parametrize("seed", range(10))
def test_right_small_files_raise_no_alarm(seed: int) -> None:
    random = np.random.default_rng(seed)
    shares = chances(random)
    truth = drawn(random, 40, shares)
    lists, top = Lists(truth), ranked(random, truth, shares)
    assert list(doubts_about_hits("p", top, lists.indptr, lists.labels, None, False)) == []
    counts = 1 + np.bincount(Lists(drawn(random, 160, shares)).labels, minlength=L)
    assert list(doubts_about_training(counts, lists)) == []
    (told,) = doubts_about_hits("p", top[::-1], lists.indptr, lists.labels, None, False)
    assert "fits other documents as well as its own" in told or "fits its own documents hardly better" in told


@pytest.mark.parametrize(("rows", "alarms"), [(20, 1), (50, 0), (200, 0)])
def test_few_documents_are_told_from_those_in_another_order(rows: int, alarms: int) -> None:
    """Of 100 right files of 20 documents 7 were once warned about."""
    right = wrong = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        shares = chances(random)
        truth = drawn(random, rows, shares)
        lists, top = Lists(truth), ranked(random, truth, shares)
        other = top[np.random.default_rng([seed, 3]).permutation(rows)]
        right += any(doubts_about_hits("p", top, lists.indptr, lists.labels, None, False))
        wrong += any(doubts_about_hits("p", other, lists.indptr, lists.labels, None, False))
    assert right <= alarms
    assert wrong == 100


def test_the_deviation_is_that_over_all_orders() -> None:
    """Four documents have 24 orders: the hits of each are counted."""
    lists, top = Lists([[0, 1], [0], [2], [1, 2, 3]]), np.array([[0, 1], [0, 2], [2, 3], [3, -1]])
    sample = _Sample(lists.indptr, lists.labels, np.arange(4), None)
    hits = [sample.hits(top[list(order)]) for order in permutations(range(4))]
    assert sample.deviation(top) == pytest.approx(np.std(hits))
    others = [sample.hits(np.roll(top, step, axis=0)) for step in (1, 2, 3)]
    assert sample.hits_of_others(top).sum() == pytest.approx(np.mean(others))


def test_twice_the_hits_of_others_are_not_as_well() -> None:
    """Of 20 documents, each has the labels 0 and 1 or, in turn, one of its own; the model finds most."""
    truth = [[0, 1, 2 + row] if row % 2 else [0, 2 + row] for row in range(20)]
    lists = Lists(truth)
    top: Int64s = np.array([[0, 1, 2 + row] for row in range(20)])
    assert list(doubts_about_hits("p", top, lists.indptr, lists.labels, None, False)) == []
    (told,) = doubts_about_hits("p", np.roll(top, 7, axis=0), lists.indptr, lists.labels, None, False)
    assert told.startswith("p fits other documents as well as its own: 30 hits in 20 documents, and 3")


def test_frequencies_of_another_table_are_told_for_few_labels() -> None:
    random = np.random.default_rng(0)
    shares = (np.arange(1, L + 1) ** 3 / (np.arange(1, L + 1) ** 3).sum()).tolist()
    lists = Lists(drawn(random, 60, shares))
    counts = 1 + np.bincount(Lists(drawn(random, 160, shares)).labels, minlength=L)
    assert list(doubts_about_training(counts, lists)) == []
    (told,) = doubts_about_training(counts[::-1], lists)
    assert "frequent in the training labels are not those that are frequent in truth" in told
