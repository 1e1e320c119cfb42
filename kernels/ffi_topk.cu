// The best labels of each row of the batch, without the scores of all labels: nothing of size [B, L] is stored.
//
//   score[b, l] = sum_k weight[l, k] * x[b, index[l, k]] + bias[l]      the bits of ffi_scores: k in order, by one lane
//   key[b, l]   = rising(bits of the score) << 32 | ~l                  include/key_lists.cuh: a larger key is better
//
// Keys are distinct, so the result depends on the scores alone, not on the number of blocks. Labels in keys are
// those of the array (up to 2^32 - 2); `first_label` is added at the end, in 64 bits. NaN is returned as NaN.
//
// The naive version computes all scores and sorts them: 4 bytes per label and row, written and read. Here scores are
// compared in registers with a bound for each row.
//
// First pass, ffi_topk: x blocks walk the tiles of TILE labels, y is the block of rows. Scores are gathered as in
// ffi_scores (include/rows.cuh), GROUP lanes per label. Each row of each block has a list of CAPACITY keys, and a bound
// that its num_best-th key is known to reach. A key below the bound costs one comparison; the others are appended to
// the list. Of n labels in random order, about num_best * (1 + ln(n / num_best)) are appended. When a list might not
// hold one more tile, a warp cuts it to its num_best largest keys, found bit by bit in registers, and raises the bound.
// The order of a list depends on the order of the lanes; the set of its keys does not.
//
// Lists are in device memory: 39 MB at 264 blocks, 64 rows and ROOM 256, accessed so rarely that they stay in L2. The
// first version had them in shared memory: 80 KB next to the 96 KB of x, which left one block per multiprocessor
// instead of two, and fewer rows at once on GPUs with 64 or 99 KB.
//
// Second pass, ffi_topk_merge: a block per row. Each of four warps does the same to a quarter of the blocks' keys; then
// one cut of the four lists, and the rank of a key is the number of larger ones.
//
// ONE_ROW 1, for one document: a lane has a label and that row alone, so that a connection costs one number of x and
// not eight. Blocks split the labels, so that the whole GPU reads weights.
//
// README.md, "Cycle counts", has what bounds each.
#ifndef ONE_ROW
#define ONE_ROW 0
#endif
#if ONE_ROW
#define GROUP 1
#endif
#include "include/best_lists.cuh"
#include "include/rows.cuh"

#ifndef THREADS
#define THREADS 256  // 512 where shared memory holds one block only
#endif
#ifndef ROOM
#define ROOM 256     // keys of a list beyond one tile's: a multiple of 32, at least num_best; twice that is better
#endif
#define BLOCKS ((ONE_ROW ? 768 : 512) / THREADS)  // per multiprocessor, at least: this caps the registers
#define LANE_ROWS (ONE_ROW ? 1 : 8)
#define BLOCK_ROWS (LANE_ROWS * GROUP)
#define TILE (THREADS / GROUP)                  // labels at a time, one for each GROUP lanes
#define CAPACITY (TILE + ROOM)                  // keys of a row's list
#define MAX_BEST 128                            // largest num_best
#define MERGE_WARPS 4                           // each has its own list
#define MERGE_CAPACITY (MERGE_WARPS * MAX_BEST) // holds the best of all warps
#define MERGE_STEP 256                          // keys that a warp reads at a time: 8 loads in flight per lane

static_assert(ROOM % WARP_SIZE == 0, "a list is read by whole warps");

// ---- features of one row (ONE_ROW), with the interface of include/rows.cuh ------------------------------------------

#if ONE_ROW
// The features of the one row: D of them in shared memory, or strided in global memory.
struct RowFeatures {
    const feature_t* base;
    int stride;
};

__device__ __forceinline__ RowFeatures stage_features(const feature_t* features_DB, int row, int, int stride,
                                                      int num_features, feature_t* shared) {
#if SHARED
    for (int d = threadIdx.x; d < num_features; d += THREADS) shared[d] = features_DB[(i64)d * stride + row];
    __syncthreads();
    return RowFeatures{shared, 1};
#else
    return RowFeatures{features_DB + row, stride};
#endif
}

__device__ __forceinline__ void load_rows(const RowFeatures& x, u32 feature, float* out) {
#if SHARED
    out[0] = to_float(x.base[feature]);
#else
    out[0] = to_float(x.base[(i64)feature * x.stride]);
#endif
}
#else
typedef Rows RowFeatures;

__device__ __forceinline__ Rows stage_features(const feature_t* features_DB, int row0, int lane, int stride,
                                               int num_features, feature_t* shared) {
    return stage_rows(features_DB, row0, lane, stride, num_features, shared);
}
#endif

// ---- first pass -----------------------------------------------------------------------------------------------------

// Appends the keys of a label that reach the bounds of their rows; true if a list might not hold one more tile.
__device__ __forceinline__ bool append_keys(const Lists& lists, const float* score, float bias, i64 label, int lane,
                                            int row0, int batch) {
    bool full = false;
#pragma unroll
    for (int i = 0; i < LANE_ROWS; i++) {
        int r = LANE_ROWS * lane + i;
        if (row0 + r < batch) full |= append_key<CAPACITY, ROOM>(lists, r, key_of(score[i] + bias, (u32)label));
    }
    return full;
}

