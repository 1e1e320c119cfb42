// The lists of a block: for each row of the batch the keys of the best labels that it has seen, in device memory.
#pragma once
#include "include/key_lists.cuh"

// [rows, CAPACITY] keys in device memory; their lengths and bounds are in shared memory. A bound is a key that the
// num_best-th key of the list is known to reach.
struct Lists {
    u64* keys;
    u64* bounds;
    int* counts;
};

template <int ROWS_OF_BLOCK>
__device__ __forceinline__ void clear_lists(const Lists& lists) {
    for (int r = threadIdx.x; r < ROWS_OF_BLOCK; r += blockDim.x) {
        lists.bounds[r] = 0;
        lists.counts[r] = 0;
    }
}

// Appends a key to the list of row `r` if it reaches the bound; true if the list might not hold one more tile.
template <int SIZE, int SPARE>
__device__ __forceinline__ bool append_key(const Lists& lists, int r, u64 key) {
    if (key < lists.bounds[r]) return false;
    int at = atomicAdd(&lists.counts[r], 1);
    lists.keys[r * SIZE + at] = key;
    return at >= SPARE;
}

// Cuts the lists that might not hold one more tile, a warp per list.
template <int ROWS_OF_BLOCK, int SIZE, int SPARE>
__device__ __forceinline__ void cut_full_lists(const Lists& lists, int num_best) {
    for (int r = threadIdx.x / WARP_SIZE; r < ROWS_OF_BLOCK; r += blockDim.x / WARP_SIZE) {
        int count = lists.counts[r];
        if (count <= SPARE) continue;
        u64 bound = cut<SIZE>(lists.keys + r * SIZE, count, num_best);
        if (threadIdx.x % WARP_SIZE == 0) {
            lists.bounds[r] = bound;
            lists.counts[r] = num_best;
        }
    }
}

// Leaves num_best keys in each list, with zeros after the last where there are fewer.
template <int SIZE>
__device__ __forceinline__ void finish_lists(const Lists& lists, int num_rows, int num_best) {
    for (int r = threadIdx.x / WARP_SIZE; r < num_rows; r += blockDim.x / WARP_SIZE) {
        int count = lists.counts[r];
        if (count > num_best) cut<SIZE>(lists.keys + r * SIZE, count, num_best);
        for (int i = count + threadIdx.x % WARP_SIZE; i < num_best; i += WARP_SIZE) lists.keys[r * SIZE + i] = 0;
    }
}
