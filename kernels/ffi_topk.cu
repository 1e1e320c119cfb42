// The best labels of each row of the batch over all labels, without the scores of all labels: no [B, L] anywhere.
//
//   score[b, l] = sum_k weight[l, k] * x[b, index[l, k]] + bias[l], the bits that ffi_scores gives (k in order)
//   key = the score's bits, turned so that they rise with the score, above; ~l below: a larger key is a better label,
//   equal scores fall to the lower label, and no two labels share a key. -0.0 counts as 0.0. NaN is worse than -inf.
//
// ffi_topk: x blocks walk the tiles of TILE labels, y is the block of rows of the batch; scores are gathered as in
// ffi_scores (rows.cuh), GROUP lanes a label. Each row of each block has a list of CAPACITY keys, and a bound that its
// num_best-th key is known to reach. A key below the bound (nearly all, once a few thousand labels are seen: n labels
// in random order leave about num_best * (1 + ln(n / num_best)) above it) costs one comparison; the rest go to the end
// of the list. When a list might not hold one tile more, a warp cuts it to its num_best largest, found bit by bit in
// registers, and raises the bound. Places in a list depend on the order of the lanes, the set of its keys does not.
// Lists are so seldom touched that they lie in device memory, that is in L2: shared memory is left to x, as in
// ffi_scores, and what a block ends with is where the merge reads it. ffi_topk_merge, a block a row, does the same to
// the lists of all blocks, then puts them in order.
//
// ONE_ROW 1, for one document: a lane has a label and that row alone, so that a connection costs it one number of x and
// not eight; blocks split the labels, so that the whole GPU reads weights.
//
// Bound by: ffi_scores' 2 * ROWS bytes of shared memory a connection (L 670,091, K 128, B 64, bf16: 11 GB, 0.4 ms on an
// H100); for one document, by the bytes of weight and index (0.34 GB, 0.11 ms). A cut looks at about 25 of 64 bits, 3
// instructions a key and bit: at num_best 100, 264 blocks and 64 rows, each row of a block is cut twice or three times,
// 5% of the time; at num_best 5 once.
#ifndef ONE_ROW
#define ONE_ROW 0
#endif
#if ONE_ROW
#define GROUP 1
#endif
#include "rows.cuh"

#ifndef THREADS
#define THREADS 256  // 512 where shared memory holds one block only
#endif
#ifndef ROOM
#define ROOM 256     // keys of a list beyond a tile's: a multiple of 32, at least num_best; twice that is better
#endif
#define BLOCKS ((ONE_ROW ? 768 : 512) / THREADS)  // that a multiprocessor has registers for, at least
#define LANE_ROWS (ONE_ROW ? 1 : 8)
#define BLOCK_ROWS (LANE_ROWS * GROUP)
#define TILE (THREADS / GROUP)              // labels at a time, one for each GROUP lanes
#define CAPACITY (TILE + ROOM)              // keys of a row's list
#define MOST 128                            // num_best
#define MERGE_WARPS 4                       // each keeps a list of its own
#define MERGE_CAPACITY (MERGE_WARPS * MOST) // holds what all warps have kept
#define MERGE_STEP 256                      // keys that a warp reads at a time: 8 loads in flight a lane

static_assert(ROOM % WARP_SIZE == 0, "a list is read by whole warps");

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

__device__ __forceinline__ u32 warp_sum(u32 value) {
#if defined(XMC_HOST) || __CUDA_ARCH__ >= 800
    return __reduce_add_sync(FULL_WARP, value);
#else
#pragma unroll
    for (int step = WARP_SIZE / 2; step; step /= 2) value += __shfl_xor_sync(FULL_WARP, value, step);
    return value;
#endif
}

