"""An update by SGD, as kernels are passed it and as NumPy computes it, operation by operation in float32.

Weights and momentum must have the very bits that these operations give, rounded by `ops/rounding.py`. So sums
must be exact in any order: features and gradients are small whole numbers.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.kernels.cases.batch import (
    BFLOAT16,
    DTYPES,
    E4M3,
    FLOAT16,
    FLOAT32,
    Array,
    Case,
    assert_bands,
    banded,
    far,
    to_array,
    to_tensor,
)
from tests.kernels.host import kernel as host_kernel
from tests.kernels.host.kernel import Argument
from xmcpipe.ops.rounding import random_bits, round_stochastically

SCALE, RATE, DECAY, FACTOR = (np.float32(number) for number in (0.01, 0.03, 0.05, 0.9))
STEP, SEED, FIRST_LABEL = 2**31 - 3, 2**63 + 12345, 2**32 - 7
# Of neighbouring numbers; float32: of sums.
SPACING = {FLOAT32: 1e-6, BFLOAT16: 2.0**-7, FLOAT16: 2.0**-10, E4M3: 2.0**-3}
SMALLEST = {FLOAT32: 1e-7, BFLOAT16: 1e-7, FLOAT16: 1e-7, E4M3: 2.0**-15}  # distance of small numbers


@dataclass(frozen=True)
class Layer:
    """The arrays that a step changes, and their number formats."""

    weight: Array
    momentum: Array | None
    bias: Array | None
    weight_format: int
    momentum_format: int

    @property
    def arguments(self) -> dict[str, Array | None]:
        """The arrays by the names of the kernels' parameters."""
        return {"weight_LK": self.weight, "momentum_LK": self.momentum, "bias_L": self.bias}

    def copy(self) -> "Layer":
        """The layer in arrays of its own."""
        momentum, bias = (None if each is None else banded(each) for each in (self.momentum, self.bias))
        return replace(self, weight=banded(self.weight), momentum=momentum, bias=bias)

    def far(self, first: int, folder: Path) -> "Layer":
        """The layer as the labels from `first` on; the part before needs neither memory nor disk."""
        weight = far(self.weight, first, folder / "weight")
        momentum = None if self.momentum is None else far(self.momentum, first, folder / "momentum")
        bias = None if self.bias is None else far(self.bias, first, folder / "bias")
        return replace(self, weight=weight, momentum=momentum, bias=bias)

    def assert_bands(self) -> None:
        """No kernel has written next to the arrays."""
        assert_bands(
            *(
                array
                for array in self.arguments.values()
                if array is not None and not isinstance(array, np.memmap)
            )
        )


def make_layer(case: Case, weight_format: int, momentum: int, with_bias: bool = True) -> Layer:
    """The case's layer; `momentum` is the macro MOMENTUM."""
    momentum_format = BFLOAT16 if momentum == 2 else weight_format
    random = torch.Generator().manual_seed(7)
    velocity = torch.randn(case.weight.shape, generator=random).div(8).to(DTYPES[momentum_format])
    return Layer(
        banded(case.weight),
        to_array(velocity) if momentum else None,
        banded(case.bias) if with_bias else None,
        weight_format,
        momentum_format,
    )


def sgd_arguments(step: int = STEP, first_label: int = FIRST_LABEL) -> dict[str, Argument]:
    """The numbers of an update by the names of the kernels' parameters."""
    scalars = {"scale": SCALE, "rate": RATE, "step": np.int64(step)}
    arrays = {name: banded(np.array([number])) for name, number in scalars.items()}
    return {
        **arrays,
        "weight_decay": DECAY,
        "momentum_factor": FACTOR,
        "seed": SEED,
        "first_label": first_label,
    }


def updated(
    before: Layer,
    gradient: Tensor,
    dweight: Tensor,
    labels: tuple[int, int],
    first_label: int = FIRST_LABEL,
) -> Layer:
    """The layer after the step of the labels [begin, end).

    `gradient` float64 [B, end - begin] is that of the scores, `dweight` float64 [end - begin, K].
    """
    begin, end = labels
    after = before.copy()
    old = to_tensor(before.weight[begin:end], before.weight_format).float().numpy()
    change = SCALE * dweight.float().numpy() + DECAY * old
    if before.momentum is not None and after.momentum is not None:
        velocity = to_tensor(before.momentum[begin:end], before.momentum_format).float().numpy()
        change = FACTOR * velocity + change
        after.momentum[begin:end] = to_array(torch.from_numpy(change).to(DTYPES[before.momentum_format]))
    new = torch.from_numpy(old - RATE * change)
    after.weight[begin:end] = to_array(rounded(new, before.weight_format, labels, first_label))
    if after.bias is not None:
        after.bias[begin:end] -= RATE * SCALE * gradient.sum(0).float().numpy()
    return after


def rounded(
    values: Tensor, number_format: int, labels: tuple[int, int], first_label: int = FIRST_LABEL
) -> Tensor:
    """Values as weights store them: float32 unchanged, 16 and 8 bits by stochastic rounding."""
    if number_format == FLOAT32:
        return values
    numbers = first_label + torch.arange(*labels)
    bits = random_bits(SEED, torch.tensor(STEP), numbers, values.shape[1])
    return round_stochastically(values, bits, DTYPES[number_format])


def assert_same_numbers(array: Array, expected: Array, number_format: int) -> None:
    """The same bits. Compiled kernels fuse multiplications with additions: of theirs, float32 is close, and
    one number in a hundred of 16 or 8 bits may be rounded to its neighbour.
    """
    if host_kernel.build is host_kernel.build_from_text:
        assert array.tobytes() == expected.tobytes()
        return
    got, right = to_tensor(np.ascontiguousarray(array), number_format), to_tensor(expected, number_format)
    torch.testing.assert_close(got, right, rtol=SPACING[number_format], atol=SMALLEST[number_format])
    if number_format != FLOAT32:
        assert float((got != right).double().mean()) < 0.01


def assert_same_layer(layer: Layer, expected: Layer, first: int = 0) -> None:
    """Weights and momentum from row `first` on have the same bits; biases are sums, and close."""
    assert_same_numbers(layer.weight[first:], expected.weight, layer.weight_format)
    assert (layer.momentum is None) == (expected.momentum is None)
    if layer.momentum is not None and expected.momentum is not None:
        assert_same_numbers(layer.momentum[first:], expected.momentum, layer.momentum_format)
    if layer.bias is not None and expected.bias is not None:
        np.testing.assert_allclose(layer.bias[first:], expected.bias, rtol=1e-6, atol=1e-6)
