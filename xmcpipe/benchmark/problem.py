"""A random problem: one layer, one batch and one gradient, the same for all implementations.

Legend: B rows · D features · L labels · K fan-in · P positives.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from xmcpipe.benchmark.grid import Shape
from xmcpipe.ops.topology import to_index

TOP = 5  # k of top-k
POSITIVES_PER_ROW = 5  # true labels of a document, before repeats are merged
WEIGHT_DECAY = 1e-4
END_WEIGHT = 32.0  # the first and last label have larger gradients, so that losing one is detected
POOL_ROWS = 4096  # distinct rows of the index: see `_index`


@dataclass(frozen=True)
class Problem:
    """The tensors of one shape.

    `features` [B, D] and `weight` [L, K] have `dtype`; `index` is uint16 [L, K]. `grad` [B, L] is the
    gradient of the scores: values that `dtype` can hold, stored as float32, as autograd passes it to the ops.
    `positive_rows` and `positive_labels` are int64 [P]. `scale` multiplies the loss, `rate` is the learning
    rate.
    """

    shape: Shape
    dtype: torch.dtype
    device: torch.device
    features: Tensor
    weight: Tensor
    index: Tensor
    grad: Tensor
    positive_rows: Tensor
    positive_labels: Tensor
    scale: float
    rate: float


def draw(shape: Shape, device: torch.device, seed: int, large_steps: bool) -> Problem:
    """Draw a problem; it depends only on the shape and `seed` (and on the kind of device).

    With `large_steps` an update is about as large as the weights, so that rounding can't hide a wrong one;
    without, it is as small as in training, so that repeating it hardly changes the weights.
    """
    dtype = getattr(torch, shape.dtype)
    random = torch.Generator(device).manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=random, device=device)

    weight_LK = (normal(shape.labels, shape.fan_in) / shape.fan_in**0.5).to(dtype)
    grad_BL = normal(shape.batch, shape.labels).to(dtype).float()
    grad_BL[:, [0, -1]] *= END_WEIGHT
    rows, labels = _positives(shape, random)
    return Problem(
        shape,
        dtype,
        device,
        normal(shape.batch, shape.features).to(dtype),
        weight_LK,
        _index(shape, random),
        grad_BL,
        rows,
        labels,
        scale=1.0 / shape.batch if large_steps else 1.0 / (shape.batch * shape.labels),
        rate=0.25 if large_steps else 0.05,
    )


def _index(shape: Shape, random: torch.Generator) -> Tensor:
    """K of D features at random for each label, uint16 [L, K]; the same for the G labels of a group.

    A pool of rows is drawn, and each label uses one of them: drawing a million rows, each by sorting D random
    keys, would take longer than the benchmark.
    """
    keys = torch.rand(min(POOL_ROWS, shape.labels), shape.features, generator=random, device=random.device)
    pool = keys.argsort(1)[:, : shape.fan_in].sort(1).values.to(torch.int32)
    num_groups = -(-shape.labels // shape.group)
    chosen_R = torch.randint(len(pool), (num_groups,), generator=random, device=random.device)
    return to_index(pool[chosen_R.repeat_interleave(shape.group)[: shape.labels]])


def _positives(shape: Shape, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Distinct (row, label) pairs, sorted by label: int64 [P] each."""
    size = (shape.batch * min(POSITIVES_PER_ROW, shape.labels),)
    drawn = torch.randint(shape.batch * shape.labels, size, generator=random, device=random.device)
    pairs: Tensor = torch.unique(drawn)
    return pairs % shape.batch, pairs // shape.batch
