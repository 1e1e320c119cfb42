// Rewiring in place: prune the connections below a cut, regrow as many in the same rows. The result is the topology of
// xmcpipe/ops/topology.py `regrow`, bit for bit.
//
//   pruned: every |weight| whose float32 bits are below `bits`, and the first `ties` that equal it, ordered by label,
//           then by position in the row
//   grown:  of the features that the row doesn't keep, those with the lowest keys word << 16 | feature, where `word` is
//           the feature's random word for this label (Philox: seed, stream `rewiring`); in the order of their keys they
//           fill the pruned positions from left to right, with weight 0 and moments 0
//
// A block walks rows, THREADS lanes per row. A row that loses nothing costs one read of its weights. Otherwise the n
// lowest keys of the free features are needed. The naive version computes every key and sorts, or selects by radix:
// that stores 4 D bytes per row, or computes the words again for every digit. But keys are uniformly random, so a limit
// that slightly more than n of them pass can be guessed. One pass over the features collects the keys below the limit,
// and the rank of each is the number of lower ones. If too few or too many pass (4 standard deviations off, one row in
// 30,000), the limit is bisected. Keys are distinct integers, so some limit lets exactly n pass. A word is computed
// once and never stored; per feature there is one bit (8 KB at D 65,536). About n + n / 8 + 32 keys are collected: 54
// at K 128 and 20% pruned, 864 at most in practice for K 512. The result depends on (seed, rewiring, label) alone.
//
// Bound by Philox; README.md, "Cycle counts", has the counts. ffi_rewire_ties reads the weights once more, only if the
// cut separates equal magnitudes.
#include "include/philox.cuh"
#include "include/sums.cuh"

#ifndef MOMENT
#define MOMENT (WEIGHT == 3 ? 1 : WEIGHT)  // the format of both moments
#endif
#ifndef MARGIN
#define MARGIN 32      // the first limit should let n + n / 8 + MARGIN keys pass
#endif
#ifndef SLACK
#define SLACK 256      // collected keys at most, beyond the fan-in
#endif
#define THREADS 64     // small blocks, so that many rows are in flight
#define BLOCKS 16      // per multiprocessor, at least: this caps the registers
#define MAX_FAN_IN 512
#define KEY_BITS 48

#if MOMENT == 0
typedef u32 moment_t;  // only ever set to 0, whose bits are 0 in every format
#elif MOMENT == 1 || MOMENT == 2
typedef u16 moment_t;
#else
#error "unknown MOMENT: expected 0 (float32), 1 (bfloat16) or 2 (float16)"
#endif

__device__ __forceinline__ u32 magnitude_bits(float weight) { return __float_as_uint(weight) & 0x7FFFFFFFu; }

// Counts the weights of each row that equal the cut: ties_L [L]. A warp per row.
extern "C" __global__ void __launch_bounds__(256)
ffi_rewire_ties(const weight_t* __restrict__ weight_LK, i64* ties_L, u32 bits, i64 begin, i64 end, int fan_in) {
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
        ties = sum_over_warp(ties);
        if (lane == 0) ties_L[row] = ties;
    }
}

// A set of positions of a row as a bitmask: bit k % 32 of word k / 32. `before` counts the members below k.
struct Positions {
    u32 word[MAX_FAN_IN / 32];

    __device__ bool has(int k) const { return word[k / 32] >> (k % 32) & 1u; }
    __device__ int before(int k) const {
        int count = __popc(word[k / 32] & ((1u << (k % 32)) - 1u));
        for (int i = 0; i < k / 32; i++) count += __popc(word[i]);
        return count;
    }
};

// Shared memory of a row that regrows.
struct Candidates {
    u64* keys;       // [capacity]
    u16* chosen;     // [fan_in] features, in the order of their keys
    u32* occupied;   // bitmask of the features that the row keeps
    int capacity;
};

// Writes which weights are below the cut and which equal it; of the latter the first `ties_left` are pruned too.
__device__ __forceinline__ void find_pruned(Positions& pruned, Positions& tied, const weight_t* weight, u32 bits,
                                            i64 ties_left, int fan_in) {
    for (int first = threadIdx.x / WARP_SIZE * WARP_SIZE; first < fan_in; first += THREADS) {
        int k = first + threadIdx.x % WARP_SIZE;
        u32 own = k < fan_in ? magnitude_bits(to_float(weight[k])) : 0xFFFFFFFFu;
        u32 below = __ballot_sync(FULL_WARP, own < bits), equal = __ballot_sync(FULL_WARP, own == bits);
        if (threadIdx.x % WARP_SIZE == 0) {
            pruned.word[first / 32] = below;
            tied.word[first / 32] = equal;
        }
    }
    __syncthreads();
    if (ties_left > 0) {
        for (int k = threadIdx.x; k < fan_in; k += THREADS)
            if (tied.has(k) && tied.before(k) < ties_left) atomicOr(&pruned.word[k / 32], 1u << (k % 32));
        __syncthreads();
    }
}

