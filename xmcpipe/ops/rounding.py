"""Stochastic rounding of float32 to bfloat16 and float16: up or down at random, right on average.

A weight kept in 16 bits loses every update smaller than half its last place if it is rounded to nearest; at
random, with a chance equal to the distance, it takes the right step in expectation (Gupta et al., "Deep
learning with limited numerical precision", ICML 2015). The random bits are a function of (seed, step, label,
place) alone, so a CPU and a GPU, in any chunks, round alike.

L labels, K places; 16 bits are drawn for each place: Philox word k // 2 of the label's row, its low half for
even k and its high half for odd k.
"""

import torch
from torch import Tensor

from xmcpipe.ops.philox import random_words

STREAM_ROUNDING = 1 << 31  # plus the step: the streams below it belong to rewirings
FLOAT16_MAX, FLOAT16_NORMAL, FLOAT16_LAST = 65504.0, 2.0**-14, 2.0**-24
BFLOAT16_MAX_BITS = 0x7F7F0000
SIGN = -(1 << 31)


def random_bits(seed: int, step: Tensor, labels_R: Tensor, num_places: int) -> Tensor:
    """16 random bits a place, int32 [R, num_places] in [0, 65536).

    `step`: int64 scalar, 0 <= step < 2^31 - 1; `labels_R`: the labels' own numbers, int64.
    """
    words = random_words(seed, STREAM_ROUNDING + step, labels_R, (num_places + 1) // 2)
    halves = torch.stack((words & 0xFFFF, words >> 16), dim=2)
    return halves.flatten(1)[:, :num_places].to(torch.int32)


def round_stochastically(values: Tensor, random: Tensor, dtype: torch.dtype) -> Tensor:
    """float32 `values` in `dtype`: one of its two neighbours, by the int32 `random` in [0, 65536).

    Beyond the largest finite value that value is returned; what is not a number stays so. Raises ValueError
    for other types than bfloat16 and float16.
    """
    if dtype not in ROUND:
        raise ValueError(f"bfloat16 or float16 is wanted, got {dtype}")
    return torch.where(values.isnan(), values, ROUND[dtype](values, random)).to(dtype)


def _to_bfloat16(values: Tensor, random: Tensor) -> Tensor:
    bits = values.contiguous().view(torch.int32)
    magnitude = ((bits & ~SIGN) + random).clamp_(max=BFLOAT16_MAX_BITS) & ~0xFFFF
    return (magnitude | (bits & SIGN)).view(torch.float32)


def _to_float16(values: Tensor, random: Tensor) -> Tensor:
    bits = values.abs().contiguous().view(torch.int32)
    normal = ((bits + (random & 0x1FFF)) & ~0x1FFF).view(torch.float32)
    # Below 2^-14 the places of float16 are 2^-24 apart, however small the number is.
    below = torch.floor(values.abs() * 2.0**24 + random.float() * 2.0**-16) * FLOAT16_LAST
    magnitude = torch.where(values.abs() >= FLOAT16_NORMAL, normal, below).clamp_(max=FLOAT16_MAX)
    return torch.copysign(magnitude, values)


ROUND = {torch.bfloat16: _to_bfloat16, torch.float16: _to_float16}
