"""The text of kernels/wgmma/ffi_step_wgmma.cu on the host, against float64: bit for bit if sums are exact."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.kernels.cases.batch import BCE, BFLOAT16, SQUARED_HINGE, Case, error, make_case
from tests.kernels.cases.step import (
    BLOCKS,
    Result,
    check_close,
    check_exact,
    check_far,
    run_step,
    whole_case,
)
from tests.kernels.cases.update import STEP, Layer, make_layer
from xmcpipe.ops.nvrtc.kernel_table import cluster_bytes, step_bytes, wgmma_bytes

ENTRY, TILE, NOT_A_NUMBER = "ffi_step_wgmma", 64, 0x7FC0


@dataclass(frozen=True)
class Kind:
    """A specialisation of the kernel."""

    features: int = 384
    loss: int = SQUARED_HINGE
    momentum: int = 0
    cluster: int = 1

    @property
    def rows(self) -> int:
        """Rows of the batch, at most."""
        return 64 * self.cluster

    @property
    def macros(self) -> dict[str, int]:
        sizes = {"CLUSTER": self.cluster, "BATCH": 64, "FEATURES": self.features, "TILE": TILE}
        return {"WEIGHT": BFLOAT16, "LOSS": self.loss, "MOMENTUM": self.momentum, **sizes}

    def run(
        self,
        case: Case,
        layer: Layer,
        labels: tuple[int, int],
        order: int = 0,
        partials: int = BLOCKS,
        step: int = STEP,
    ) -> Result:
        shared = wgmma_bytes(self.macros, case.index.shape[1])
        return run_step(self.macros, shared, case, layer, labels, order, step, partials=partials, entry=ENTRY)


SMALL, WIDE = Kind(), Kind(features=768, momentum=1)
PAIR, WIDE_PAIR = Kind(cluster=2), Kind(features=768, momentum=1, cluster=2)


def check_whole(kind: Kind, case: Case, labels: tuple[int, int] | None = None, bias: bool = True) -> None:
    labels = labels or (0, case.num_labels)
    layer, before = (make_layer(case, BFLOAT16, kind.momentum, bias) for _ in range(2))
    check_exact(case, layer, before, kind.run(case, layer, labels), labels)


@pytest.mark.parametrize(
    ("kind", "rows", "labels", "features", "fan_in"),
    [
        (SMALL, 64, 2 * TILE, 384, 64),
        (SMALL, 1, 1, 8, 8),
        (SMALL, 33, 4 * TILE + 1, 383, 72),  # three tiles of a block, a row of the second warpgroup
        (SMALL, 9, TILE // 2 + 1, 200, 200),  # a label of the second half of dW
        (WIDE, 61, 2 * TILE - 1, 768, 128),
        (WIDE, 31, 3 * TILE + 7, 577, 512),
        (PAIR, 128, 2 * TILE, 384, 64),
        (PAIR, 65, 4 * TILE + 33, 383, 72),  # three tiles of a cluster; a row and a label of the second block
        (
            PAIR,
            100,
            3 * TILE + 5,
            200,
            200,
        ),  # no label of the second block; more is received than there are scores
        (PAIR, 20, 1, 8, 8),  # no row of it
        (WIDE_PAIR, 127, 2 * TILE - 1, 768, 192),
    ],
    ids=str,
)
def test_every_bit_is_right(kind: Kind, rows: int, labels: int, features: int, fan_in: int) -> None:
    check_whole(kind, whole_case(rows, labels, features, fan_in, BFLOAT16, seed=rows))


@pytest.mark.parametrize("kind", [SMALL, PAIR], ids=str)
def test_a_range_of_labels_without_bias(kind: Kind) -> None:
    check_whole(kind, whole_case(kind.rows - 44, 150, 90, 16, BFLOAT16), (5, 137), bias=False)


@pytest.mark.parametrize("kind", [Kind(loss=BCE, momentum=2), SMALL, Kind(loss=BCE, cluster=2)], ids=str)
def test_rounded_gradients(kind: Kind) -> None:
    case = make_case(kind.rows - 3, TILE + 5, 300, 40)
    layer, before = (make_layer(case, BFLOAT16, kind.momentum) for _ in range(2))
    result = kind.run(case, layer, (0, len(case.index)))
    check_close(case, layer, before, result, kind.loss, 2.0**-7)


@pytest.mark.parametrize("kind", [Kind(loss=BCE), Kind(loss=BCE, cluster=2)], ids=str)
def test_gradients_are_rounded_by_the_random_bits_of_ffi_step(kind: Kind) -> None:
    """Scores are exact, so gradients of scores are the same numbers before they are rounded to 16 bits."""
    case = whole_case(kind.rows - 14, TILE + 9, 200, 40, BFLOAT16)
    macros = {**kind.macros, "TILE": 32}
    shared = cluster_bytes(macros, 40)
    if kind.cluster == 1:
        del macros["CLUSTER"]
        shared = step_bytes(macros := {**macros, "GRADIENT_PARTS": 1})
    layers = [make_layer(case, BFLOAT16, 0) for _ in range(2)]
    theirs = run_step(macros, shared, case, layers[0], (0, case.num_labels))
    ours = kind.run(case, layers[1], (0, case.num_labels))
    assert error(ours.features, theirs.features.double()) < 1e-6
    exact = case.exact.loss_and_gradient(BCE)[1] @ case.exact.dense()
    assert error(ours.features, exact) > 2.0**-11  # they were rounded
    assert np.count_nonzero(layers[0].weight != layers[1].weight) <= 2


@pytest.mark.parametrize("kind", [Kind(loss=BCE), Kind(loss=BCE, cluster=2)], ids=str)
def test_bits_depend_on_no_order_of_lanes_and_weights_on_no_number_of_blocks(kind: Kind) -> None:
    case = make_case(kind.rows - 27, 2 * TILE + 5, 100, 24)
    runs = []
    for order, partials in ((0, 2), (1, 2), (2, 1)):
        layer = make_layer(case, BFLOAT16, 0)
        result = kind.run(case, layer, (0, case.num_labels), order, partials)
        assert layer.bias is not None
        runs.append((layer.weight.tobytes(), layer.bias.tobytes(), result))
    assert all(run[:2] == runs[0][:2] for run in runs)
    first, second, other = (result for *_, result in runs)
    assert first.loss == second.loss
    assert torch.equal(first.features, second.features)
    torch.testing.assert_close(other.features, first.features, rtol=1e-5, atol=1e-6)


def test_nan_is_not_hidden() -> None:
    case = make_case(40, 70, 100, 16)
    case.x[:, 35] = NOT_A_NUMBER
    layer = make_layer(case, BFLOAT16, 0)
    result = SMALL.run(case, layer, (0, 70))
    assert math.isnan(result.loss)
    assert result.features[35, torch.unique(case.exact.index)].isnan().all()
    assert not torch.cat([result.features[:35], result.features[36:]]).isnan().any()
    assert layer.bias is not None
    assert np.isnan(layer.bias).all()


@pytest.mark.parametrize("kind", [WIDE, WIDE_PAIR], ids=str)  # the pair with more shared memory than there is
def test_weights_past_two_to_the_31(kind: Kind, tmp_path: Path) -> None:
    check_far(kind.macros, wgmma_bytes(kind.macros, 512), kind.momentum, tmp_path, ENTRY)
