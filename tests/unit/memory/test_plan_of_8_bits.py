"""The plan of weights of 8 bits: a byte each, and no plan of the memory mode that can't have them fails."""

from pathlib import Path

import pytest

from tests.unit.memory.test_plan import LIGHT, configure, planned
from xmcpipe.memory.plan import other_memory

BLOCK = 512  # bytes that a GPU's memory is divided into


@pytest.mark.parametrize("group", [1, 8])
def test_weights_take_half(tiny_encoder: Path, group: int) -> None:
    common = {**LIGHT, "head.group": group, "head.bias": False}
    sixteen, eight = (
        planned(tiny_encoder, "cuda", **common, **{"head.weight_dtype": dtype})
        for dtype in ("precision", "float8")
    )
    saved = sixteen.parts["classifier weights"] - 2 * eight.parts["classifier weights"]
    assert abs(saved) <= 2 * BLOCK
    assert eight.floor.bytes < sixteen.floor.bytes


def test_the_other_mode_has_whole_weights() -> None:
    other = other_memory(configure(**LIGHT, **{"head.weight_dtype": "float8"}))
    assert other is not None
    assert (other.memory, other.head.weight_dtype) == ("paper", "precision")