// By a whole warp: the `wanted` largest of its keys (KEYS a lane, distinct but for 0, which is none; at least `wanted`
// are not 0) go to the front of `list`. Returns a bound that those alone reach: found from the highest bit down, it
// stops at the first prefix that separates them.
template <int KEYS>
__device__ __forceinline__ u64 keep_largest(const u64 (&key)[KEYS], int wanted, u64* list) {
    u32 lane = threadIdx.x % WARP_SIZE;
    u64 bound = 0;
    for (int bit = 63; bit >= 0; bit--) {
        u64 trial = bound | 1ull << bit;
        u32 mine = 0;
#pragma unroll
        for (int i = 0; i < KEYS; i++) mine += key[i] >= trial;
        int reach = (int)warp_sum(mine);
        if (reach >= wanted) bound = trial;
        if (reach == wanted) break;
    }
    u32 kept = 0;
    __syncwarp();  // all lanes hold their keys: the list may be written
#pragma unroll
    for (int i = 0; i < KEYS; i++) {
        u32 votes = __ballot_sync(FULL_WARP, key[i] >= bound);
        if (key[i] >= bound) list[kept + __popc(votes & ((1u << lane) - 1u))] = key[i];
        kept += __popc(votes);
    }
    __syncwarp();
    return bound;
}

// By a whole warp: cut a list of `count` keys, more than `wanted`, to its `wanted` largest; returns their bound.
template <int SIZE>
__device__ __forceinline__ u64 cut(u64* list, int count, int wanted) {
    u64 key[SIZE / WARP_SIZE];
#pragma unroll
    for (int i = 0; i < SIZE / WARP_SIZE; i++) {
        int at = WARP_SIZE * i + threadIdx.x % WARP_SIZE;
        key[i] = at < count ? list[at] : 0;
    }
    return keep_largest(key, wanted, list);
}

#if ONE_ROW
// The one row's features, D of them in shared memory.
struct Features {
    const feature_t* at;
    int stride;
};

__device__ __forceinline__ Features take_rows(const feature_t* features_DB, int row, int stride, int num_features,
                                              feature_t* kept) {
#if SHARED
    for (int d = threadIdx.x; d < num_features; d += THREADS) kept[d] = features_DB[(i64)d * stride + row];
    __syncthreads();
    return Features{kept, 1};
#else
    return Features{features_DB + row, stride};
#endif
}

__device__ __forceinline__ void load_rows(const Features& x, u32 feature, float* out) {
#if SHARED
    out[0] = to_float(x.at[feature]);
#else
    out[0] = to_float(x.at[(i64)feature * x.stride]);
#endif
}
#endif

// keys_PBC [blocks of x, batch, CAPACITY]: the lists. The first num_best keys of each are the best that the block saw,
// in no order, 0 where it saw fewer. 1 <= num_best <= 128.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
ffi_topk(const feature_t* features_DB, const weight_t* weight_LK, const u16* index_LK, const float* bias_L, u64* keys_PBC,
         i64 begin, i64 end, int batch, int stride, int num_features, int fan_in, int num_best) {
    DYNAMIC_SHARED(memory);
    __shared__ u64 bounds[BLOCK_ROWS];
    __shared__ int counts[BLOCK_ROWS];
    int lane = threadIdx.x % GROUP, slot = threadIdx.x / GROUP;
    int row0 = blockIdx.y * BLOCK_ROWS, row = row0 + LANE_ROWS * lane;
    for (int r = threadIdx.x; r < BLOCK_ROWS; r += THREADS) {
        bounds[r] = 0;
        counts[r] = 0;
    }
    u64* lists = keys_PBC + ((i64)blockIdx.x * batch + row0) * CAPACITY;
    feature_t* kept = (feature_t*)memory;
#if ONE_ROW
    Features x = take_rows(features_DB, row0, stride, num_features, kept);
#else
    Rows x = take_rows(features_DB, row0, lane, stride, num_features, kept);
#endif
    __syncthreads();

    for (i64 tile = begin + (i64)blockIdx.x * TILE; tile < end; tile += (i64)gridDim.x * TILE) {
        i64 label = tile + slot;
        bool full = false;
        if (label < end && row < batch) {
            float sum[LANE_ROWS] = {};
            const weight_t* weight = weight_LK + label * fan_in;
            const u16* index = index_LK + label * fan_in;
#pragma unroll 2
            for (int k = 0; k < fan_in; k += 8) {
                float w[8];
                u32 at[8];
                load8(weight + k, w);
                load8(index + k, at);
#pragma unroll
                for (int j = 0; j < 8; j++) {
                    float value[LANE_ROWS];
                    load_rows(x, at[j], value);
#pragma unroll
                    for (int i = 0; i < LANE_ROWS; i++) sum[i] += w[j] * value[i];
                }
            }
            float bias = bias_L ? bias_L[label] : 0.0f;
#pragma unroll
            for (int i = 0; i < LANE_ROWS; i++) {
                int r = LANE_ROWS * lane + i;
                u64 key = key_of(sum[i] + bias, (u32)label);
                if (key < bounds[r] || row0 + r >= batch) continue;
                int at = atomicAdd(&counts[r], 1);
                lists[r * CAPACITY + at] = key;
                full |= at >= ROOM;
            }
        }
        if (!__syncthreads_or(full)) continue;
        for (int r = threadIdx.x / WARP_SIZE; r < BLOCK_ROWS; r += THREADS / WARP_SIZE) {
            int count = counts[r];
            if (count <= ROOM) continue;
            u64 bound = cut<CAPACITY>(lists + r * CAPACITY, count, num_best);
            if (threadIdx.x % WARP_SIZE == 0) {
                bounds[r] = bound;
                counts[r] = num_best;
            }
        }
        __syncthreads();
    }

    __syncthreads();
    for (int r = threadIdx.x / WARP_SIZE; r < min(BLOCK_ROWS, batch - row0); r += THREADS / WARP_SIZE) {
        int count = counts[r];
        if (count > num_best) cut<CAPACITY>(lists + r * CAPACITY, count, num_best);
        for (int i = count + threadIdx.x % WARP_SIZE; i < num_best; i += WARP_SIZE) lists[r * CAPACITY + i] = 0;
    }
}

