"""The loop of all products of a group: right, and with the same bits by any number of lanes at a time."""

import numpy as np
import pytest

from xmcpipe.ops.cpu.groups import Scalars, Vectors, multiply_add, multiply_add_lanes
from xmcpipe.ops.cpu.simd.vectors import LANES

TERMS, PLACES = 7, (64, 0, 192, 128)


@pytest.mark.parametrize("units", [2, 4])
def test_any_lanes_at_a_time_give_the_same_bits(units: int) -> None:
    generator, lanes = np.random.default_rng(0), units * LANES
    a, b, before = (
        generator.standard_normal(size).astype(np.float32) for size in (4 * 10, TERMS * 70 + 3, 256)
    )
    scalars, vectors = Scalars(a, 1, 10, 1), Vectors(b, 3, 70, TERMS)
    whole, narrow, chosen = before.copy(), before.copy(), before.copy()
    multiply_add_lanes(scalars, vectors, whole, PLACES, 0, (0,) * units, False)
    for part in range(0, lanes, LANES):
        multiply_add_lanes(scalars, vectors, narrow, PLACES, part, (0,), False)
    multiply_add(scalars, vectors, chosen, PLACES, (0,) * units)
    np.testing.assert_array_equal(whole, narrow)
    np.testing.assert_array_equal(whole, chosen)

    right = before.astype(np.float64)
    for row, place in enumerate(PLACES):
        values = a.reshape(4, 10)[row, 1 : 1 + TERMS].astype(np.float64)
        columns = np.stack([b[3 + 70 * term :][:lanes] for term in range(TERMS)])
        right[place : place + lanes] += values @ columns
    np.testing.assert_allclose(whole, right, atol=1e-5)
