// The step on wgmma: its three products. All sums are of a warpgroup; offsets are those of step/layout.cuh.
//
//                 result             A      lies     B      lies     computed by a warpgroup
//   scores^T      [TILE, BATCH]      w      ALONG    x      ACROSS   partial sums over its half of the features
//   dX +=         [BATCH, FEATURES]  g^T    ACROSS   w      ACROSS   its half of the features, in three pieces; in registers
//   dW^T          [64, 32]           x^T    ALONG    g      ALONG    64 of its features, 32 labels
#pragma once
#include "step/layout.cuh"
#include "wgmma/instruction.cuh"

#define HALF_FEATURES (FEATURES / 2)    // of a warpgroup
#define PIECE_FEATURES (FEATURES / 6)   // of dX in a product
#define PANEL (64 * TILE)               // numbers of 64 features of w
#define DW_LABELS 32                    // labels of dW at a time

typedef float ScoreSums[BATCH / 2];
typedef float GradFeatures[3][PIECE_FEATURES / 2];
typedef float WeightSums[DW_LABELS / 2];

__device__ __forceinline__ int warpgroup_index() { return thread_index() / WARPGROUP; }

// Where a thread's sums begin: rows `row` (0 to 63) and 8 below it, columns `column` and the one behind, of each 8 columns.
struct SumPlace { int warpgroup, row, column; };

__device__ __forceinline__ SumPlace sum_place() {
    int thread = thread_index();
    return SumPlace{thread / WARPGROUP, thread / WARP_SIZE % 4 * 16 + thread % WARP_SIZE / 4, thread % 4 * 2};
}

__device__ __forceinline__ void multiply_scores(ScoreSums& sum, const half_t* w, const half_t* x) {
    int feature0 = warpgroup_index() * HALF_FEATURES;
#pragma unroll 1
    for (int feature = 0; feature < HALF_FEATURES; feature += 64) {
        int first = feature0 + feature;
        multiply_64<ALONG, ACROSS>(sum, operand_at(w + first / 64 * PANEL), operand_at(x + first * BATCH));
    }
}

__device__ __forceinline__ void multiply_grad_features(GradFeatures& dx, const half_t* g, const half_t* w) {
    w += warpgroup_index() * (HALF_FEATURES / 64) * PANEL;
    u64 gradients = operand_at(g);
#pragma unroll
    for (int piece = 0; piece < 3; piece++)
        multiply_64<ACROSS, ACROSS>(dx[piece], gradients, operand_at(w + piece * PIECE_FEATURES / 64 * PANEL, 2 * PANEL));
}

// dW of 32 labels, transposed, to dw [DW_LABELS][FEATURES]; g is that of their first label.
__device__ __forceinline__ void multiply_grad_weight(float* dw, const half_t* g, const half_t* x) {
    SumPlace place = sum_place();
    int first = place.warpgroup * HALF_FEATURES;
    int to = dw_offset(place.column, first + place.row);  // 8 features further on: by exclusive or
#pragma unroll 1
    for (int feature = 0; feature < HALF_FEATURES; feature += 64) {
        WeightSums sum = {};
        multiply_64<ALONG, ALONG>(sum, operand_at(x + (first + feature) * BATCH), operand_at(g));
#pragma unroll
        for (int i = 0; i < DW_LABELS / 2; i++)
            dw[feature + (i / 4 * 8 + i % 2) * FEATURES + (to ^ i % 4 / 2 * 8)] = sum[i];
    }
}

// Writes dX of the block's rows to `out` [all rows, num_features].
__device__ __forceinline__ void store_grad_features(float* out, const GradFeatures& dx, const Batch& batch) {
    SumPlace place = sum_place();
    RowRange rows = row_range(batch);
    out += (i64)rows.first * batch.num_features;
    int feature0 = place.warpgroup * HALF_FEATURES + place.column;
#pragma unroll
    for (int piece = 0; piece < 3; piece++)
#pragma unroll
        for (int i = 0; i < PIECE_FEATURES / 2; i++) {
            int row = place.row + i % 4 / 2 * 8, feature = feature0 + piece * PIECE_FEATURES + i / 4 * 8 + i % 2;
            if (row < rows.count && feature < batch.num_features)
                out[(i64)row * batch.num_features + feature] = dx[piece][i] * (1.0f / GRADIENT_SCALE);
        }
}
