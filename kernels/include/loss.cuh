// The losses of a score, as the `kernel_code` of each in xmcpipe/ops/losses numbers them, and the search for a tile's positives.
//
// To add a loss: one more `#elif` in `loss_gradient`, and in `GRADIENT_SCALE` of include/gradients.cuh (README.md lists
// the Python side). A value of LOSS that has no branch doesn't compile.
#pragma once
#include "include/formats.cuh"

#ifndef LOSS
#define LOSS 0  // 0 none, 1 squared hinge, 2 binary cross entropy with logits
#endif

#ifdef XMC_HOST
__device__ __forceinline__ float fast_exp(float v) { return std::exp(v); }
__device__ __forceinline__ float fast_log1p(float v) { return std::log1p(v); }
#else
__device__ __forceinline__ float fast_exp(float v) { return expf(v); }
__device__ __forceinline__ float fast_log1p(float v) { return log1pf(v); }
#endif

// The derivative of the loss by the score; writes the value of the loss to `loss`.
#if LOSS == 0
// Only scores are computed: `loss_gradient` doesn't exist.
#elif LOSS == 1
__device__ __forceinline__ float loss_gradient(float score, bool positive, float& loss) {
    float slack = positive ? 1.0f - score : 1.0f + score;
    slack = slack < 0.0f ? 0.0f : slack;  // fmaxf would turn NaN into 0 and hide it
    loss = slack * slack;
    return positive ? -2.0f * slack : 2.0f * slack;
}
#elif LOSS == 2
__device__ __forceinline__ float loss_gradient(float score, bool positive, float& loss) {
    float decay = fast_exp(-fabsf(score));  // at most 1: no overflow for either sign
    float probability = score >= 0.0f ? 1.0f / (1.0f + decay) : decay / (1.0f + decay);
    loss = fmaxf(score, 0.0f) + fast_log1p(decay) - (positive ? score : 0.0f);
    return positive ? probability - 1.0f : probability;
}
#else
#error "unknown LOSS: expected 0 (none), 1 (squared hinge) or 2 (binary cross entropy)"
#endif

// The positives of a batch are (row, label) pairs sorted by label. Returns the number of pairs with a label below
// `label`, by binary search.
__device__ __forceinline__ int first_positive(const i64* labels, int count, i64 label) {
    int low = 0, high = count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (labels[middle] < label) low = middle + 1;
        else high = middle;
    }
    return low;
}