__device__ __forceinline__ void find_occupied(u32* occupied, const Positions& pruned, const u16* index,
                                              int num_features, int fan_in) {
    for (int i = threadIdx.x; i < (num_features + 31) / 32; i += THREADS) occupied[i] = 0;
    __syncthreads();
    for (int k = threadIdx.x; k < fan_in; k += THREADS)
        if (!pruned.has(k)) atomicOr(&occupied[index[k] / 32], 1u << (index[k] % 32));
}

// Collects the keys of free features below `limit`, in any order. Returns their number, the same in all threads; no
// more than `capacity` of them are written. Called by the whole block.
__device__ __forceinline__ int collect(const Candidates& to, u64 limit, i64 label, u32 rewiring, u64 seed,
                                       int num_features) {
    __shared__ int found;
    __syncthreads();
    if (threadIdx.x == 0) found = 0;
    __syncthreads();
    for (int first = 4 * threadIdx.x; first < num_features; first += 4 * THREADS) {
        Words words = philox((u32)label, (u32)((u64)label >> 32), first / 4, rewiring, seed);
        u32 occupied = to.occupied[first / 32] >> (first % 32);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            u64 key = (u64)words.x[j] << 16 | (u32)(first + j);
            if (occupied >> j & 1u || key >= limit || first + j >= num_features) continue;
            int at = atomicAdd(&found, 1);
            if (at < to.capacity) to.keys[at] = key;
        }
    }
    __syncthreads();
    return found;
}

// Collects the `count` lowest keys and a few more; returns how many.
__device__ __forceinline__ int collect_lowest(const Candidates& to, int count, i64 label, u32 rewiring, u64 seed,
                                              int num_features, int fan_in) {
    int num_free = num_features - fan_in + count, target = min(count + count / 8 + MARGIN, num_free), found;
    u64 low = 0, high = 1ull << KEY_BITS;  // too few keys are below `low`
    u64 limit = target == num_free ? high : high / num_free * target;
    for (;;) {
        found = collect(to, limit, label, rewiring, seed, num_features);
        if (found >= count && found <= to.capacity) return found;
        if (found < count) low = limit;
        else high = limit;
        limit = low + (high - low + 1) / 2;
    }
}

// The features of the `count` lowest of `found` keys, in order.
__device__ __forceinline__ void choose_lowest(const Candidates& from, int found, int count) {
    for (int i = threadIdx.x; i < found; i += THREADS) {
        int rank = 0;
        for (int j = 0; j < found; j++) rank += from.keys[j] < from.keys[i];
        if (rank < count) from.chosen[rank] = (u16)from.keys[i];
    }
    __syncthreads();
}

// moment0_LK, moment1_LK: may be null. ties_before_L: the ties of all rows before each row; not read if `ties` is 0.
// replaced: the number of connections that this block replaced. Dynamic shared memory: 8 * (fan_in + SLACK) bytes of
// keys, 2 * fan_in of chosen features, then one bit per feature, 4 * ceil(num_features / 32) bytes.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
ffi_rewire(weight_t* weight_LK, u16* index_LK, moment_t* moment0_LK, moment_t* moment1_LK,
           const i64* __restrict__ ties_before_L, i64* replaced, u32 bits, i64 ties, u64 seed, u32 rewiring,
           i64 first_label, i64 begin, i64 end, int num_features, int fan_in) {
    DYNAMIC_SHARED(memory);
    __shared__ Positions tied, pruned;
    int capacity = fan_in + SLACK;
    u64* keys = (u64*)memory;
    u16* chosen = (u16*)(keys + capacity);
    Candidates candidates = {keys, chosen, (u32*)(chosen + fan_in), capacity};
    i64 total = 0;

    for (i64 row = begin + blockIdx.x; row < end; row += gridDim.x) {
        weight_t* weight = weight_LK + row * fan_in;
        u16* index = index_LK + row * fan_in;
        i64 ties_left = ties ? ties - ties_before_L[row] : 0;  // for this row and those after it
        find_pruned(pruned, tied, weight, bits, ties_left, fan_in);
        int count = pruned.before(fan_in - 1) + pruned.has(fan_in - 1);
        total += count;
        if (count > 0) {
            find_occupied(candidates.occupied, pruned, index, num_features, fan_in);
            int found = collect_lowest(candidates, count, first_label + row, rewiring, seed, num_features, fan_in);
            choose_lowest(candidates, found, count);
            for (int k = threadIdx.x; k < fan_in; k += THREADS) {
                if (!pruned.has(k)) continue;
                index[k] = chosen[pruned.before(k)];
                weight[k] = weight_t();  // 0
                if (moment0_LK) moment0_LK[row * fan_in + k] = 0;
                if (moment1_LK) moment1_LK[row * fan_in + k] = 0;
            }
        }
        __syncthreads();  // `pruned` and `tied` have been read: the next row may write them
    }
    if (threadIdx.x == 0) replaced[blockIdx.x] = total;
}
