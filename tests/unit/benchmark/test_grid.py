"""The shapes of a grid, and grids that are errors."""

from dataclasses import replace
from typing import Any

import pytest

from xmcpipe.benchmark import grid
from xmcpipe.benchmark.grid import Grid, Shape, choose
from xmcpipe.errors import XmcpipeError
from xmcpipe.machine import processor
from xmcpipe.ops.topology import MAX_FEATURES


def test_a_grid_is_every_combination_and_the_fan_in_changes_first() -> None:
    shapes = list(Grid(labels=(5, 6), fan_in=(1, 2), features=(9,), batch=(3,), dtype=("float32",)).shapes())
    assert [(each.labels, each.fan_in) for each in shapes] == [(5, 1), (5, 2), (6, 1), (6, 2)]
    assert shapes[0].title == "L 5 · K 1 · D 9 · B 3 · float32"
    assert Shape(5, 1, 9, 3, "float32", 4).title == "L 5 · K 1 · D 9 · B 3 · G 4 · float32"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fan_in": (800,)}, "got K = 800 for D = 768"),
        ({"labels": (0,)}, "L = 0"),
        ({"features": (65_537,)}, "D <= 65,536"),
        ({"dtype": ("float32", "int8")}, "got 'int8'"),
        ({"what": ("sideways",)}, "got 'sideways'"),
        ({"seconds": 0.0}, "above 0"),
        ({"repeats": 0}, "above 0"),
    ],
)
def test_an_impossible_grid_is_one_line(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(XmcpipeError, match=words) as caught:
        Grid(**settings)
    assert "\n" not in str(caught.value)


def test_the_default_grid_is_the_devices_and_options_override_it(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = {"labels": None, "fan_in": None}
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset({"avx512_bf16"}))
    assert choose("cpu", False, nothing) == grid.CPU
    assert choose("cuda", False, nothing) == grid.CUDA
    assert choose("cuda", True, nothing) == grid.QUICK
    assert choose("cpu", True, {"labels": (7,)}) == replace(grid.QUICK, labels=(7,))
    monkeypatch.setattr(processor, "cpu_flags", frozenset)
    assert choose("cpu", False, nothing) == replace(grid.CPU, dtype=("float32",))
    assert choose("cuda", False, nothing) == grid.CUDA
    assert choose("cpu", False, {"dtype": ("bfloat16",)}).dtype == ("bfloat16",)


def test_float16_is_for_cuda() -> None:
    assert choose("cuda", True, {"dtype": ("float16",)}).dtype == ("float16",)
    with pytest.raises(XmcpipeError, match="on CUDA only"):
        choose("cpu", True, {"dtype": ("float16",)})


def test_the_limit_of_features_is_that_of_the_index() -> None:
    assert grid.MAX_FEATURES == MAX_FEATURES
    Shape(1, 1, MAX_FEATURES, 1, "float32")
