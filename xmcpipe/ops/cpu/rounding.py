"""`ops/rounding.py` and `ops/philox.py` for one row of weights, in numba; the results have the same bits.

Rows of weights are passed as bits, uint16 [K], or [2K] for float32 and [K / 2] for 8 bits, with a `kind` that
states their format, so that one compiled function serves all formats.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from xmcpipe.ops import philox, rounding
from xmcpipe.ops.cpu.simd.compiling import compiled
from xmcpipe.ops.cpu.simd.floats import bits_of, float_of

Bits = NDArray[np.uint16]
Floats = NDArray[np.float32]
Randoms = NDArray[np.uint32]

KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2, torch.float8_e4m3fn: 3}
FLOAT32, BFLOAT16, FLOAT8 = (KINDS[each] for each in (torch.float32, torch.bfloat16, torch.float8_e4m3fn))

MASK, HALF = np.uint64(philox.MASK), np.uint64(32)
MULTIPLIER_0, MULTIPLIER_1 = np.uint64(philox.MULTIPLIER_0), np.uint64(philox.MULTIPLIER_1)
WEYL_0, WEYL_1 = np.uint64(philox.WEYL_0), np.uint64(philox.WEYL_1)

SIGN, MAGNITUDE = np.uint32(0x80000000), np.uint32(0x7FFFFFFF)
BFLOAT16_MAX = np.uint32(0x7F7F0000)
FLOAT16_MAX = np.uint32(0x477FE000)  # 65504 as float32
FLOAT16_NORMAL = np.uint32(0x38800000)  # 2^-14, the smallest normal float16
FLOAT16_BIAS = np.uint32(112 << 23)  # difference of the exponents' biases, 127 - 15, in float32 bits
FLOAT16_SCALE = np.float32(2.0**112)
FLOAT16_PLACES = np.float32(2.0**24)  # places of 1 in a subnormal float16
RANDOM_SCALE = np.float32(2.0**-16)
FLOAT8_SCALE = np.float32(rounding.FLOAT8_SCALE)
FLOAT8_VALUES = np.float32(
    2.0**120 / rounding.FLOAT8_SCALE
)  # 127 - 7, the difference of the exponents' biases
FLOAT8_BIAS = np.uint32(120 << 23)
FLOAT8_MAX = np.uint32(rounding.FLOAT8_MAX_BITS)
FLOAT8_NORMAL = np.uint32(0x3C800000)  # 2^-6
FLOAT8_PLACES = np.float32(2.0**9)  # places of 1 in a subnormal E4M3 number
INFINITY, NOT_A_NUMBER = np.uint32(0x7F800000), np.uint32(0x7FC00000)
HALF_BITS = np.uint32(0x3F000000)  # 0.5


@compiled
def random_row(key: np.uint64, stream: np.uint64, label: np.uint64, random_K: Randoms) -> None:
    """Write the bits of `rounding.random_bits` for one label; `random_K` has a multiple of 8 places."""
    for block in range(len(random_K) // 8):  # one call of Philox: four words, eight places
        # The counter and the rounds are those of `philox.random_words` and `philox.philox`.
        c0, c1, c2, c3 = label & MASK, label >> HALF, np.uint64(block), stream
        k0, k1 = key & MASK, key >> HALF
        for _ in range(philox.ROUNDS):
            product_0, product_1 = c0 * MULTIPLIER_0, c2 * MULTIPLIER_1
            c0, c1 = (product_1 >> HALF) ^ c1 ^ k0, product_1 & MASK
            c2, c3 = (product_0 >> HALF) ^ c3 ^ k1, product_0 & MASK
            k0, k1 = (k0 + WEYL_0) & MASK, (k1 + WEYL_1) & MASK
        for word, bits in enumerate((c0, c1, c2, c3)):
            random_K[8 * block + 2 * word] = bits & np.uint64(0xFFFF)
            random_K[8 * block + 2 * word + 1] = bits >> np.uint64(16)


@compiled
def copy(source: Floats, target: Floats) -> None:
    """Copy the values. Numba's own assignment of a slice is several times slower: no vectors, more checks."""
    for k in range(len(target)):
        target[k] = source[k]


@compiled
def decode(bits_K: Bits, kind: int, values_K: Floats) -> None:
    """Write the values of a row of bits to `values_K`, float32 [K]."""
    if kind == FLOAT32:
        copy(bits_K.view(np.float32), values_K)
    elif kind == BFLOAT16:
        for k in range(len(bits_K)):
            values_K[k] = float_of(np.uint32(bits_K[k]) << np.uint32(16))
    elif kind == FLOAT8:
        bytes_K = bits_K.view(np.uint8)
        for k in range(len(bytes_K)):
            bits = np.uint32(bytes_K[k])
            # As for float16 below.
            magnitude = (bits & np.uint32(0x7F)) << np.uint32(20)
            value = bits_of(float_of(magnitude) * FLOAT8_VALUES)
            if magnitude == np.uint32(0x07F00000):
                value = NOT_A_NUMBER
            values_K[k] = float_of(value | ((bits & np.uint32(0x80)) << np.uint32(24)))
    else:
        for k in range(len(bits_K)):
            bits = np.uint32(bits_K[k])
            # Exponent and fraction moved to float32's places; scaling corrects the bias, also of subnormals.
            magnitude = (bits & np.uint32(0x7FFF)) << np.uint32(13)
            value = bits_of(float_of(magnitude) * FLOAT16_SCALE)
            if magnitude >= np.uint32(0x0F800000):  # infinity or NaN
                value = magnitude | INFINITY
            # The sign bit moves from the top of 16 bits to the top of 32.
            values_K[k] = float_of(value | ((bits & np.uint32(0x8000)) << np.uint32(16)))


