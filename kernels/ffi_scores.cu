// Scores of a range of labels, by gathering:
//
//   score[b, l] = sum_k weight[l, k] * x[b, index[l, k]] + bias[l]
//
// LOSS 0 writes the scores, float32 [B, labels]. With a loss, the derivative of the loss by the score is written
// instead, one row per label, gradient_LB [labels, stride] (0 in the padding), which is how the kernels of dX and dW
// read it; each block writes the sum of its losses to partial_loss[block]. The positives are (row, label) pairs sorted
// by label. Their labels are numbered as `begin` and `end` are. With INITIAL 1 the scores start from what `out` holds, as
// ffi_word_scores has written it.
//
// The naive version gives a thread one score. Each connection then costs every row of the batch an index, a weight and
// a feature. Here GROUP lanes share a label and each holds eight rows in registers (include/rows.cuh). They read the
// same weights and indices, 16 bytes at a time, and L1 broadcasts them.
//
// Bound by shared memory and by converting bfloat16; the counts are in README.md, "Cycle counts".
//
// Grid: x blocks walk the tiles of TILE labels; y is the block of ROWS rows of the batch.
#include "include/loss.cuh"
#include "include/rows.cuh"
#include "include/sums.cuh"

#ifndef THREADS
#define THREADS 256  // 512 where shared memory holds one block only; registers suffice for 768 threads in all
#endif
#define TILE (THREADS / GROUP)  // labels at a time, one for each GROUP lanes
#ifndef INITIAL
#define INITIAL 0
#endif
#if INITIAL != 0 && !(INITIAL == 1 && LOSS)
#error "unknown INITIAL: expected 0 (scores start from 0) or, with a loss, 1 (from what out holds)"
#endif

#if LOSS
// Bit i: whether row `row` + i has the label, among the pairs [range[0], range[1]).
__device__ __forceinline__ u32 positive_bits(const i64* rows, const i64* labels, const int* range, i64 label, int row) {
    u32 bits = 0;
    for (int p = range[0]; p < range[1]; p++) {
        i64 at = rows[p] - row;
        if (labels[p] == label && at >= 0 && at < 8) bits |= 1u << at;
    }
    return bits;
}

// Replaces eight scores by the derivatives of their losses, 0 for rows past the batch; returns the sum of the losses.
__device__ __forceinline__ float losses_of_rows(float* score, u32 positive, int row, int batch, float loss_sum) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float loss = 0.0f;
        score[i] = loss_gradient(score[i], (positive >> i) & 1u, loss);
        if (row + i >= batch) score[i] = loss = 0.0f;
        loss_sum += loss;
    }
    return loss_sum;
}
#else
// Writes the block's scores along the labels, so that whole cache lines are written.
__device__ __forceinline__ void write_scores(const float (&scores)[ROWS][TILE + 1], float* out, int row0, i64 tile,
                                             int batch, i64 begin, i64 end) {
    for (int i = threadIdx.x; i < ROWS * TILE; i += THREADS) {
        int r = i / TILE, t = i % TILE;
        if (row0 + r < batch && tile + t < end) out[(row0 + r) * (end - begin) + tile + t - begin] = scores[r][t];
    }
}
#endif

// The scores of a label for the lane's eight rows, 0 past the last label.
__device__ __forceinline__ void label_scores(const Rows& rows, const weight_t* weight_LK, const u16* index_LK,
                                             const float* bias_L, i64 label, i64 end, int fan_in, float* score) {
    if (label >= end) return;
    add_label_scores<8>(rows, weight_LK + label * fan_in, index_LK + label * fan_in, fan_in, score);
    float bias = bias_L ? bias_L[label] : 0.0f;
#pragma unroll
    for (int i = 0; i < 8; i++) score[i] += bias;
}

// Long: a tile's scores are used in one of two ways, with different shared memory, between the same barriers.
extern "C" __global__ void __launch_bounds__(THREADS, 768 / THREADS)
ffi_scores(const feature_t* __restrict__ features_DB, const weight_t* __restrict__ weight_LK,
           const u16* __restrict__ index_LK, const float* __restrict__ bias_L, float* out, float* partial_loss,
           const i64* __restrict__ positive_rows, const i64* __restrict__ positive_labels, int num_positives, i64 begin,
           i64 end, int batch, int stride, int num_features, int fan_in) {
    DYNAMIC_SHARED(memory);
    int lane = threadIdx.x % GROUP, slot = threadIdx.x / GROUP, row0 = blockIdx.y * ROWS;
    Rows rows = stage_rows(features_DB, row0, lane, stride, num_features, (feature_t*)memory);
#if LOSS
    __shared__ float warp_losses[THREADS / WARP_SIZE];
    __shared__ int range[2];  // of the tile's positives
    int row = row0 + 8 * lane;
    float loss_sum = 0.0f;
#else
    __shared__ float scores[ROWS][TILE + 1];
#endif
    for (i64 tile = begin + (i64)blockIdx.x * TILE; tile < end; tile += (i64)gridDim.x * TILE) {
        i64 label = tile + slot;
        float score[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
#if LOSS
        if (threadIdx.x < 2)
            range[threadIdx.x] = first_positive(positive_labels, num_positives, tile + threadIdx.x * TILE);
#endif
#if INITIAL
        if (label < end && row < stride) load8(out + (label - begin) * stride + row, score);
#endif
        label_scores(rows, weight_LK, index_LK, bias_L, label, end, fan_in, score);
#if LOSS
        __syncthreads();
        if (label < end && row < stride) {
            u32 positive = positive_bits(positive_rows, positive_labels, range, label, row);
            loss_sum = losses_of_rows(score, positive, row, batch, loss_sum);
            store8(out + (label - begin) * stride + row, score);
        }
#else
#pragma unroll
        for (int i = 0; i < 8; i++) scores[8 * lane + i][slot] = score[i];
        __syncthreads();
        write_scores(scores, out, row0, tile, batch, begin, end);
#endif
        __syncthreads();  // `range` and `scores` of this tile have been read
    }
#if LOSS
    float total = sum_over_block(loss_sum, warp_losses);
    if (threadIdx.x == 0) partial_loss[blockIdx.y * gridDim.x + blockIdx.x] = total;
#endif
}
