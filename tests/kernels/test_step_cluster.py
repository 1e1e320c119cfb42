"""The text of kernels/ffi_step_cluster.cu on the host, clusters of blocks included: against float64.

Its phases are those of ffi_step, whose tests are in `test_step_kernel`; here are what a cluster adds, and the
phases as they are with PIPELINED 1.
"""

from dataclasses import dataclass

import pytest
import torch

from tests.bench.gpu import designs
from tests.kernels.cases.batch import BCE, BFLOAT16, FLOAT16, SQUARED_HINGE, Case, make_case
from tests.kernels.cases.step import BLOCKS, Result, check_close, check_exact, run_step, whole_case
from tests.kernels.cases.update import Layer, make_layer
from tests.kernels.host.gpu import HostGpu
from xmcpipe.benchmark.grid import Shape
from xmcpipe.benchmark.problem import draw
from xmcpipe.ops.nvrtc.kernel_table import KERNELS, cluster_bytes
from xmcpipe.ops.nvrtc.launch import launch


@dataclass(frozen=True)
class Cluster:
    """A specialisation of the kernel."""

    cluster: int = 2
    batch: int = 32
    tile: int = 32
    weight: int = BFLOAT16
    loss: int = SQUARED_HINGE
    momentum: int = 0
    features: int = 128

    @property
    def rows(self) -> int:
        """Rows of the batch, at most."""
        return self.cluster * self.batch

    @property
    def macros(self) -> dict[str, int]:
        sizes = {"CLUSTER": self.cluster, "BATCH": self.batch, "FEATURES": self.features, "TILE": self.tile}
        return {"WEIGHT": self.weight, "LOSS": self.loss, "MOMENTUM": self.momentum, **sizes}

    def run(self, case: Case, layer: Layer, order: int = 0, partials: int = BLOCKS) -> Result:
        labels, fan_in = case.index.shape
        shared = cluster_bytes(self.macros, fan_in)
        return run_step(self.macros, shared, case, layer, (0, labels), order, partials=partials)


PAIR = Cluster()
WIDE = Cluster(batch=64, features=256, momentum=1)  # two chains of dW, two steps of the scores at a time
FOUR = Cluster(cluster=4, batch=16, tile=16, weight=FLOAT16, momentum=2)
EIGHT = Cluster(cluster=8, batch=16, tile=16)
ALONE = Cluster(cluster=1)


@pytest.mark.parametrize(
    ("kind", "rows", "labels", "features", "fan_in"),
    [
        (PAIR, 64, 4 * 32 + 1, 128, 72),
        (PAIR, 33, 17, 100, 16),  # a row and a label of the second block; 38 positives in a tile
        (PAIR, 20, 9, 9, 8),  # neither
        (WIDE, 127, 66, 255, 48),
        (FOUR, 50, 37, 128, 32),
        pytest.param(EIGHT, 120, 19, 64, 16, marks=pytest.mark.slow),
        pytest.param(ALONE, 31, 3 * 32 - 1, 127, 64, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_bit_is_right(kind: Cluster, rows: int, labels: int, features: int, fan_in: int) -> None:
    case = whole_case(rows, labels, features, fan_in, kind.weight, seed=rows)
    layer, before = (make_layer(case, kind.weight, kind.momentum) for _ in range(2))
    check_exact(case, layer, before, kind.run(case, layer), (0, labels))


def test_without_biases() -> None:
    case = whole_case(40, 35, 50, 24, BFLOAT16)
    layer, before = (make_layer(case, BFLOAT16, 0, False) for _ in range(2))
    check_exact(case, layer, before, PAIR.run(case, layer), (0, 35))


def test_rounded_gradients() -> None:
    kind = Cluster(batch=16, tile=16, loss=BCE)
    case = make_case(kind.rows - 3, 37, 120, 40)
    layer, before = (make_layer(case, kind.weight, 0) for _ in range(2))
    check_close(case, layer, before, kind.run(case, layer), kind.loss, 2.0**-7)


def test_bits_depend_on_no_order_of_lanes_and_weights_on_no_number_of_clusters() -> None:
    kind = Cluster(batch=16, tile=16, loss=BCE)
    case = make_case(kind.rows - 1, 53, 100, 24)
    runs = []
    for order, partials in ((0, 2), (1, 2), (2, 1), (3, 3)):
        layer = make_layer(case, kind.weight, 0)
        result = kind.run(case, layer, order, partials)
        assert layer.bias is not None
        runs.append((layer.weight.tobytes(), layer.bias.tobytes(), result))
    assert all(run[:2] == runs[0][:2] for run in runs)
    first, second, *others = (result for *_, result in runs)
    assert first.loss == second.loss
    assert torch.equal(first.features, second.features)
    for other in others:  # sums over tiles in another order
        torch.testing.assert_close(other.features, first.features, rtol=1e-5, atol=1e-6)


def test_a_grid_of_no_whole_clusters_is_refused(host_gpu: HostGpu) -> None:
    variant = KERNELS["ffi_step_cluster"].variant(CLUSTER=2)
    with pytest.raises(ValueError, match="expected whole clusters of 2 blocks, got the grid"):
        launch(variant, torch.device("cpu"), (3,), 0)


@pytest.mark.parametrize(
    ("batch", "names"),
    [
        (16, ["one pass", "warpgroups", "clusters"]),
        (70, ["warpgroups", "clusters"]),
        (129, ["clusters"]),
        (513, []),
    ],
)
def test_the_benchmark_of_designs_has_all_that_can_take_the_step(
    host_gpu: HostGpu, batch: int, names: list[str]
) -> None:
    problem = draw(Shape(64, 16, 128, batch, "bfloat16"), torch.device("cpu"), 1, large_steps=False)
    assert list(designs.calls(problem)) == [*names, "chunks"]


def test_the_benchmark_of_designs_times_no_wrong_one(host_gpu: HostGpu) -> None:
    problem = draw(Shape(300, 16, 128, 16, "bfloat16"), torch.device("cpu"), 1, large_steps=False)
    calls = {name: call for name, call in designs.calls(problem).items() if name != "clusters"}
    loss, grad_BD = designs.calls(problem)["one pass"]()  # on weights of its own
    calls |= {"loss": lambda: (loss * 1.001, grad_BD), "dX": lambda: (loss, grad_BD.roll(1, 0))}
    calls |= {"NaN": lambda: (loss, grad_BD / 0.0)}
    assert designs.wrong_designs(calls) == ["loss", "dX", "NaN"]
    entries = {variant.kernel.entry for variant, _ in host_gpu.launches}
    assert {"ffi_step", "ffi_step_sum", "ffi_scores", "ffi_grad_weight"} <= entries
