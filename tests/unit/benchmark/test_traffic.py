"""The bytes that an operation must move."""

import pytest

from xmcpipe.benchmark.grid import DTYPES, WHAT, Shape
from xmcpipe.benchmark.implementations import IMPLEMENTATIONS
from xmcpipe.benchmark.traffic import BYTES, FORMULAS, bytes_moved


def test_every_operation_that_is_timed_has_a_formula() -> None:
    timed = {(what, kind.name) for what in WHAT for kind in IMPLEMENTATIONS} - {("step", "embedding_bag")}
    assert set(FORMULAS) == timed
    assert set(BYTES) == set(DTYPES)


def test_the_floor_of_a_step_is_six_bytes_a_connection_in_16_bits() -> None:
    shape = Shape(670_091, 128, 768, 64, "bfloat16")
    assert bytes_moved("step", "ffi", shape) == 670_091 * 128 * 6 + 64 * 768 * 6
    assert bytes_moved("step", "dense", shape) == 670_091 * 768 * 4 + 64 * 768 * 4


@pytest.mark.parametrize(("what", "implementation"), FORMULAS)
def test_every_formula_is_a_number_of_bytes(what: str, implementation: str) -> None:
    shape = Shape(100, 4, 16, 3, "float32")
    assert bytes_moved(what, implementation, shape) > shape.labels * shape.fan_in * 4
