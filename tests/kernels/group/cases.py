"""What the tests of the kernels for groups share: cases, and gradients of scores in 16 bits.

B rows, S the stride of rows, D features, L labels, K fan-in, P parts of a gradient.
"""

import pytest
import torch
from torch import Tensor

from tests.kernels.cases.batch import (
    BFLOAT16,
    DTYPES,
    FLOAT16,
    Array,
    Case,
    half_of,
    make_case,
    numbers,
    to_array,
)

GROUP_SIZES = (8, 16, 32, 64)
FORMATS = [BFLOAT16, FLOAT16]
# B, L, D, K: less than a tile, a single label, more rows than a block, more connections than a step.
SHAPES = [(1, 1, 16, 16), (7, 2, 17, 16), (150, 70, 50, 48), (3, 40, 530, 512), (64, 128, 96, 64)]
every_size = pytest.mark.parametrize("size", GROUP_SIZES)


def group_case(
    batch: int,
    num_labels: int,
    num_features: int,
    fan_in: int,
    size: int,
    number_format: int = BFLOAT16,
    seed: int = 0,
    whole: bool = False,
) -> Case:
    """A case whose labels share their features in groups of `size`."""
    return make_case(
        batch,
        num_labels,
        num_features,
        fan_in,
        number_format,
        half_of(number_format),
        seed=seed,
        whole=whole,
        group=size,
    )


def half_gradient(
    case: Case, num_labels: int, number_format: int, parts: int = 1, seed: int = 1, whole: bool = False
) -> tuple[Array, Tensor]:
    """Gradients in 16-bit parts [P, labels, S], 0 in the padding, and their sum as float64 [B, labels]."""
    random = torch.Generator().manual_seed(seed)
    rest = torch.zeros(num_labels, case.stride)
    rest[:, : case.batch] = numbers((num_labels, case.batch), random, whole)
    halves = []
    for _ in range(parts):
        halves.append(rest.to(DTYPES[half_of(number_format)]))
        rest = rest - halves[-1].float()
    gradient_PLB = torch.stack(halves)
    return to_array(gradient_PLB), gradient_PLB.double().sum(0)[:, : case.batch].T
