// Rewiring in place: prune what a cut says, regrow in the same rows; the topology of ops/topology.regrow, bit for bit.
//
//   pruned: |weight| whose float32 bits are below `bits`, and the first `ties` that equal it, by label, then place
//   grown:  of the features that the row doesn't keep, those of the lowest keys word << 16 | feature, where word is the
//           feature's of the label's random words (Philox: seed, stream `rewiring`); in the order of the keys they fill
//           the pruned places from left to right, with weight 0 and moments 0
//
// A block walks rows, THREADS lanes a row. A row that loses nothing costs one read of its weights. Otherwise the lowest
// n of the free features' keys are wanted. Keys are random: a limit that should let a few more than n pass is guessed,
// the keys below it are collected in one go over the features, and each one's place is the number of lower ones. Should
// too few or too many pass (4 deviations off, one row in 30,000), the limit is bisected; keys are distinct whole
// numbers, so that some limit lets exactly n pass. So a word is computed once and never stored, and what is held is a
// bit a feature.
//
// Bound by Philox: L 670,091, K 128, D 768, 20% pruned: 192 calls a row, about 100 instructions each, 0.4 ms on an
// H100; bytes: weights read once, 26 of 128 places written (32-byte sectors): 0.17 GB read, about 0.4 GB in all, 0.15
// ms. ffi_rewire_ties reads the weights once more, where there are ties to be told apart.
#include "common.cuh"

#ifndef MOMENT
#define MOMENT WEIGHT  // the format of both moments
#endif
#ifndef MARGIN
#define MARGIN 32      // how many keys more than n + n / 8 the first limit should let pass
#endif
#ifndef SLACK
#define SLACK 256      // keys that are collected at most, beyond the fan-in
#endif
#define THREADS 64     // small blocks, so that many rows are under way
#define BLOCKS 16      // that a multiprocessor has registers for, at least
#define MAX_FAN_IN 512
#define KEY_BITS 48

#if MOMENT == 0
typedef u32 moment_t;  // only ever set to 0, whose bits are 0 in every format
#else
typedef u16 moment_t;
#endif

__device__ __forceinline__ u32 magnitude_bits(float weight) { return __float_as_uint(weight) & 0x7FFFFFFFu; }

// How many of each row equal the cut, ties_L [L]. A warp a row.
extern "C" __global__ void __launch_bounds__(256)
ffi_rewire_ties(const weight_t* weight_LK, i64* ties_L, u32 bits, i64 begin, i64 end, int fan_in) {
    int lane = threadIdx.x % WARP_SIZE, warps = 256 / WARP_SIZE;
    i64 first = begin + (i64)blockIdx.x * warps + threadIdx.x / WARP_SIZE;
    for (i64 row = first; row < end; row += (i64)gridDim.x * warps) {
        u32 ties = 0;
        for (int k = 8 * lane; k < fan_in; k += 8 * WARP_SIZE) {
            float w[8];
            load8(weight_LK + row * fan_in + k, w);
#pragma unroll
            for (int j = 0; j < 8; j++) ties += magnitude_bits(w[j]) == bits;
        }
#pragma unroll
        for (int step = WARP_SIZE / 2; step; step /= 2) ties += __shfl_xor_sync(FULL_WARP, ties, step);
        if (lane == 0) ties_L[row] = ties;
    }
}

// Bit k % 32 of word k / 32 for each place k; `before` counts the bits of the places before k.
struct Places {
    u32 word[MAX_FAN_IN / 32];

    __device__ bool has(int k) const { return word[k / 32] >> (k % 32) & 1u; }
    __device__ int before(int k) const {
        int count = __popc(word[k / 32] & ((1u << (k % 32)) - 1u));
        for (int i = 0; i < k / 32; i++) count += __popc(word[i]);
        return count;
    }
};

// By the block: the keys of the features that aren't held and lie below `limit`; returns how many there are (all the
// lanes the same), of which no more than `room` are written, in any order.
__device__ __forceinline__ int collect(u64* keys, int room, u64 limit, const u32* held, i64 label, u32 rewiring,
                                       u64 seed, int num_features) {
    __shared__ int found;
    __syncthreads();
    if (threadIdx.x == 0) found = 0;
    __syncthreads();
    for (int first = 4 * threadIdx.x; first < num_features; first += 4 * THREADS) {
        Words words = philox((u32)label, (u32)((u64)label >> 32), first / 4, rewiring, seed);
        u32 taken = held[first / 32] >> (first % 32);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            u64 key = (u64)words.x[j] << 16 | (u32)(first + j);
            if (taken >> j & 1u || key >= limit || first + j >= num_features) continue;
            int at = atomicAdd(&found, 1);
            if (at < room) keys[at] = key;
        }
    }
    __syncthreads();
    return found;
}

