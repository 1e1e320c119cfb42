// Sums of one number per thread over a warp or a block, always in one order, so that results repeat bit for bit.
#pragma once
#include "include/formats.cuh"

// The sum over the warp, in every lane.
template <class Number>
__device__ __forceinline__ Number sum_over_warp(Number value) {
#pragma unroll
    for (int distance = WARP_SIZE / 2; distance; distance /= 2)
        value += __shfl_xor_sync(FULL_WARP, value, distance);
    return value;
}

// The sum over the block, in every thread. `scratch` is shared memory for one float per warp; all threads take part.
__device__ __forceinline__ float sum_over_block(float value, float* scratch) {
    value = sum_over_warp(value);
    if (threadIdx.x % WARP_SIZE == 0) scratch[threadIdx.x / WARP_SIZE] = value;
    __syncthreads();
    float total = 0.0f;
    for (int i = 0; i < (int)blockDim.x / WARP_SIZE; i++) total += scratch[i];
    return total;
}