// keys_PBC [blocks of x, batch, CAPACITY]: the lists. The first num_best keys of each are the best that the block saw,
// in no order, 0 where it saw fewer. 1 <= num_best <= 128.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
ffi_topk(const feature_t* __restrict__ features_DB, const weight_t* __restrict__ weight_LK,
         const u16* __restrict__ index_LK, const float* __restrict__ bias_L, u64* keys_PBC, i64 begin, i64 end,
         int batch, int stride, int num_features, int fan_in, int num_best) {
    DYNAMIC_SHARED(memory);
    __shared__ u64 bounds[BLOCK_ROWS];
    __shared__ int counts[BLOCK_ROWS];
    int lane = threadIdx.x % GROUP, slot = threadIdx.x / GROUP;
    int row0 = blockIdx.y * BLOCK_ROWS, row = row0 + LANE_ROWS * lane;
    Lists lists = {keys_PBC + ((i64)blockIdx.x * batch + row0) * CAPACITY, bounds, counts};
    clear_lists<BLOCK_ROWS>(lists);
    RowFeatures x = stage_features(features_DB, row0, lane, stride, num_features, (feature_t*)memory);
    __syncthreads();

    for (i64 tile = begin + (i64)blockIdx.x * TILE; tile < end; tile += (i64)gridDim.x * TILE) {
        i64 label = tile + slot;
        bool full = false;
        if (label < end && row < batch) {
            float score[LANE_ROWS] = {};
            add_label_scores<LANE_ROWS>(x, weight_LK + label * fan_in, index_LK + label * fan_in, fan_in, score);
            full = append_keys(lists, score, bias_L ? bias_L[label] : 0.0f, label, lane, row0, batch);
        }
        if (!__syncthreads_or(full)) continue;
        cut_full_lists<BLOCK_ROWS, CAPACITY, ROOM>(lists, num_best);
        __syncthreads();
    }

    __syncthreads();
    finish_lists<CAPACITY>(lists, min(BLOCK_ROWS, batch - row0), num_best);
}

// ---- second pass ----------------------------------------------------------------------------------------------------

// Reads the warp's part of all blocks' keys of a row and leaves its best in `list`; returns how many.
__device__ __forceinline__ int best_of_warp(const u64* keys_PBC, u64* list, int row, int parts, int batch, int capacity,
                                            int num_best) {
    int warp = threadIdx.x / WARP_SIZE, lane = threadIdx.x % WARP_SIZE;
    u64 bound = 1;  // 0 means no key
    int count = 0, total = parts * num_best;
    for (int first = warp * MERGE_STEP; first < total; first += MERGE_WARPS * MERGE_STEP) {
        u64 key[MERGE_STEP / WARP_SIZE];
#pragma unroll
        for (int i = 0; i < MERGE_STEP / WARP_SIZE; i++) {
            int at = first + WARP_SIZE * i + lane, part = at / num_best;
            key[i] = at < total ? keys_PBC[((i64)part * batch + row) * capacity + at - part * num_best] : 0;
        }
#pragma unroll
        for (int i = 0; i < MERGE_STEP / WARP_SIZE; i++) count = append_if(key[i], bound, list, count);
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
    return count;
}

// The best of all parts, sorted: labels_BN (numbered from first_label) and scores_BN. One block per row of the batch;
// its warps take turns at MERGE_STEP keys, and the first warp merges their lists.
extern "C" __global__ void __launch_bounds__(MERGE_WARPS * WARP_SIZE)
ffi_topk_merge(const u64* __restrict__ keys_PBC, i64* labels_BN, float* scores_BN, i64 first_label, int parts,
               int batch, int capacity, int num_best) {
    __shared__ u64 lists[MERGE_WARPS][MERGE_CAPACITY];
    __shared__ int counts[MERGE_WARPS];
    int warp = threadIdx.x / WARP_SIZE, lane = threadIdx.x % WARP_SIZE, row = blockIdx.x;
    int count = best_of_warp(keys_PBC, lists[warp], row, parts, batch, capacity, num_best);
    if (lane == 0) counts[warp] = count;
    __syncthreads();

    if (warp == 0) {
        u64 key[MERGE_CAPACITY / WARP_SIZE];
#pragma unroll
        for (int i = 0; i < MERGE_CAPACITY / WARP_SIZE; i++) {
            int list = WARP_SIZE * i / MAX_BEST, at = WARP_SIZE * i % MAX_BEST + lane;
            key[i] = at < counts[list] ? lists[list][at] : 0;
        }
        select_largest(key, num_best, lists[0]);  // there are num_best keys, because num_best <= L
    }
    __syncthreads();
    for (int i = threadIdx.x; i < num_best; i += MERGE_WARPS * WARP_SIZE) {
        u64 key = lists[0][i];
        int rank = 0;  // keys are distinct: the rank is the number of better ones
        for (int j = 0; j < num_best; j++) rank += lists[0][j] > key;
        labels_BN[(i64)row * num_best + rank] = first_label + (u32)~(u32)key;
        scores_BN[(i64)row * num_best + rank] = score_of(key);
    }
}
