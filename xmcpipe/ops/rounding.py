"""Stochastic rounding of float32 to fewer bits: up or down at random, right on average.

A 16-bit weight that is rounded to nearest loses every update smaller than half its last place. If it is
rounded to one of its two neighbours at random, to the nearer one with the higher probability, it moves by the
right amount in expectation (Gupta et al., "Deep learning with limited numerical precision", ICML 2015). The
random bits are a function of (seed, step, label, place) alone, so CPUs and GPUs round to the same values, in
any chunks.

R labels, K places. Each place gets 16 bits: word k // 2 of Philox in the label's row, its low half for even k
and its high half for odd k.

Weights of 8 bits are E4M3 numbers: 4 bits of exponent, 3 of fraction, no infinity. They are stored times 64,
so that they cover 2^-15 to 7 in magnitude: those of a layer are small, and below 2^-6 the numbers of E4M3
are equally spaced, 2^-9 apart. `decoded` gives the weights themselves. Masking bits of the fraction before a
cast would not do: the cast rounds numbers below 2^-6 once more, to nearest, and small updates vanish.
"""

import torch
from torch import Tensor

from xmcpipe.ops.philox import random_words

STREAM_ROUNDING = 1 << 31  # plus the step; streams below this belong to rewirings
FLOAT16_MAX, FLOAT16_NORMAL, FLOAT16_LAST = 65504.0, 2.0**-14, 2.0**-24
BFLOAT16_MAX_BITS = 0x7F7F0000
FLOAT8 = torch.float8_e4m3fn
FLOAT8_SCALE = 64.0
FLOAT8_MAX_BITS, FLOAT8_NORMAL, FLOAT8_LAST = 0x43E00000, 2.0**-6, 2.0**-9  # 448 in float32 bits
FLOAT8_MAX = 448.0 / FLOAT8_SCALE  # the largest weight
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
    What is stored in 8 bits is 64 times the value. Raises ValueError for dtypes other than bfloat16,
    float16 and float8_e4m3fn.
    """
    if dtype not in ROUND:
        raise ValueError(f"expected bfloat16, float16 or float8_e4m3fn, got {dtype}")
    return torch.where(values.isnan(), values, ROUND[dtype](values, random)).to(dtype)


def decoded(weight: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The values of stored weights in `dtype`, by default in their own, or float32 for those of 8 bits."""
    if weight.dtype == FLOAT8:
        return weight.float().mul_(1.0 / FLOAT8_SCALE).to(dtype or torch.float32)
    return weight if dtype is None else weight.to(dtype)


def encoded(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values as they are stored in `dtype`, rounded to nearest; beyond the range of 8 bits, its end."""
    if dtype == FLOAT8:
        return values.float().clamp(-FLOAT8_MAX, FLOAT8_MAX).mul(FLOAT8_SCALE).to(FLOAT8)
    return values.to(dtype)


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


def _to_float8(values: Tensor, random: Tensor) -> Tensor:
    """64 times the value, rounded to a number of E4M3."""
    values = values * FLOAT8_SCALE
    bits = values.abs().contiguous().view(torch.int32)
    # E4M3 has 20 bits of the fraction fewer than float32: the draw is in the upper 16 of them, and half of
    # its last place is added, so that what the draw can't resolve is rounded to nearest.
    normal = bits.add(random << 4).add_(8).clamp_(max=FLOAT8_MAX_BITS) & ~0xFFFFF
    places = torch.floor(values.abs() * 2.0**9 + (random.float() + 0.5) * 2.0**-16) * FLOAT8_LAST
    magnitude = torch.where(values.abs() >= FLOAT8_NORMAL, normal.view(torch.float32), places)
    return torch.copysign(magnitude, values)


ROUND = {torch.bfloat16: _to_bfloat16, torch.float16: _to_float16, FLOAT8: _to_float8}
