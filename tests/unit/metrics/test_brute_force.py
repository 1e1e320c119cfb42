"""The package against a second implementation from the formulas, on any data and in any pieces."""

import random

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import xmcpipe.metrics
from tests.unit.metrics.brute_force import brute_force, cases, of_package, random_case
from xmcpipe.metrics import api, evaluate, evaluation


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**48), st.integers(1, 6))
@example(3_144_134_277, 1)
def test_any_case_equals_brute_force_in_any_pieces(seed: int, rows: int) -> None:
    case = random_case(random.Random(seed))
    # Lists of the ids 0 and 1 alone, one of them twice, are refused: they may be vectors.
    assume(not any(set().union(*lists) <= {0, 1} for lists in (case.truth, case.train)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "ROWS", rows)
        patch.setattr(api, "ROWS", rows)
        found = of_package(case, xmcpipe.metrics)
    expected = brute_force(case)
    assert found == pytest.approx(expected, rel=1e-11, abs=1e-12)
    assert found.keys() == expected.keys()


def test_the_cases_cover_every_fault() -> None:
    """Two implementations that agree prove little on cases without these faults."""
    every = list(cases(40))
    documents = [
        pair for case in every for pair in zip(case.predictions, case.truth, case.exclude, strict=True)
    ]
    assert any(not true for _, true, _ in documents)
    assert any(not row for row, _, _ in documents)
    assert any(len(set(true)) < len(true) for _, true, _ in documents)
    assert any(len({score for _, score in row}) < len(row) for row, _, _ in documents)
    assert any(set(left_out) & set(true) for _, true, left_out in documents)
    assert any(
        len(row) - len(left_out) < max(case.ks)
        for case in every
        for row, left_out in [(case.predictions[0], case.exclude[0])]
    )
    assert any(set().union(*case.truth) - set().union(*case.train) for case in every)
    assert any(set().union(*case.train) - set().union(*case.truth) for case in every)


def test_napkinxc_published_check() -> None:
    # two documents of three true labels; the first is hit at ranks 1 and 2, the second at 1 and 3
    figures = evaluate(
        np.array([[0, 1, 9], [2, 9, 4]]), [[0, 1, 5], [2, 3, 4]], k=(1, 2, 3), num_labels=10
    ).figures
    assert [figures[f"P@{k}"] for k in (1, 2, 3)] == pytest.approx([1, 0.75, 2 / 3])
    assert [figures[f"R@{k}"] for k in (1, 2, 3)] == pytest.approx([1 / 3, 1 / 2, 2 / 3])
    assert [figures[f"nDCG@{k}"] for k in (1, 2, 3)] == pytest.approx([1, 0.8065736, 0.73463936], abs=5e-8)


def test_pieces_of_different_size_are_not_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    # one document right, then one wrong and alone in its piece: the mean of the pieces' means would be 1/2
    monkeypatch.setattr(evaluation, "ROWS", 3)
    figures = evaluate([[0], [0], [0], [1]], [[0], [0], [0], [0]], k=(1,)).figures
    assert figures["P@1"] == 0.75