// The best of all parts, in order: labels_BN (numbered from first_label) and scores_BN. A block for each row of the
// batch; its warps take turns at MERGE_STEP keys, and the first warp merges what they kept.
extern "C" __global__ void __launch_bounds__(MERGE_WARPS * WARP_SIZE)
ffi_topk_merge(const u64* keys_PBC, i64* labels_BN, float* scores_BN, i64 first_label, int parts, int batch,
               int capacity, int num_best) {
    __shared__ u64 lists[MERGE_WARPS][MERGE_CAPACITY];
    __shared__ int counts[MERGE_WARPS];
    int warp = threadIdx.x / WARP_SIZE, lane = threadIdx.x % WARP_SIZE, row = blockIdx.x;
    u64* list = lists[warp];
    u64 bound = 1;  // 0 is no key
    int count = 0, total = parts * num_best;
    for (int first = warp * MERGE_STEP; first < total; first += MERGE_WARPS * MERGE_STEP) {
        u64 key[MERGE_STEP / WARP_SIZE];
#pragma unroll
        for (int i = 0; i < MERGE_STEP / WARP_SIZE; i++) {
            int at = first + WARP_SIZE * i + lane, part = at / num_best;
            key[i] = at < total ? keys_PBC[((i64)part * batch + row) * capacity + at - part * num_best] : 0;
        }
#pragma unroll
        for (int i = 0; i < MERGE_STEP / WARP_SIZE; i++) {
            u32 votes = __ballot_sync(FULL_WARP, key[i] >= bound);
            if (key[i] >= bound) list[count + __popc(votes & ((1u << lane) - 1u))] = key[i];
            count += __popc(votes);
        }
        __syncwarp();
        if (count > MERGE_CAPACITY - MERGE_STEP) {
            bound = cut<MERGE_CAPACITY>(list, count, num_best);
            count = num_best;
        }
    }
    if (count > num_best) {
        cut<MERGE_CAPACITY>(list, count, num_best);
        count = num_best;
    }
    if (lane == 0) counts[warp] = count;
    __syncthreads();

    if (warp == 0) {
        u64 key[MERGE_CAPACITY / WARP_SIZE];
#pragma unroll
        for (int i = 0; i < MERGE_CAPACITY / WARP_SIZE; i++) {
            int of = WARP_SIZE * i / MOST, at = WARP_SIZE * i % MOST + lane;
            key[i] = at < counts[of] ? lists[of][at] : 0;
        }
        keep_largest(key, num_best, list);  // there are as many: num_best <= L
    }
    __syncthreads();
    for (int i = threadIdx.x; i < num_best; i += MERGE_WARPS * WARP_SIZE) {
        u64 key = lists[0][i];
        int place = 0;  // keys are distinct: the number of better ones
        for (int j = 0; j < num_best; j++) place += lists[0][j] > key;
        labels_BN[(i64)row * num_best + place] = first_label + (u32)~(u32)key;
        scores_BN[(i64)row * num_best + place] = score_of(key);
    }
}
