"""The fused step as an operator: opcheck, torch.compile, and the arguments that it refuses."""

from typing import Any

import pytest
import torch

from tests.unit.ops.ffi_cases import FLOATS, implementation
from tests.unit.ops.loss_cases import added_loss
from tests.unit.ops.step_cases import SCALE, Case, Sizes, make_update
from xmcpipe.errors import XmcpipeError
from xmcpipe.ops import step as op
from xmcpipe.ops.cuda import rows, step
from xmcpipe.ops.layer import Positives, SparseLayer
from xmcpipe.ops.step import ffi_step_, step_


def schema_arguments(
    dtype: torch.dtype = torch.float32,
    momentum: torch.dtype | None = None,
    device: str = "cpu",
    loss: str = "bce",
) -> list[Any]:
    """The operator's arguments in the order of its schema."""
    case = Case(Sizes(3, 11, 7, 4), (dtype, dtype), momentum, device=device)
    scale, rate, step, *numbers = make_update(device)._replace(label_chunk=3)
    return [case.features, *case.layer[:4], *case.positives, scale, rate, step, loss, *numbers]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_opcheck(dtype: torch.dtype, device: str) -> None:
    torch.library.opcheck(ffi_step_, tuple(schema_arguments(dtype, dtype, device)))
    without_bias = schema_arguments(dtype, device=device, loss="squared_hinge")
    without_bias[3] = None
    torch.library.opcheck(ffi_step_, tuple(without_bias))


def test_compiles_without_a_graph_break(device: str) -> None:
    eager, traced = (schema_arguments(torch.bfloat16, device=device) for _ in range(2))
    compiled = torch.compile(lambda *args: ffi_step_(*args), fullgraph=True, backend="aot_eager")
    for result, expected in zip(compiled(*traced), ffi_step_(*eager), strict=True):
        torch.testing.assert_close(result, expected)
    assert torch.equal(traced[1], eager[1])


def test_momentum_off_a_16_byte_boundary_is_not_for_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """They read it 16 bytes at a time, as weight and index."""
    usable = lambda *tensors, group=1: rows.supports(*tensors)  # noqa: E731 - as on a GPU
    monkeypatch.setattr(op, "cuda_kernels_usable", usable)
    features, memory = torch.zeros(3, 16), torch.zeros(5 * 8 + 1)
    index = torch.zeros(5, 8, dtype=torch.uint16)
    for begin, expected in ((0, True), (1, False)):
        momentum = memory[begin : begin + 40].view(5, 8)
        layer = SparseLayer(torch.zeros(5, 8), index, None, momentum)
        assert (op._implementation(features, layer, None) is step.step_) == expected


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, torch.zeros(3, 11, dtype=torch.float64), "expected features bfloat16, float16 or float32"),
        (1, torch.zeros(4, 7).T, "expected contiguous weight"),
        (3, torch.zeros(6), "expected contiguous bias float32"),
        (4, torch.zeros(7, 3), r"expected contiguous momentum \[7, 4\], got \[7, 3\]"),
        (4, torch.zeros(7, 4, dtype=torch.float16), "expected momentum torch.float32 or bfloat16"),
        (5, torch.zeros(1, dtype=torch.int64), r"expected rows \[P\] and labels \[P\]"),
        (7, torch.tensor(1.0, dtype=torch.float64), "expected a scalar scale of torch.float32"),
        (9, torch.tensor([3]), r"expected a scalar step of torch.int64, got torch.int64 \[1\]"),
        (10, "hinge", "expected one of 'squared_hinge', 'bce', got loss = 'hinge'"),
        (15, 0, "expected label_chunk >= 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused(place: int, value: Any, message: str) -> None:
    arguments = schema_arguments()
    arguments[place] = value
    with pytest.raises(ValueError, match=message):
        ffi_step_(*arguments)


@pytest.mark.parametrize(
    ("rows", "labels"), [([3], [0]), ([-1], [0]), ([0], [7]), ([0], [-1]), ([0, 0], [2, 1])]
)
def test_positives_out_of_range_are_refused(rows: list[int], labels: list[int]) -> None:
    """On a CPU the kernel would write out of bounds."""
    case = Case(Sizes(3, 11, 7, 4), (torch.float32, torch.float32))
    positives = Positives(torch.tensor(rows), torch.tensor(labels))
    with implementation("kernel"), pytest.raises(ValueError, match=r"expected .* of positives"):
        step_(case.features, case.copy(), positives, "bce", make_update())


def test_an_added_loss_trains_in_torch() -> None:
    """Its entry in the table is enough: each step lowers the loss of the same batch."""
    case = Case(Sizes(6, 24, 20, 5), (torch.float32, torch.float32))
    layer, update = case.copy(), make_update(rate=0.002 / SCALE, factor=0.0)
    losses = []
    with added_loss() as loss, implementation("tiles"):
        for _ in range(4):
            losses.append(float(step_(case.features, layer, case.positives, loss, update)[0]))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_a_loss_that_numba_lacks_is_refused() -> None:
    case = Case(Sizes(6, 24, 20, 5), (torch.float32, torch.float32))
    layer = case.copy()
    message = r"the CPU step compiled by numba computes, .*, got 'squared_error' \(set train.loss"
    with added_loss() as loss, implementation("kernel"), pytest.raises(XmcpipeError, match=message):
        step_(case.features, layer, case.positives, loss, make_update())
    assert torch.equal(layer.weight, case.layer.weight)
