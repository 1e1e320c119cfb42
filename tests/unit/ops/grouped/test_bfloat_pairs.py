"""Scores by words of two bfloat16: the same as by single products, and right where sums are exact."""

import numpy as np
import pytest
import torch
from numba import njit

from tests.unit.ops.ffi_cases import implementation, make
from xmcpipe.ops import reference
from xmcpipe.ops.cpu import bfloat_pairs, groups
from xmcpipe.ops.cpu.simd.vectors import load, store
from xmcpipe.ops.ffi import ffi_scores


@njit  # type: ignore[untyped-decorator]
def sums_of(a: np.ndarray, b: np.ndarray, sums: np.ndarray, width: tuple[int, ...]) -> None:
    store(sums, 0, bfloat_pairs.dot_pairs(load(a, 0, width), load(b, 0, width), load(sums, 0, width)))


def words(values: torch.Tensor) -> np.ndarray:
    """float32 [n] with the bits of bfloat16 [n, 2]."""
    found: np.ndarray = values.to(torch.bfloat16).contiguous().view(torch.float32).flatten().numpy()
    return found


@pytest.mark.parametrize("units", [1, 2, 4])
def test_two_products_are_added(units: int) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(-100, 101, (16 * units, 2), generator=generator).float() for _ in range(2))
    sums = np.arange(16 * units, dtype=np.float32)
    expected = sums + (a * b).sum(1).numpy()  # below 2^24: exact
    sums_of(words(a), words(b), sums, (0,) * units)
    np.testing.assert_array_equal(sums, expected)


@pytest.mark.parametrize("weights", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("rows", [5, 33, 70, 130])
@pytest.mark.parametrize("fan_in", [1, 7, 32, 45])
def test_scores_with_and_without_pairs(
    rows: int, fan_in: int, weights: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forced, so that it is tried on CPUs without the instruction, too."""
    features, weight, index, _ = make(rows, 50, 45, fan_in, torch.bfloat16)
    weight, index = weight.to(weights), index[:3]
    right = reference.ffi_scores(features.double(), weight.double(), index, 16)
    for pays in (False, True):
        monkeypatch.setattr(groups, "PAYS", pays)
        with implementation("kernel"):
            found = ffi_scores(features, weight, index, 16)
        torch.testing.assert_close(found.double(), right, atol=1e-5 * float(right.abs().max()), rtol=0)
