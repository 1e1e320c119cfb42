// Random words (Philox4x32-10) and stochastic rounding. Both give the bits of ops/philox.py and ops/rounding.py.
//
// Philox is a function of a counter and a seed: it needs no state, so that a random number depends on the label, the
// position in its row and the step alone, and not on the grid or the device.
#pragma once
#include "include/formats.cuh"

// ---- Philox4x32-10 (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3") ----------------------------

struct Words { u32 x[4]; };

__device__ __forceinline__ Words philox(u32 c0, u32 c1, u32 c2, u32 c3, u64 seed) {
    u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u32 high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        u32 high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

// ---- stochastic rounding: up with a probability equal to the part cut off, by 16 random bits -----------------------

// The four words that round connections 8 * octet .. 8 * octet + 7 of a label at an optimizer step.
__device__ __forceinline__ Words rounding_words(u64 label, u32 octet, i64 step, u64 seed) {
    return philox((u32)label, (u32)(label >> 32), octet, 0x80000000u + (u32)step, seed);
}

// The 16 random bits of connection i of the octet.
__device__ __forceinline__ u32 rounding_bits(const Words& words, int i) {
    return (words.x[i / 2] >> (16 * (i % 2))) & 0xFFFFu;
}

__device__ __forceinline__ void round_stochastically(float value, u32, float& out) { out = value; }

__device__ __forceinline__ void round_stochastically(float value, u32 random, Bf16& out) {
    u32 bits = __float_as_uint(value), sign = bits & 0x80000000u, magnitude = bits & 0x7FFFFFFFu;
    magnitude = (magnitude + random) >> 16;
    if (magnitude > 0x7F7Fu) magnitude = (value != value) ? 0x7FC0u : 0x7F7Fu;  // saturate at the largest finite number
    out.bits = (u16)(magnitude | (sign >> 16));
}

__device__ __forceinline__ void round_stochastically(float value, u32 random, Fp16& out) {
    u32 bits = __float_as_uint(value), sign = bits & 0x80000000u, magnitude = bits & 0x7FFFFFFFu;
    float size = __uint_as_float(magnitude);
    if (size < 6.103515625e-05f)  // below 2^-14 (subnormal) the spacing of float16 is always 2^-24
        size = (float)(u32)(size * 16777216.0f + (float)random * 1.52587890625e-05f) * 5.9604644775390625e-08f;
    else
        size = __uint_as_float((magnitude + (random & 0x1FFFu)) & ~0x1FFFu);
    if (size > 65504.0f) size = 65504.0f;
    from_float(value != value ? value : __uint_as_float(__float_as_uint(size) | sign), out);
}

#define E4M3_NORMAL 0.015625f      // 2^-6: numbers below it are 2^-9 apart
#define E4M3_MAX_BITS 0x43E00000u  // 448 as float32

// A weight of 8 bits is 64 times as large in its format; past the largest number it is that.
__device__ __forceinline__ void round_stochastically(float value, u32 random, E4m3& out) {
    value *= E4M3_SCALE;
    u32 bits = __float_as_uint(value), magnitude = bits & 0x7FFFFFFFu, code;
    float size = __uint_as_float(magnitude);
    // Half of the draw's last place is added, so that what it can't resolve is rounded to nearest.
    if (value != value)
        code = E4M3_NAN;
    else if (size < E4M3_NORMAL)  // subnormal: the code is the number of steps of 2^-9
        code = (u32)(size * 512.0f + ((float)random + 0.5f) * 1.52587890625e-05f);
    else
        code = (min(magnitude + (random << 4) + 8u, E4M3_MAX_BITS) >> 20) - (120u << 3);
    out.bits = (u8)(code | (bits >> 24 & 0x80u));
}
