// The SGD step of eight neighbouring connections of a label, where their gradients are: the weights are read and written
// once, 16 bytes at a time, and one Philox call rounds all eight.
//
// MOMENTUM: 0 none, 1 kept in the weights' format, 2 in bfloat16.
#pragma once
#include "common.cuh"

#ifndef MOMENTUM
#define MOMENTUM 0
#endif
#if MOMENTUM == 2
typedef Bf16 momentum_t;
#else
typedef weight_t momentum_t;
#endif

// `label` is the label's own number, `block` the place of the first connection over 8. `momentum` isn't touched without
// MOMENTUM.
__device__ __forceinline__ void update8(const Sgd& by, const float* gradient, weight_t* weight, momentum_t* momentum,
                                        u64 label, u32 block, i64 step, u64 seed) {
    float old[8], velocity[8];
    weight_t rounded[8];
    load8(weight, old);
#if MOMENTUM
    momentum_t stored[8];
    load8(momentum, velocity);
#endif
#if WEIGHT == 0
    Words words = {};  // float32 is stored as it is
#else
    Words words = rounding_words(label, block, step, seed);
#endif
#pragma unroll
    for (int i = 0; i < 8; i++) {
#if MOMENTUM
        float fresh = sgd_with_momentum(by, old[i], gradient[i], velocity[i]);
        from_float(velocity[i], stored[i]);
#else
        float fresh = sgd(by, old[i], gradient[i], velocity[i]);
#endif
        round_randomly(fresh, rounding_bits(words, i), rounded[i]);
    }
    store8(weight, rounded);
#if MOMENTUM
    store8(momentum, stored);
#endif
}