@compiled
def _round_to_8_bits(values_K: Floats, random_K: Randoms, bytes_K: NDArray[np.uint8]) -> None:
    for k in range(len(bytes_K)):
        bits = bits_of(values_K[k] * FLOAT8_SCALE)
        magnitude = bits & MAGNITUDE
        # The draw is the upper 16 of the 20 bits that are dropped; half of its last place is added.
        normal = min(np.uint32(magnitude + (random_K[k] << np.uint32(4)) + np.uint32(8)), FLOAT8_MAX)
        places = float_of(min(magnitude, FLOAT8_NORMAL)) * FLOAT8_PLACES
        places += (np.float32(random_K[k]) + np.float32(0.5)) * RANDOM_SCALE
        code = np.uint32(places)  # below 2^-6 the bits are the number of places
        if magnitude >= FLOAT8_NORMAL:
            code = (normal - FLOAT8_BIAS) >> np.uint32(20)
        if magnitude > INFINITY:
            code = np.uint32(0x7F)
        bytes_K[k] = code | ((bits & SIGN) >> np.uint32(24))


@compiled
def round_row(values_K: Floats, random_K: Randoms, kind: int, bits_K: Bits) -> None:
    """Write the bits of the values, rounded like `rounding.round_stochastically`; exact for float32."""
    if kind == FLOAT32:
        copy(values_K, bits_K.view(np.float32))
    elif kind == BFLOAT16:
        for k in range(len(bits_K)):
            bits = bits_of(values_K[k])
            # The carry of the random bits rounds up; the shift below drops the lower half.
            magnitude = min(np.uint32((bits & MAGNITUDE) + random_K[k]), BFLOAT16_MAX)
            if bits & MAGNITUDE > INFINITY:
                magnitude = NOT_A_NUMBER
            bits_K[k] = (magnitude | (bits & SIGN)) >> np.uint32(16)
    elif kind == FLOAT8:
        _round_to_8_bits(values_K, random_K, bits_K.view(np.uint8))
    else:
        for k in range(len(bits_K)):
            bits = bits_of(values_K[k])
            magnitude = bits & MAGNITUDE
            # Normal and subnormal results are both computed, then selected: branches would stop vectorising.
            normal = min(np.uint32(magnitude + (random_K[k] & np.uint32(0x1FFF))), FLOAT16_MAX)
            places = float_of(min(magnitude, FLOAT16_NORMAL)) * FLOAT16_PLACES
            places += np.float32(random_K[k]) * RANDOM_SCALE
            half = np.uint32(places)  # below 2^-14 the bits are the number of places
            if magnitude >= FLOAT16_NORMAL:
                half = (normal - FLOAT16_BIAS) >> np.uint32(13)
            if magnitude > INFINITY:
                half = np.uint32(0x7E00)
            bits_K[k] = half | ((bits & SIGN) >> np.uint32(16))


@compiled
def nearest_row(values_K: Floats, kind: int, bits_K: Bits) -> None:
    """Write the bits of the values, rounded to nearest, ties to even, as torch does."""
    if kind == FLOAT32:
        copy(values_K, bits_K.view(np.float32))
    elif kind == BFLOAT16:
        for k in range(len(bits_K)):
            bits = bits_of(values_K[k])
            # Half of the last place, minus one if the result is even: a tie rounds to even.
            rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
            if bits & MAGNITUDE > INFINITY:
                rounded = bits | np.uint32(0x400000)  # stays NaN even if only low bits are set
            bits_K[k] = rounded >> np.uint32(16)
    else:
        for k in range(len(bits_K)):
            bits = bits_of(values_K[k])
            magnitude = bits & MAGNITUDE
            # As above, for the 13 bits of the fraction that float16 lacks.
            normal = magnitude + np.uint32(0xFFF) + ((magnitude >> np.uint32(13)) & np.uint32(1))
            half = (normal - FLOAT16_BIAS) >> np.uint32(13)
            if magnitude < FLOAT16_NORMAL:  # between 0.5 and 1 the places of float32 are 2^-24 apart
                half = bits_of(float_of(magnitude) + np.float32(0.5)) - HALF_BITS
            elif magnitude > INFINITY:
                half = np.uint32(0x7E00)  # NaN
            elif normal > FLOAT16_MAX | np.uint32(0x1FFF):
                half = np.uint32(0x7C00)  # infinity: this rounding overflows, the stochastic one saturates
            bits_K[k] = half | ((bits & SIGN) >> np.uint32(16))
