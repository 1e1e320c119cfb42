"""The stratified split: every label stays in training, and labels are divided evenly."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.data.raw.stratify import stratified_test

documents = st.lists(st.sets(st.integers(0, 8), max_size=4), min_size=2, max_size=60)


def csr(labels: list[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    indptr = np.cumsum([0, *(len(each) for each in labels)], dtype=np.int64)
    return indptr, np.array([code for each in labels for code in sorted(each)], np.int32)


def counts(labels: list[Any], rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    chosen = [code for each, row in zip(labels, rows, strict=True) if row for code in each]
    return np.bincount(np.array(chosen, np.int64), minlength=1000)


@given(labels=documents, every=st.integers(2, 10), seed=st.integers(0, 5), data=st.data())
def test_every_label_of_two_documents_is_in_training(
    labels: list[set[int]], every: int, seed: int, data: st.DataObject
) -> None:
    rows = np.array(data.draw(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels))))
    test = stratified_test(*csr(labels), rows, every, seed)
    assert not test[~rows].any()
    assert test.sum() <= max(1, round(rows.sum() / every)) + len(labels)
    given_, trained = counts(labels, rows), counts(labels, rows & ~test)
    assert (trained[given_ >= 2] >= 1).all()
    again = stratified_test(*csr(labels), rows, every, seed)
    assert (test == again).all()


def zipf(num: int, labels: int, seed: int) -> list[Any]:
    """Documents of 1 to 5 labels, of which most are rare."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, labels + 1)
    sizes = rng.integers(1, 6, num)
    return [rng.choice(labels, size, replace=False, p=weights / weights.sum()) for size in sizes]


@pytest.mark.parametrize("seed", range(3))
def test_the_split_is_even_and_has_its_size(seed: int) -> None:
    labels = zipf(3000, 800, seed)
    rows = np.ones(3000, bool)
    test = stratified_test(*csr(labels), rows, 10, seed)
    assert abs(int(test.sum()) - 300) <= 15
    all_, tested = counts(labels, rows), counts(labels, test)
    random = counts(labels, np.random.default_rng(seed).random(3000) < 0.1)
    frequent = all_ >= 20
    error = np.abs(tested - all_ / 10)[frequent].mean()
    assert error < 0.65 * np.abs(random - all_ / 10)[frequent].mean()
    assert ((tested > 0) & (all_ == tested)).sum() == 0  # no label is in the test split only
    other = stratified_test(*csr(labels), rows, 10, seed + 1)
    assert (other != test).any()


def test_documents_that_are_alone_with_a_label_are_the_last_to_be_tested() -> None:
    labels: list[Any] = [{row} for row in range(20)]
    assert stratified_test(*csr(labels), np.ones(20, bool), 10, 0).sum() == 2
    some = stratified_test(*csr([*labels, {20}, {20}, {20}, set()]), np.ones(24, bool), 10, 0)
    assert some[:20].sum() == 0
    assert some.sum() == 2
