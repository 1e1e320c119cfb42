// Scores of a range of labels, by gathering: score[b, l] = sum_k weight[l, k] * x[b, index[l, k]] + bias[l].
//
// GROUP lanes share a label, each with eight rows of the batch in registers (rows.cuh). They read the same weights and
// indices, 16 bytes at a time, which the cache hands to all of them at once.
//
// LOSS 0 writes float32 scores [B, labels]. With a loss the gradient of the scores is written instead, by label,
// gradient_LB [labels, stride] (0 in the padding), as the kernels of dX and dW read it, and each block writes the sum
// of its losses to partial_loss[block]. The positives are (row, label) pairs sorted by label; labels are local ones,
// as `begin` and `end` are.
//
// Bound by shared memory and by the unpacking of bfloat16: at 64 rows a connection reads 128 bytes of x, against its
// own 4 in device memory, and eight lanes take 21 instructions each.
//
// Grid: x blocks walk the tiles of TILE labels; y is the block of ROWS rows of the batch.
#include "rows.cuh"

#ifndef THREADS
#define THREADS 256  // 512 where shared memory holds one block only; registers are left for 768 in all
#endif
#define TILE (THREADS / GROUP)  // labels at a time, one for each GROUP lanes

// One label's scores for the lane's eight rows.
__device__ __forceinline__ void label_scores(const Rows& rows, const weight_t* weight, const u16* index, int fan_in,
                                             float* sum) {
#pragma unroll 2
    for (int k = 0; k < fan_in; k += 8) {
        float w[8];
        u32 at[8];
        load8(weight + k, w);
        load8(index + k, at);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            float value[8];
            load_rows(rows, at[j], value);
#pragma unroll
            for (int i = 0; i < 8; i++) sum[i] += w[j] * value[i];
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 768 / THREADS)
ffi_scores(const feature_t* features_DB, const weight_t* weight_LK, const u16* index_LK, const float* bias_L,
           float* out, float* partial_loss, const i64* positive_rows, const i64* positive_labels, int num_positives,
           i64 begin, i64 end, int batch, int stride, int num_features, int fan_in) {
    DYNAMIC_SHARED(memory);
    int lane = threadIdx.x % GROUP, slot = threadIdx.x / GROUP, row0 = blockIdx.y * ROWS;
    Rows rows = take_rows(features_DB, row0, lane, stride, num_features, (feature_t*)memory);
#if LOSS
    __shared__ float losses[THREADS / WARP_SIZE];
    __shared__ int range[2];  // of the positives of a tile
    int row = row0 + 8 * lane;
    float loss_sum = 0.0f;
#else
    __shared__ float staged[ROWS][TILE + 1];
#endif
    for (i64 tile = begin + (i64)blockIdx.x * TILE; tile < end; tile += (i64)gridDim.x * TILE) {
        i64 label = tile + slot;
        float sum[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
#if LOSS
        if (threadIdx.x < 2)
            range[threadIdx.x] = first_positive(positive_labels, num_positives, tile + threadIdx.x * TILE);
#endif
        if (label < end) {
            label_scores(rows, weight_LK + label * fan_in, index_LK + label * fan_in, fan_in, sum);
            float bias = bias_L ? bias_L[label] : 0.0f;
#pragma unroll
            for (int i = 0; i < 8; i++) sum[i] += bias;
        }
#if LOSS
        __syncthreads();
        if (label < end && row < stride) {
            u32 positive = 0;  // a bit for each of this lane's eight rows
            for (int p = range[0]; p < range[1]; p++) {
                i64 at = positive_rows[p] - row;
                if (positive_labels[p] == label && at >= 0 && at < 8) positive |= 1u << at;
            }
#pragma unroll
            for (int i = 0; i < 8; i++) {
                float loss = 0.0f;
                sum[i] = loss_gradient(sum[i], (positive >> i) & 1u, loss);
                if (row + i >= batch) sum[i] = loss = 0.0f;
                loss_sum += loss;
            }
            store8(out + (label - begin) * stride + row, sum);
        }
#else
#pragma unroll
        for (int i = 0; i < 8; i++) staged[8 * lane + i][slot] = sum[i];
        __syncthreads();
        for (int i = threadIdx.x; i < ROWS * TILE; i += THREADS) {  // along the labels: whole lines are written
            int r = i / TILE, t = i % TILE;
            if (row0 + r < batch && tile + t < end) out[(row0 + r) * (end - begin) + tile + t - begin] = staged[r][t];
        }
#endif
        __syncthreads();  // nobody still reads `range` or `staged` of this tile
    }
#if LOSS
    for (int step = WARP_SIZE / 2; step; step /= 2) loss_sum += __shfl_xor_sync(FULL_WARP, loss_sum, step);
    if (threadIdx.x % WARP_SIZE == 0) losses[threadIdx.x / WARP_SIZE] = loss_sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        float total = 0.0f;
        for (int i = 0; i < THREADS / WARP_SIZE; i++) total += losses[i];
        partial_loss[blockIdx.y * gridDim.x + blockIdx.x] = total;
    }
#endif
}
