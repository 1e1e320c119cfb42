"""The bytes that must move."""

import pytest

from xmcpipe.benchmark.contenders import CONTENDERS
from xmcpipe.benchmark.grid import DTYPES, WHAT, Shape
from xmcpipe.benchmark.traffic import BYTES, FORMULAS, bytes_moved


def test_whatever_can_be_timed_has_a_formula():
    wanted = {(what, kind.name) for what in WHAT for kind in CONTENDERS} - {("step", "embedding_bag")}
    assert set(FORMULAS) == wanted
    assert set(BYTES) == set(DTYPES)


def test_the_floor_of_a_step_is_six_bytes_a_connection_in_16_bits():
    shape = Shape(670_091, 128, 768, 64, "bfloat16")
    assert bytes_moved("step", "ffi", shape) == 670_091 * 128 * 6 + 64 * 768 * 6
    assert bytes_moved("step", "dense", shape) == 670_091 * 768 * 4 + 64 * 768 * 4


@pytest.mark.parametrize(("what", "contender"), FORMULAS)
def test_every_formula_is_a_number_of_bytes(what, contender):
    shape = Shape(100, 4, 16, 3, "float32")
    assert bytes_moved(what, contender, shape) > shape.labels * shape.fan_in * 4
