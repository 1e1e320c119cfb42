"""Stochastic rounding of float32 to bfloat16 and float16: up or down at random, right on average.

A 16-bit weight that is rounded to nearest loses every update smaller than half its last place. If it is
rounded to one of its two neighbours at random, to the nearer one with the higher probability, it moves by the
right amount in expectation (Gupta et al., "Deep learning with limited numerical precision", ICML 2015). The
random bits are a function of (seed, step, label, place) alone, so CPUs and GPUs round to the same values, in
any chunks.

R labels, K places. Each place gets 16 bits: word k // 2 of Philox in the label's row, its low half for even k
and its high half for odd k.
"""

import torch
from torch import Tensor

from xmcpipe.ops.philox import random_words

STREAM_ROUNDING = 1 << 31  # plus the step; streams below this belong to rewirings
FLOAT16_MAX, FLOAT16_NORMAL, FLOAT16_LAST = 65504.0, 2.0**-14, 2.0**-24
BFLOAT16_MAX_BITS = 0x7F7F0000
SIGN = -(1 << 31)


def random_bits(seed: int, step: Tensor, labels_R: Tensor, num_places: int) -> Tensor:
    """16 random bits for each place, int32 [R, num_places] in [0, 65536).

    `step`: int64 scalar, 0 <= step < 2^31 - 1; `labels_R`: the numbers of the labels among all labels, int64.
    """
    # Half a word for each place: 16 bits are as many as bfloat16 drops, and more than float16 does.
    words = random_words(seed, STREAM_ROUNDING + step, labels_R, (num_places + 1) // 2)
    halves = torch.stack((words & 0xFFFF, words >> 16), dim=2)
    return halves.flatten(1)[:, :num_places].to(torch.int32)


def round_stochastically(values: Tensor, random: Tensor, dtype: torch.dtype) -> Tensor:
    """Round float32 `values` to one of the two neighbours in `dtype`, chosen by the int32 `random`.

    `random` is in [0, 65536). Values beyond the largest finite number become that number; NaN stays NaN.
    Raises ValueError for dtypes other than bfloat16 and float16.
    """
    if dtype not in ROUND:
        raise ValueError(f"expected bfloat16 or float16, got {dtype}")
    return torch.where(values.isnan(), values, ROUND[dtype](values, random)).to(dtype)


def _to_bfloat16(values: Tensor, random: Tensor) -> Tensor:
    bits = values.contiguous().view(torch.int32)
    # Adding the random bits carries into the upper half with the probability of the dropped part.
    magnitude = ((bits & ~SIGN) + random).clamp_(max=BFLOAT16_MAX_BITS) & ~0xFFFF
    return (magnitude | (bits & SIGN)).view(torch.float32)


def _to_float16(values: Tensor, random: Tensor) -> Tensor:
    bits = values.abs().contiguous().view(torch.int32)
    # float16 has 13 bits of the fraction fewer than float32.
    normal = ((bits + (random & 0x1FFF)) & ~0x1FFF).view(torch.float32)
    # Below 2^-14 float16 is subnormal: its numbers are 2^-24 apart.
    below = torch.floor(values.abs() * 2.0**24 + random.float() * 2.0**-16) * FLOAT16_LAST
    magnitude = torch.where(values.abs() >= FLOAT16_NORMAL, normal, below).clamp_(max=FLOAT16_MAX)
    return torch.copysign(magnitude, values)


ROUND = {torch.bfloat16: _to_bfloat16, torch.float16: _to_float16}
