// Lists of the best labels of a row: 64-bit keys, and how a warp cuts a list to its largest keys.
//
//   key = rising(bits of the score) << 32 | ~label
//
// `rising` maps the bits of a float to an integer that rises with the float: it flips the sign bit, or all bits of a
// negative number. So a larger key is a better label, equal scores go to the lower label, and no two labels share a
// key. -0.0 counts as 0.0; NaN is worse than -inf. Key 0 means "no key".
//
// A list is never sorted: to find its k largest keys it is enough to find a bound that exactly k of them reach.
#pragma once
#include "include/sums.cuh"

// ---- keys -----------------------------------------------------------------------------------------------------------

__device__ __forceinline__ u64 key_of(float score, u32 label) {
    u32 bits = __float_as_uint(score);
    if (bits == 0x80000000u) bits = 0;
    bits = bits >> 31 ? ~bits : bits | 0x80000000u;
    if (score != score) bits = 0;
    return (u64)bits << 32 | (u32)~label;
}

__device__ __forceinline__ float score_of(u64 key) {
    u32 bits = (u32)(key >> 32);
    if (bits == 0) return __uint_as_float(0x7FC00000u);
    return __uint_as_float(bits >> 31 ? bits & 0x7FFFFFFFu : ~bits);
}

// ---- lists of keys, each handled by a whole warp --------------------------------------------------------------------

__device__ __forceinline__ u32 count_over_warp(u32 value) {
#if defined(XMC_HOST) || __CUDA_ARCH__ >= 800
    return __reduce_add_sync(FULL_WARP, value);
#else
    return sum_over_warp(value);
#endif
}

// Appends each lane's key if it reaches `bound`; returns the new length of the list.
__device__ __forceinline__ int append_if(u64 key, u64 bound, u64* list, int count) {
    u32 lane = threadIdx.x % WARP_SIZE;
    u32 votes = __ballot_sync(FULL_WARP, key >= bound);
    if (key >= bound) list[count + __popc(votes & ((1u << lane) - 1u))] = key;
    return count + __popc(votes);
}

// Writes the `num_best` largest of the warp's keys (KEYS per lane, distinct; 0 means no key; at least `num_best` aren't
// 0) to the front of `list`. Returns a bound that only those keys reach: it is built from the highest bit down, until
// its prefix separates them.
template <int KEYS>
__device__ __forceinline__ u64 select_largest(const u64 (&key)[KEYS], int num_best, u64* list) {
    u64 bound = 0;
    for (int bit = 63; bit >= 0; bit--) {
        u64 trial = bound | 1ull << bit;
        u32 own = 0;
#pragma unroll
        for (int i = 0; i < KEYS; i++) own += key[i] >= trial;
        int reach = (int)count_over_warp(own);
        if (reach >= num_best) bound = trial;
        if (reach == num_best) break;
    }
    int count = 0;
    __syncwarp();  // all lanes have their keys in registers: the list may be overwritten
#pragma unroll
    for (int i = 0; i < KEYS; i++) count = append_if(key[i], bound, list, count);
    __syncwarp();
    return bound;
}

// Cuts a list of `count` keys, more than `num_best`, to its `num_best` largest; returns their bound.
template <int SIZE>
__device__ __forceinline__ u64 cut(u64* list, int count, int num_best) {
    u64 key[SIZE / WARP_SIZE];
#pragma unroll
    for (int i = 0; i < SIZE / WARP_SIZE; i++) {
        int at = WARP_SIZE * i + threadIdx.x % WARP_SIZE;
        key[i] = at < count ? list[at] : 0;
    }
    return select_largest(key, num_best, list);
}
