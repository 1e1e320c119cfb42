// For the fused step: the positives of a tile of labels, a sum over a block, a look ahead.
#pragma once
#include "update.cuh"

// One bit for each row of the batch and each label of a tile, set where the label is one of the row's:
// marks[label - begin][row / 32], bit row % 32. (row, label) pairs are sorted by label; pairs of labels outside
// [begin, begin + tile) are passed over, so that a list may be padded with labels that don't exist. One warp calls it.
//
// Returns the number of pairs of labels below `begin`; `from` is such a number for an earlier tile. Few pairs lie between
// a block's tiles: the next 32 are looked at first, then places at equal distances, three rounds for 32,768 pairs.
__device__ __forceinline__ int mark_positives(u32* marks, int words, const i64* rows, const i64* labels, int count,
                                              i64 begin, int tile, int from) {
    int lane = threadIdx.x % WARP_SIZE, low = from, high = count;  // what is looked for is one of low .. high
    for (int i = lane; i < tile * words; i += WARP_SIZE) marks[i] = 0u;
    for (bool near = true; low < high; near = false) {
        int pace = near ? 1 : (high - low + WARP_SIZE - 1) / WARP_SIZE, probe = low + lane * pace;
        int passed = __popc(__ballot_sync(FULL_WARP, probe < high && labels[probe] < begin));
        if (passed < WARP_SIZE) high = min(high, low + passed * pace);
        if (passed) low += (passed - 1) * pace + 1;
    }
    __syncwarp();
    for (int i = low + lane; i < count; i += WARP_SIZE) {
        i64 label = labels[i] - begin, row = rows[i];
        if (label >= tile) break;
        atomicOr(&marks[(int)label * words + (int)(row / 32)], 1u << (row % 32));
    }
    return low;
}

// Sums a number over the block, in one order: true for thread 0 alone. `scratch` holds a float for each warp.
__device__ __forceinline__ float sum_over_block(float value, float* scratch) {
#pragma unroll
    for (int half = WARP_SIZE / 2; half; half /= 2) value += __shfl_xor_sync(FULL_WARP, value, half);
    if (threadIdx.x % WARP_SIZE == 0) scratch[threadIdx.x / WARP_SIZE] = value;
    __syncthreads();
    float total = 0.0f;
    for (int i = 0; i < (int)blockDim.x / WARP_SIZE; i++) total += scratch[i];
    return total;
}

// Brings the 128 bytes at a place to L2.
__device__ __forceinline__ void prefetch(const void* place) {
#ifndef XMC_HOST
    asm volatile("prefetch.L2 [%0];" :: "l"(place));
#endif
}
