// How the kernels of words find the connections of a label whose word is in the batch.
//
// Most words that a label reads occur in no document of the batch, and such a connection costs nothing but the test of a
// bit: `held`, a bit for each of the 65,536 words, lies in shared memory. GROUP lanes share a label, and test PIECE =
// 8 * GROUP of its connections at a time, an octet each. The connections that pass, in the order of their positions,
// are written to the label's list in shared memory:
//
//   indices of a label   17    4 | 900   23 |  5   81 | ...     words 4, 23 and 5 are in the batch, at 0, 9 and 1
//   its list             (place 0, k 1) (place 9, k 3) (place 1, k 4)
//
// Then all lanes of the label work through the list together, each with its own eight rows of the batch. Places are
// read where the bit is set only, since `place` (256 KB) stays in L2.
#pragma once
#include "include/formats.cuh"

#ifndef GROUP
#define GROUP 8
#endif
#if GROUP != 1 && GROUP != 2 && GROUP != 4 && GROUP != 8
#error "unknown GROUP: expected 1, 2, 4 or 8 lanes per label"
#endif
#define THREADS 256
#define TILE (THREADS / GROUP)  // labels at a time, one for each GROUP lanes
#define ROWS (8 * GROUP)        // of the batch, at a time
#define PIECE (8 * GROUP)       // connections of a label, at a time
#define LIST (PIECE + 1)        // one more, so that the lists of a warp's labels begin in different banks
#define HELD_VECTORS (65536 / 128)  // of the bits of all words

// A connection whose word is in the batch: the word's place in the low half, its position in the label's row in the
// high half. Both are below 65,536.
__device__ __forceinline__ u32 place_of(u32 entry) { return entry & 0xFFFFu; }
__device__ __forceinline__ int position_of(u32 entry) { return (int)(entry >> 16); }

// Copies the bits of the words of the batch to shared memory and returns them. All threads of the block take part.
__device__ __forceinline__ const u32* stage_held(const u32* held, uint4* shared) {
#pragma unroll
    for (int i = 0; i < HELD_VECTORS; i += THREADS) shared[i + threadIdx.x] = ((const uint4*)held)[i + threadIdx.x];
    __syncthreads();
    return (const u32*)shared;
}

// Writes the list of the connections [k0, k0 + PIECE) of a label and returns their number, the same in its lanes.
// `index` is the label's row, null for a label that doesn't exist. All lanes of the warp take part.
__device__ __forceinline__ int list_piece(const u32* held, const int* place, const u16* index, int k0, int fan_in,
                                          int lane, u32* list) {
    int k = k0 + 8 * lane;
    u32 word[8] = {0, 0, 0, 0, 0, 0, 0, 0}, active = 0;  // bit j: whether the word of connection k + j is in the batch
    if (index && k < fan_in) {
        load8(index + k, word);
#pragma unroll
        for (int j = 0; j < 8; j++) active |= (held[word[j] / 32] >> (word[j] % 32) & 1u) << j;
    }
    int count = __popc(active), upto = count;  // connections of this lane, and of the label's lanes up to it
#pragma unroll
    for (int by = 1; by < GROUP; by *= 2) {
        int before = __shfl_up_sync(FULL_WARP, upto, by);
        if (lane >= by) upto += before;
    }
    int total = __shfl_sync(FULL_WARP, upto, threadIdx.x % WARP_SIZE - lane + GROUP - 1);
    __syncwarp();  // the previous piece's list has been read
    u32* to = list + upto - count;
#pragma unroll
    for (int j = 0; j < 8; j++)
        if (active >> j & 1u) *to++ = (u32)place[word[j]] | (u32)(k + j) << 16;
    __syncwarp();
    return total;
}