// moment0_LK, moment1_LK: may be null. ties_before_L: the ties of all rows before each; not read if ties is 0.
// replaced: how many connections this block replaced. Shared: 8 * (fan_in + SLACK) + 2 * fan_in bytes for the keys and
// the chosen, then a bit a feature: 4 * ceil(num_features / 32).
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
ffi_rewire(weight_t* weight_LK, u16* index_LK, moment_t* moment0_LK, moment_t* moment1_LK, const i64* ties_before_L,
           i64* replaced, u32 bits, i64 ties, u64 seed, u32 rewiring, i64 first_label, i64 begin, i64 end,
           int num_features, int fan_in) {
    DYNAMIC_SHARED(memory);
    __shared__ Places tied, pruned;
    int room = fan_in + SLACK;
    u64* keys = (u64*)memory;
    u16* chosen = (u16*)(keys + room);
    u32* held = (u32*)(chosen + fan_in);
    i64 total = 0;

    for (i64 row = begin + blockIdx.x; row < end; row += gridDim.x) {
        weight_t* weight = weight_LK + row * fan_in;
        u16* index = index_LK + row * fan_in;
        i64 left = ties ? ties - ties_before_L[row] : 0;  // of the ties, for this row and those after it
        for (int first = threadIdx.x / WARP_SIZE * WARP_SIZE; first < fan_in; first += THREADS) {
            int k = first + threadIdx.x % WARP_SIZE;
            u32 mine = k < fan_in ? magnitude_bits(to_float(weight[k])) : 0xFFFFFFFFu;
            u32 below = __ballot_sync(FULL_WARP, mine < bits), equal = __ballot_sync(FULL_WARP, mine == bits);
            if (threadIdx.x % WARP_SIZE == 0) {
                pruned.word[first / 32] = below;
                tied.word[first / 32] = equal;
            }
        }
        __syncthreads();
        if (left > 0) {
            for (int k = threadIdx.x; k < fan_in; k += THREADS)
                if (tied.has(k) && tied.before(k) < left) atomicOr(&pruned.word[k / 32], 1u << (k % 32));
            __syncthreads();
        }
        int count = pruned.before(fan_in - 1) + pruned.has(fan_in - 1);
        total += count;
        if (count > 0) {
            for (int i = threadIdx.x; i < (num_features + 31) / 32; i += THREADS) held[i] = 0;
            __syncthreads();
            for (int k = threadIdx.x; k < fan_in; k += THREADS)
                if (!pruned.has(k)) atomicOr(&held[index[k] / 32], 1u << (index[k] % 32));

            int open = num_features - fan_in + count, aim = min(count + count / 8 + MARGIN, open), found;
            u64 low = 0, high = 1ull << KEY_BITS;  // `low` lets too few pass
            u64 limit = aim == open ? high : high / open * aim;
            for (;;) {
                found = collect(keys, room, limit, held, first_label + row, rewiring, seed, num_features);
                if (found >= count && found <= room) break;
                if (found < count) low = limit;
                else high = limit;
                limit = low + (high - low + 1) / 2;
            }
            for (int i = threadIdx.x; i < found; i += THREADS) {
                int place = 0;
                for (int j = 0; j < found; j++) place += keys[j] < keys[i];
                if (place < count) chosen[place] = (u16)keys[i];
            }
            __syncthreads();
            for (int k = threadIdx.x; k < fan_in; k += THREADS) {
                if (!pruned.has(k)) continue;
                index[k] = chosen[pruned.before(k)];
                from_float(0.0f, weight[k]);
                if (moment0_LK) moment0_LK[row * fan_in + k] = 0;
                if (moment1_LK) moment1_LK[row * fan_in + k] = 0;
            }
        }
        __syncthreads();  // the next row's places are written
    }
    if (threadIdx.x == 0) replaced[blockIdx.x] = total;
}
