"""The text of kernels/ffi_step.cu on the host: bit for bit if sums are exact, else close to float64."""

import math
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.kernels.cases.batch import BCE, BFLOAT16, FLOAT16, SQUARED_HINGE, Case, error, make_case
from tests.kernels.cases.step import Result, check_close, check_exact, check_far, run_step, whole_case
from tests.kernels.cases.update import STEP, Layer, make_layer

WARPS = 8
NOT_A_NUMBER = {BFLOAT16: 0x7FC0, FLOAT16: 0x7E00}


@dataclass(frozen=True)
class Tile:
    """A specialisation of the kernel."""

    weight: int = BFLOAT16
    loss: int = SQUARED_HINGE
    momentum: int = 0
    batch: int = 32
    features: int = 128
    tile: int = 32
    parts: int = 1
    score_rows: int = 16

    def macros(self) -> dict[str, int]:
        names = ("WEIGHT", "LOSS", "MOMENTUM", "BATCH", "FEATURES", "TILE", "GRADIENT_PARTS", "SCORE_ROWS")
        return dict(zip(names, astuple(self), strict=True))

    @property
    def shared(self) -> int:
        """The dynamic shared memory, by the layout in kernels/README.md."""
        splits = WARPS * self.score_rows // self.batch
        scores = splits * self.tile * (self.batch + 8) * 4
        work = max(2 * self.tile * self.features + scores, 4 * self.tile * self.features)
        bitmask = 4 * self.tile * max(self.batch // 32, 1)
        return 2 * self.features * self.batch + work + 2 * self.parts * self.tile * self.batch + bitmask

    @property
    def gradient_error(self) -> float:
        """Relative error of the gradient of a score: the spacing of 16-bit numbers, squared for two parts."""
        return (2.0**-10 if self.weight == FLOAT16 else 2.0**-7) ** self.parts

    def run(
        self, case: Case, layer: Layer, labels: tuple[int, int], order: int = 0, step: int = STEP
    ) -> Result:
        return run_step(self.macros(), self.shared, case, layer, labels, order, step)


def check_whole(tile: Tile, case: Case, labels: tuple[int, int] | None = None, bias: bool = True) -> None:
    labels = labels or (0, case.num_labels)
    layer, before = (make_layer(case, tile.weight, tile.momentum, bias) for _ in range(2))
    check_exact(case, layer, before, tile.run(case, layer, labels), labels)


TILES = [
    Tile(),
    Tile(weight=FLOAT16, momentum=2, batch=16, tile=16, parts=2),
    Tile(momentum=1, batch=64, features=768, parts=2),
]
ROUNDED = [
    Tile(loss=BCE, parts=2, momentum=1, batch=16, tile=16),
    Tile(weight=FLOAT16, loss=SQUARED_HINGE, batch=64, score_rows=32),
    Tile(weight=FLOAT16, loss=BCE),
]


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_at_every_tile_edge(tile: Tile, edge: int) -> None:
    batch, features = tile.batch + min(edge, 0), tile.features + min(edge, 0)
    labels, fan_in = 4 * tile.tile + edge, 64 + 8 * edge  # two tiles a block
    check_whole(tile, whole_case(batch, labels, features, fan_in, tile.weight, seed=edge))


@pytest.mark.parametrize(
    ("batch", "labels", "features", "fan_in"),
    [(1, 1, 8, 8), (7, 2, 9, 8), (17, 33, 100, 24), (9, 15, 128, 128)],
)
def test_any_shape(batch: int, labels: int, features: int, fan_in: int) -> None:
    check_whole(TILES[0], whole_case(batch, labels, features, fan_in, BFLOAT16, seed=batch))


def test_widest_fan_in() -> None:
    tile = Tile(batch=16, features=640, tile=16, momentum=1)
    check_whole(tile, whole_case(11, 21, 517, 512, BFLOAT16))


@pytest.mark.parametrize("tile", TILES, ids=str)
def test_a_range_of_labels_without_bias(tile: Tile) -> None:
    check_whole(tile, whole_case(9, 90, 33, 16, tile.weight), (5, 77), bias=False)


@pytest.mark.parametrize("tile", ROUNDED, ids=str)
def test_rounded_gradients(tile: Tile) -> None:
    case = make_case(tile.batch - 3, 2 * tile.tile + 5, 120, 40, tile.weight, tile.weight)
    layer, before = (make_layer(case, tile.weight, tile.momentum) for _ in range(2))
    result = tile.run(case, layer, (0, len(case.index)))
    check_close(case, layer, before, result, tile.loss, tile.gradient_error)


def test_one_part_of_the_gradient_is_right_on_average() -> None:
    tile, runs = Tile(batch=16, tile=16), 16
    case = make_case(16, 32, 100, 16)
    right = case.exact.loss_and_gradient(tile.loss)[1] @ case.exact.dense()
    gradients = []
    for step in range(runs):
        result = tile.run(case, make_layer(case, tile.weight, 0), (0, 32), step=step)
        gradients.append(result.features)
    errors = [error(features, right) for features in gradients]
    assert min(errors) > 2.0**-11
    assert error(torch.stack(gradients).mean(0), right) < 0.4 * sum(errors) / runs


@pytest.mark.parametrize("loss", [SQUARED_HINGE, BCE])
@pytest.mark.parametrize("weight", [BFLOAT16, FLOAT16])
def test_nan_is_not_hidden(weight: int, loss: int) -> None:
    tile = Tile(weight=weight, loss=loss)
    case = make_case(5, 40, 100, 16, weight, weight)
    case.x[:, 2] = NOT_A_NUMBER[weight]
    layer = make_layer(case, weight, 0)
    result = tile.run(case, layer, (0, 40))
    assert math.isnan(result.loss)
    assert result.features[2, torch.unique(case.exact.index)].isnan().all()
    assert not result.features[[0, 1, 3, 4]].isnan().any()
    assert layer.bias is not None
    assert np.isnan(layer.bias).all()


@pytest.mark.parametrize("tile", TILES, ids=str)
def test_bits_depend_on_no_order_of_lanes(tile: Tile) -> None:
    case = make_case(tile.batch - 1, 3 * tile.tile - 7, 100, 24, tile.weight, tile.weight)
    runs = []
    for order in range(3):
        layer = make_layer(case, tile.weight, tile.momentum)
        result = tile.run(case, layer, (0, len(case.index)), order)
        arrays = (layer.weight, layer.momentum, layer.bias, result.features.numpy())
        runs.append((result.loss, *(array.tobytes() for array in arrays if array is not None)))
    assert runs[1:] == runs[:1] * 2


def test_weights_past_two_to_the_31(tmp_path: Path) -> None:
    tile = Tile(batch=16, features=640, tile=16, momentum=1)
    check_far(tile.macros(), tile.shared, tile.momentum, tmp_path)
