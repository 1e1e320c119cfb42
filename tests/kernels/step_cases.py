"""The fused step on the host: how it is launched, and what it must have written.

It leaves [blocks, B, D] and [blocks] for `ffi_step_sum`.

B rows, D features, L labels, K fan-in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.kernels.cases import (
    BFLOAT16,
    DTYPES,
    FLOAT32,
    Array,
    Case,
    assert_bands,
    banded,
    error,
    far,
    make_case,
    poisoned,
    to_array,
    to_tensor,
)
from tests.kernels.host.kernel import HostKernel
from xmcpipe.ops.rounding import random_bits, round_stochastically

THREADS, BLOCKS = 256, 2
SCALE, RATE, DECAY, FACTOR = (np.float32(number) for number in (0.01, 0.03, 0.05, 0.9))
STEP, SEED, FIRST_LABEL = 2**31 - 3, 2**63 + 12345, 2**32 - 7
FLOAT32_SUMS = 2e-6  # relative error that sums of float32 may have


@dataclass(frozen=True)
class Layer:
    """What a step changes."""

    weight: Array
    momentum: Array | None
    bias: Array | None
    momentum_format: int


@dataclass(frozen=True)
class Result:
    """What a step returns: the sum of the losses and dX [B, D]."""

    loss: float
    features: Tensor


def whole_case(
    batch: int, labels: int, features: int, fan_in: int, number_format: int, seed: int = 0
) -> Case:
    """Features are small whole numbers, weights and biases quarters.

    With the squared hinge all but the loss is exact in float32, in any order, and gradients are in 16 bits.
    """
    case = make_case(batch, labels, features, fan_in, number_format, number_format, seed=seed, whole=True)
    random = torch.Generator().manual_seed(seed)
    weight = torch.randint(-1, 2, case.exact.weight.shape, generator=random) / 4
    bias = torch.randint(-4, 5, (labels,), generator=random) / 4
    exact = replace(case.exact, weight=weight.double(), bias=bias.double())
    return replace(case, weight=to_array(weight.to(DTYPES[number_format])), bias=to_array(bias), exact=exact)


def make_layer(case: Case, number_format: int, momentum: int, with_bias: bool = True) -> Layer:
    """`momentum` is the macro MOMENTUM."""
    kept = BFLOAT16 if momentum == 2 else number_format
    random = torch.Generator().manual_seed(7)
    velocity = torch.randn(case.index.shape, generator=random).div(8).to(DTYPES[kept])
    return Layer(
        banded(case.weight),
        to_array(velocity) if momentum else None,
        banded(case.bias) if with_bias else None,
        kept,
    )


def run_step(
    macros: Mapping[str, int],
    shared: int,
    case: Case,
    layer: Layer,
    labels: tuple[int, int],
    order: int = 0,
    step: int = STEP,
    first_label: int = FIRST_LABEL,
) -> Result:
    """Make the step of the labels [begin, end) in `layer`."""
    num_features, fan_in = len(case.x), case.index.shape[1]
    partial, losses = poisoned((BLOCKS, case.batch, num_features)), poisoned((BLOCKS,))
    beyond = np.full(3, 2**40)  # a list of positives may be padded
    rows, pairs = (banded(np.concatenate(each)) for each in (
        (case.positive_rows, beyond * 0), (case.positive_labels, beyond)))  # fmt: skip
    scalars = [banded(np.array([number])) for number in (SCALE, RATE, np.int64(step))]
    numbers = [DECAY, FACTOR, np.uint64(SEED), np.int64(first_label), *map(np.int64, labels)]
    sizes = map(np.int32, (case.batch, case.stride, num_features, fan_in))
    arrays = [case.x, layer.weight, case.index, layer.bias, layer.momentum, partial, losses, rows, pairs]
    kernel = HostKernel("ffi_step.cu", "ffi_step", macros)
    kernel((BLOCKS,), THREADS, shared, [*arrays, np.int32(len(rows)), *scalars, *numbers, *sizes], order)
    out, loss = poisoned((case.batch, num_features)), poisoned((1,))
    total = HostKernel("ffi_step_sum.cu", "ffi_step_sum", {})
    total((3,), THREADS, 0, [partial, losses, out, loss, np.int32(BLOCKS), np.int64(out.size)], order)
    written = (partial, losses, out, loss, layer.weight, layer.momentum, layer.bias)
    assert_bands(*(array for array in written if array is not None and not isinstance(array, np.memmap)))
    return Result(float(loss[0]), to_tensor(out))


def far_away(case: Case, layer: Layer, first: int, folder: Path) -> tuple[Case, Layer]:
    """The same labels numbered from `first` on."""
    far_case = replace(
        case,
        index=far(case.index, first, folder / "index"),
        positive_labels=banded(case.positive_labels + first),
    )
    momentum = None if layer.momentum is None else far(layer.momentum, first, folder / "momentum")
    bias = None if layer.bias is None else far(layer.bias, first, folder / "bias")
    return far_case, replace(
        layer, weight=far(layer.weight, first, folder / "weight"), momentum=momentum, bias=bias
    )


def check_far(macros: Mapping[str, int], shared: int, momentum: int, folder: Path) -> None:
    """Labels whose weights lie past 2^31 get the bits that they get at the start of an array."""
    first, labels = 2**31 // 512, 40
    case = make_case(5, labels, 530, 512)
    near = make_layer(case, BFLOAT16, momentum)
    far_case, far_layer = far_away(case, make_layer(case, BFLOAT16, momentum), first, folder)
    near_result = run_step(macros, shared, case, near, (0, labels), first_label=FIRST_LABEL + first)
    far_result = run_step(macros, shared, far_case, far_layer, (first, first + labels))
    assert far_result.loss == near_result.loss
    assert torch.equal(far_result.features, near_result.features)
    arrays = ("weight", "momentum", "bias")
    for got, right in ((getattr(far_layer, name), getattr(near, name)) for name in arrays):
        assert (got is None and right is None) or got[first:].tobytes() == right.tobytes()


def check_exact(case: Case, layer: Layer, before: Layer, result: Result, labels: tuple[int, int]) -> None:
    """Every bit after a step of a `whole_case` with the squared hinge is right, also outside the labels."""
    begin, end = labels
    loss, gradient = (each[:, begin:end] for each in case.exact.loss_and_gradient(1, before.bias is not None))
    assert abs(result.loss - float(loss.sum())) < FLOAT32_SUMS * max(1.0, float(loss.sum()))
    assert torch.equal(result.features, gradient @ case.exact.dense()[begin:end])
    dweight = (gradient.T @ case.exact.features).gather(1, case.exact.index[begin:end])
    number_format = _format_of(case)
    old = to_tensor(before.weight[begin:end], number_format).float().numpy()
    change = SCALE * dweight.float().numpy() + DECAY * old
    if before.momentum is not None and layer.momentum is not None:
        velocity = to_tensor(before.momentum[begin:end], before.momentum_format).float().numpy()
        change = FACTOR * velocity + change
        stored = to_array(torch.from_numpy(change).to(DTYPES[before.momentum_format]))
        assert layer.momentum[begin:end].tobytes() == stored.tobytes()
    wanted = banded(before.weight)
    wanted[begin:end] = to_array(rounded(torch.from_numpy(old - RATE * change), number_format, labels))
    assert layer.weight.tobytes() == wanted.tobytes()
    if before.bias is not None and layer.bias is not None:
        bias = before.bias.copy()
        bias[begin:end] -= RATE * SCALE * gradient.sum(0).float().numpy()
        np.testing.assert_allclose(layer.bias, bias, rtol=1e-6, atol=1e-6)


def check_close(
    case: Case, layer: Layer, before: Layer, result: Result, loss: int, gradient_error: float
) -> None:
    """A step of all labels is right to the error that each gradient of a score may have, and sums of float32.

    A weight is one of the values that the exact one, give or take its error, is rounded to by its random
    bits; for many that is one value.
    """
    losses, gradient = case.exact.loss_and_gradient(loss)
    bound = gradient_error + FLOAT32_SUMS
    assert abs(result.loss - float(losses.sum())) < FLOAT32_SUMS * float(losses.sum())
    assert error(result.features, gradient @ case.exact.dense()) < bound
    index, features = case.exact.index, case.exact.features
    dweight = (gradient.T @ features).gather(1, index)
    doubt = float(RATE * SCALE) * bound * (gradient.abs().T @ features.abs()).gather(1, index) + 1e-7
    old = case.exact.weight
    change = float(SCALE) * dweight + float(DECAY) * old
    if before.momentum is not None and layer.momentum is not None:
        change += float(FACTOR) * to_tensor(before.momentum, before.momentum_format)
        assert error(to_tensor(layer.momentum, layer.momentum_format), change) < 2.0**-9 + bound
    number_format, labels = _format_of(case), (0, len(old))
    exact = old - float(RATE) * change
    low, high = (rounded((exact + by).float(), number_format, labels).double() for by in (-doubt, doubt))
    got = to_tensor(layer.weight, number_format)
    assert ((low <= got) & (got <= high)).all()
    if number_format != FLOAT32:
        assert float((low == high).double().mean()) > 0.25
    if before.bias is not None and layer.bias is not None:
        bias = case.exact.bias - float(RATE * SCALE) * gradient.sum(0)
        assert error(to_tensor(layer.bias), bias) < FLOAT32_SUMS


def rounded(values: Tensor, number_format: int, labels: tuple[int, int]) -> Tensor:
    """As weights are stored: float32 as it is, 16 bits by stochastic rounding."""
    if number_format == FLOAT32:
        return values
    bits = random_bits(SEED, torch.tensor(STEP), FIRST_LABEL + torch.arange(*labels), values.shape[1])
    return round_stochastically(values, bits, DTYPES[number_format])


def _format_of(case: Case) -> int:
    if case.weight.dtype == np.float32:
        return FLOAT32
    halves = to_tensor(case.weight, BFLOAT16)
    return BFLOAT16 if torch.equal(halves, case.exact.weight) else 2
