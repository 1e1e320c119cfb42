// The SGD step of the weights, where their gradients are computed.
//
// Eight neighbouring connections of a label (an octet) are updated together: their weights are read and written once,
// by 16-byte accesses (8 bits: 8 bytes), and one Philox call gives the random bits that round all eight.
//
// MOMENTUM: 0 none, 1 stored in the format of the weights, 2 stored in bfloat16.
#pragma once
#include "include/philox.cuh"

#ifndef MOMENTUM
#define MOMENTUM 0
#endif
#if MOMENTUM == 0 || (MOMENTUM == 1 && WEIGHT != 3)
typedef weight_t momentum_t;
#elif MOMENTUM == 2
typedef Bf16 momentum_t;
#else
#error "unknown MOMENTUM: expected 0 (none), 1 (format of the weights, but not of 8 bits) or 2 (bfloat16)"
#endif

// Hyperparameters of a step, as torch.optim.SGD names them.
struct Sgd {
    float scale;         // factor of the gradient: the gradient of a mean is the gradient of the sum times this
    float rate;
    float weight_decay;
    float momentum;      // 0: no momentum
};

// The new weight, before rounding. `velocity` is the momentum, updated in place (not read without momentum).
__device__ __forceinline__ float sgd_weight(const Sgd& sgd, float weight, float gradient, float& velocity) {
    float change = sgd.scale * gradient + sgd.weight_decay * weight;
    if (sgd.momentum != 0.0f) change = velocity = sgd.momentum * velocity + change;
    return weight - sgd.rate * change;
}

// The same if momentum is stored. Its factor may be 0: the momentum is then the last change, as in torch.
__device__ __forceinline__ float sgd_weight_with_momentum(const Sgd& sgd, float weight, float gradient,
                                                          float& velocity) {
    velocity = sgd.momentum * velocity + (sgd.scale * gradient + sgd.weight_decay * weight);
    return weight - sgd.rate * velocity;
}

// Updates an octet in place. `label` is the label's global number and `octet` the position of the first connection
// divided by 8: both choose the random bits. Without MOMENTUM, `momentum` isn't accessed.
__device__ __forceinline__ void update8(const Sgd& sgd, const float* gradient, weight_t* weight, momentum_t* momentum,
                                        u64 label, u32 octet, i64 step, u64 seed) {
    float old[8], velocity[8];
    weight_t rounded[8];
    load8(weight, old);
#if MOMENTUM
    momentum_t stored[8];
    load8(momentum, velocity);
#endif
#if WEIGHT == 0
    Words words = {};  // float32 isn't rounded
#else
    Words words = rounding_words(label, octet, step, seed);
#endif
#pragma unroll
    for (int i = 0; i < 8; i++) {
#if MOMENTUM
        float updated = sgd_weight_with_momentum(sgd, old[i], gradient[i], velocity[i]);
        from_float(velocity[i], stored[i]);
#else
        float updated = sgd_weight(sgd, old[i], gradient[i], velocity[i]);
#endif
        round_stochastically(updated, rounding_bits(words, i), rounded[i]);
    }
    store8(weight, rounded);
#if MOMENTUM
    store8(momentum, stored);
#endif
}
