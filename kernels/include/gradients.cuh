// Gradients of scores as 16-bit numbers, for the products on tensor cores.
#pragma once
#include "include/loss.cuh"
#include "include/philox.cuh"

// bfloat16 has the range of float32. float16 doesn't, so gradients are multiplied by a power of two in the products.
#if WEIGHT == 1 || WEIGHT == 3
#define GRADIENT_SCALE 1.0f
#elif LOSS == 1
#define GRADIENT_SCALE 64.0f      // squared hinge: gradients up to 1,023, in steps of 2^-30 at least
#elif LOSS == 2
#define GRADIENT_SCALE 16384.0f   // binary cross entropy: gradients up to 1, in steps of 2^-38 at least
#elif LOSS
#error "unknown LOSS: expected a GRADIENT_SCALE for its gradients in float16"
#endif

// 32 random bits for two rows of a label: a mixing function (two rounds of multiply and shift) keyed by seed and step.
// Philox would cost ten rounds for each pair of rows.
__device__ __forceinline__ u32 gradient_random_bits(u32 key, u64 label, int row) {
    u32 x = key + (u32)label * 0x9E3779B1u + (u32)(label >> 32) * 0x85EBCA77u + (u32)row * 0xC2B2AE3Du;
    x = (x ^ (x >> 16)) * 0x7FEB352Du;
    x = (x ^ (x >> 15)) * 0x846CA68Bu;
    return x ^ (x >> 16);
}

// The key of the rounding of gradients at an optimizer step: random words of an octet number that no label has.
__device__ __forceinline__ u32 gradient_rounding_key(i64 step, u64 seed) {
    return rounding_words(0u, 0x10000u, step, seed).x[0];
}

#if LOSS && WEIGHT
// A gradient in the range of the products' format.
__device__ __forceinline__ float scaled_gradient(float gradient) {
    gradient *= GRADIENT_SCALE;
#if WEIGHT == 2
    gradient = gradient > 65504.0f ? 65504.0f : gradient < -65504.0f ? -65504.0f : gradient;  // NaN stays NaN
#endif
    return gradient;
}

// One 16-bit number, rounded stochastically by 16 random bits, so that its error has mean 0 and averages out over
// labels. To nearest it would not: the squared hinge of a score s near 0 has the derivative 2 + 2s, bfloat16 has steps
// of 1/64 there, and every |s| < 1/128 would count as 0.
__device__ __forceinline__ half_t rounded_gradient(float gradient, u32 random) {
    half_t out;
    round_stochastically(scaled_gradient(gradient), random, out);
    return out;
}
#endif
