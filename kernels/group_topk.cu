// The best labels of each row of the batch, for groups of labels that share their features:
//
//   score[b, l] = sum_k weight[l, k] * x[b, index[l / G, k]] + bias[l]      the bits of group_scores
//   key[b, l]   = rising(bits of the score) << 32 | ~id                     include/key_lists.cuh: a larger key is better
//
// The id of a label is its place in the array, or label_ids[l]: labels that are laid out by group keep their ids, and equal
// scores go to the lower id. Nothing of size [B, L] is stored. Scores of a tile of 64 labels are computed as in
// group_scores, and compared in registers with a bound for each row: ffi_topk.cu tells how, and its second pass,
// ffi_topk_merge, merges the lists of the blocks.
//
// Bound as group_scores is. A single row costs as much as 64, but for its 8 bytes of x for each connection.
//
// Grid: x blocks walk the tiles of 64 labels; y is the block of 64 rows of the batch.
#include "group/scores.cuh"
#include "include/best_lists.cuh"

#ifndef ROOM
#define ROOM 256     // keys of a list beyond one tile's: a multiple of 32, at least num_best; twice that is better
#endif
#define CAPACITY (TILE + ROOM)

// Appends the keys of a warp's scores that reach the bounds of their rows; true if a list might not hold one more tile.
__device__ __forceinline__ bool append_scores(const Lists& lists, const Scores& score, const ScoreSteps& steps, i64 tile,
                                              const float* bias_L, const int* label_ids, int batch) {
    bool full = false;
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
        for (int odd = 0; odd < 2; odd++) {
            i64 label = tile + score_label(n, odd);
            if (label >= steps.labels.end) continue;
            float bias = bias_L ? bias_L[label] : 0.0f;
            u32 id = label_ids ? (u32)label_ids[label] : (u32)label;
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int i = odd; i < 4; i += 2) {
                    int r = score_row(m, i);
                    if (steps.features.row0 + r < batch)
                        full |= append_key<CAPACITY, ROOM>(lists, r, key_of(score[m][n][i] + bias, id));
                }
        }
    return full;
}

// keys_PBC [blocks of x, batch, CAPACITY]: the lists. The first num_best keys of each are the best that the block saw,
// in no order, 0 where it saw fewer. 1 <= num_best <= 128.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
group_topk(const half_t* __restrict__ features_DB, const weight_t* __restrict__ weight_LK,
           const u16* __restrict__ index_RK, const float* __restrict__ bias_L, const int* __restrict__ label_ids,
           u64* keys_PBC, i64 begin, i64 end, int batch, int stride, int fan_in, int num_best) {
    DYNAMIC_SHARED(memory);
    __shared__ u64 bounds[ROWS];
    __shared__ int counts[ROWS];
    int row0 = blockIdx.y * ROWS;
    ScoreSteps steps = {{weight_LK, index_RK, begin, end, fan_in}, {features_DB, stride, row0}, (half_t*)memory};
    steps.start_first();
    Lists lists = {keys_PBC + ((i64)blockIdx.x * batch + row0) * CAPACITY, bounds, counts};
    clear_lists<ROWS>(lists);
    Scores score = {};
    for (int i = 0; i < steps.count; i++) {
        steps.arrive(i);
        add_scores(score, steps.x(i), steps.w(i));
        if ((i + 1) % steps.slices) continue;
        bool full = append_scores(lists, score, steps, steps.tile(i), bias_L, label_ids, batch);
#pragma unroll
        for (int j = 0; j < 16; j++) score[j / 8][j / 4 % 2][j % 4] = 0.0f;
        if (!__syncthreads_or(full)) continue;
        cut_full_lists<ROWS, CAPACITY, ROOM>(lists, num_best);  // read again after the barrier of the next step
    }
    __syncthreads();
    finish_lists<CAPACITY>(lists, min(ROWS, batch - row0), num_best);
}
