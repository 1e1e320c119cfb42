"""The fused step on the host: its launch, and the checks of everything that it writes.

It leaves partial dX [blocks, B, D] and losses [blocks] for `ffi_step_sum`.

B rows, D features, L labels, K fan-in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.kernels.cases.batch import (
    BFLOAT16,
    FLOAT32,
    Case,
    assert_bands,
    banded,
    error,
    far,
    half_of,
    make_case,
    numbers_of,
    poisoned,
    stored,
    to_array,
    to_tensor,
)
from tests.kernels.cases.update import (
    DECAY,
    FACTOR,
    FIRST_LABEL,
    RATE,
    SCALE,
    STEP,
    Layer,
    assert_same_layer,
    make_layer,
    rounded,
    sgd_arguments,
    updated,
)
from tests.kernels.host.kernel import HostKernel

BLOCKS = 2
FLOAT32_SUMS = 2e-6  # relative error that sums of float32 may have
NO_LABEL = 2**40  # label of the padding of a list of positives


@dataclass(frozen=True)
class Result:
    """What a step returns: the sum of the losses and dX [B, D]."""

    loss: float
    features: Tensor


def whole_case(
    batch: int,
    labels: int,
    features: int,
    fan_in: int,
    number_format: int,
    seed: int = 0,
    group: int = 1,
) -> Case:
    """Features are small whole numbers, weights and biases quarters; `group` labels share their features.

    With the squared hinge all but the loss is exact in float32, in any order, and gradients are in 16 bits.
    """
    half = half_of(number_format)
    case = make_case(batch, labels, features, fan_in, number_format, half, seed=seed, whole=True, group=group)
    random = torch.Generator().manual_seed(seed)
    weight = torch.randint(-1, 2, case.exact.weight.shape, generator=random) / 4
    bias = torch.randint(-4, 5, (labels,), generator=random) / 4
    exact = replace(case.exact, weight=weight.double(), bias=bias.double())
    return replace(case, weight=to_array(stored(weight, number_format)), bias=to_array(bias), exact=exact)


# Long: one launch, with a line for each argument.
def run_step(
    macros: Mapping[str, int],
    shared: int,
    case: Case,
    layer: Layer,
    labels: tuple[int, int],
    order: int = 0,
    step: int = STEP,
    first_label: int = FIRST_LABEL,
    partials: int = BLOCKS,
    entry: str = "",
) -> Result:
    """Take the step of the labels [begin, end) in `layer`, by `partials` blocks or, with a macro CLUSTER,
    clusters; by ffi_step unless `entry` is another kernel.
    """
    num_features, cluster = len(case.x), macros.get("CLUSTER", 0)
    partial, losses = poisoned((partials, case.batch, num_features)), poisoned((partials,))
    # A list of positives may be padded.
    rows = banded(np.concatenate([case.positive_rows, np.zeros(3, np.int64)]))
    pairs = banded(np.concatenate([case.positive_labels, np.full(3, NO_LABEL)]))
    HostKernel(entry or ("ffi_step_cluster" if cluster else "ffi_step"), macros)(
        (partials * max(cluster, 1),),
        shared,
        order,
        features_DB=case.x,
        index_LK=case.index,
        partial_SBD=partial,
        partial_loss=losses,
        positive_rows=rows,
        positive_labels=pairs,
        num_positives=len(rows),
        begin=labels[0],
        end=labels[1],
        batch=case.batch,
        **case.sizes,
        **layer.arguments,
        **sgd_arguments(step, first_label),
    )
    out, loss = poisoned((case.batch, num_features)), poisoned((1,))
    HostKernel("ffi_step_sum", {})(
        (3,),
        0,
        order,
        partial_SBD=partial,
        partial_loss=losses,
        out_BD=out,
        loss_sum=loss,
        blocks=partials,
        count=out.size,
    )
    assert_bands(partial, losses, out, loss)
    layer.assert_bands()
    return Result(float(loss[0]), to_tensor(out))


def check_far(macros: Mapping[str, int], shared: int, momentum: int, folder: Path, entry: str = "") -> None:
    """Labels whose weights start past 2^31 get the bits that they get at the start of an array."""
    first, labels = 2**31 // 512, 40
    case = make_case(5, labels, 530, 512)
    near = make_layer(case, BFLOAT16, momentum)
    far_layer = near.far(first, folder)
    far_case = replace(
        case,
        index=far(case.index, first, folder / "index"),
        positive_labels=banded(case.positive_labels + first),
    )
    number = FIRST_LABEL + first
    near_result = run_step(macros, shared, case, near, (0, labels), first_label=number, entry=entry)
    far_result = run_step(macros, shared, far_case, far_layer, (first, first + labels), entry=entry)
    assert far_result.loss == near_result.loss
    assert torch.equal(far_result.features, near_result.features)
    assert_same_layer(far_layer, near, first)


def check_exact(case: Case, layer: Layer, before: Layer, result: Result, labels: tuple[int, int]) -> None:
    """Every bit after a step of a `whole_case` with the squared hinge is right, also outside the labels."""
    begin, end = labels
    loss, gradient = (each[:, begin:end] for each in case.exact.loss_and_gradient(1, before.bias is not None))
    assert abs(result.loss - float(loss.sum())) < FLOAT32_SUMS * max(1.0, float(loss.sum()))
    assert torch.equal(result.features, gradient @ case.exact.dense()[begin:end])
    dweight = (gradient.T @ case.exact.features).gather(1, case.exact.index[begin:end])
    assert_same_layer(layer, updated(before, gradient, dweight, labels))


def check_close(
    case: Case,
    layer: Layer,
    before: Layer,
    result: Result,
    loss: int,
    gradient_error: float,
    bias_error: float = FLOAT32_SUMS,
) -> None:
    """A step of all labels is right, up to the error of each gradient of a score and of float32 sums.

    The exact weight minus and plus its error are rounded by the weight's random bits: the weight must be
    between the two. For many weights both are the same value.
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
    number_format, labels = layer.weight_format, (0, len(old))
    exact = old - float(RATE) * change
    low, high = (
        numbers_of(rounded((exact + by).float(), number_format, labels), number_format)
        for by in (-doubt, doubt)
    )
    got = to_tensor(layer.weight, number_format)
    assert ((low <= got) & (got <= high)).all()
    if number_format != FLOAT32:
        assert float((low == high).double().mean()) > 0.25
    if before.bias is not None and layer.bias is not None:
        bias = case.exact.bias - float(RATE * SCALE) * gradient.sum(0)
        assert error(to_tensor(layer.bias), bias) < bias_error
