// The fused step: its three matrix products, on tensor cores. A label tile has TILE labels, a fragment is that of
// include/mma.cuh, offsets are those of step/layout.cuh.
//
//              result          A          B      computed by a warp
//   scores^T = w x^T           w          x      TILE labels x SCORE_ROWS rows, one of KSPLIT parts of the features
//   dX      += g^T w           g^T        w      BATCH rows x its features, in registers over all tiles
//   dW       = g x             g          x      TILE labels x its features
//
// w is [TILE, FEATURES], x^T is stored as [FEATURES, BATCH] and g as [TILE, BATCH]. An operand whose stored rows don't
// run along the summed index is loaded transposed.
#pragma once
#include "include/mma.cuh"
#include "step/layout.cuh"

typedef float GradFeatures[ROW_TILES][2 * FEATURE_BLOCKS][4];  // dX of a warp: fragments of 16 rows x 8 features

// ---- scores ---------------------------------------------------------------------------------------------------------

typedef float ScoreSums[LABEL_TILES][SCORE_ROWS / 8][4];

__device__ __forceinline__ void store_scores(float* to, const ScoreSums& sum) {
#pragma unroll
    for (int m = 0; m < LABEL_TILES; m++)
#pragma unroll
        for (int n = 0; n < SCORE_ROWS / 8; n++) {
            *(float2*)(to + 16 * m * SCORE_PITCH + 8 * n) = float2{sum[m][n][0], sum[m][n][1]};
            *(float2*)(to + (16 * m + 8) * SCORE_PITCH + 8 * n) = float2{sum[m][n][2], sum[m][n][3]};
        }
}

// A warp's partial sums: 32 x 64 scores are too few products for eight warps, so the features are split (KSPLIT).
__device__ __forceinline__ void multiply_scores(float* scores, const half_t* w, const half_t* x) {
    int warp = thread_index() / WARP_SIZE, lane = thread_index() % WARP_SIZE;
    int split = warp % KSPLIT, row0 = warp / KSPLIT * SCORE_ROWS;
    Element element = ldmatrix_element(lane, true);
    int w_base = w_offset(element.row, 16 * split + element.column);
    x += 16 * split * BATCH;
    int x_base = swizzle(element.row * BATCH + row0 + element.column);
    ScoreSums sum = {};
#pragma unroll 1
    for (int feature0 = 0; feature0 < FEATURES; feature0 += 16 * KSPLIT * SCORE_LOADS) {
        u32 a[SCORE_LOADS][LABEL_TILES][4], b[SCORE_LOADS][SCORE_ROWS / 16][4];
#pragma unroll
        for (int i = 0; i < SCORE_LOADS; i++) {
            int feature = feature0 + 16 * KSPLIT * i, columns = (w_base ^ feature % 64) + feature / 64 * 64;
#pragma unroll
            for (int m = 0; m < LABEL_TILES; m++) ldmatrix_x4(a[i][m], w + 16 * m * FEATURES + columns);
#pragma unroll
            for (int n = 0; n < SCORE_ROWS / 16; n++)
                ldmatrix_x4_transposed(b[i][n], x + feature * BATCH + (x_base ^ 16 * n));
        }
#pragma unroll
        for (int i = 0; i < SCORE_LOADS; i++)
#pragma unroll
            for (int n = 0; n < SCORE_ROWS / 16; n++)
#pragma unroll
                for (int m = 0; m < LABEL_TILES; m++) {
                    mma_16816(sum[m][2 * n], a[i][m], b[i][n], half_t());
                    mma_16816(sum[m][2 * n + 1], a[i][m], b[i][n] + 2, half_t());
                }
    }
    store_scores(scores + (split * TILE + lane / 4) * SCORE_PITCH + row0 + lane % 4 * 2, sum);
}

// ---- dX -------------------------------------------------------------------------------------------------------------

// dX += g^T w for the warp's features.
__device__ __forceinline__ void multiply_grad_features(GradFeatures& dx, const half_t* g, const half_t* w) {
    int lane = thread_index() % WARP_SIZE, feature0 = thread_index() / WARP_SIZE * 16;
    Element rows_first = ldmatrix_element(lane, true), columns_first = ldmatrix_element(lane, false);
    const half_t* w_base = w + w_offset(rows_first.row, feature0 + rows_first.column);
    int g_base = swizzle(columns_first.row * BATCH + columns_first.column);
#pragma unroll 1
    for (int k = 0; k < LABEL_TILES; k++)
#pragma unroll 1
        for (int part = 0; part < GRADIENT_PARTS; part++) {
            u32 a[ROW_TILES][4];
#pragma unroll
            for (int m = 0; m < ROW_TILES; m++)
                ldmatrix_x4_transposed(a[m], g + (part * TILE + 16 * k) * BATCH + (g_base ^ 16 * m));
#pragma unroll
            for (int n = 0; n < FEATURE_BLOCKS; n++) {
                u32 b[4];
                ldmatrix_x4_transposed(b, w_base + 16 * k * FEATURES + n * FEATURE_STRIDE);
#pragma unroll
                for (int m = 0; m < ROW_TILES; m++) {
                    mma_16816(dx[m][2 * n], a[m], b, half_t());
                    mma_16816(dx[m][2 * n + 1], a[m], b + 2, half_t());
                }
            }
        }
}

// Writes dX of the block's rows to `out` [rows, num_features].
__device__ __forceinline__ void store_grad_features(float* out, const GradFeatures& dx, const Batch& batch) {
    RowRange rows = row_range(batch);
    out += (i64)rows.first * batch.num_features;
    int lane = thread_index() % WARP_SIZE, feature0 = thread_index() / WARP_SIZE * 16;
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
        for (int n = 0; n < 2 * FEATURE_BLOCKS; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int row = 16 * m + lane / 4 + 8 * (i / 2);
                int feature = feature0 + n / 2 * FEATURE_STRIDE + n % 2 * 8 + lane % 4 * 2 + i % 2;
                if (row < rows.count && feature < batch.num_features)
                    out[(i64)row * batch.num_features + feature] = dx[m][n][i] * (1.0f / GRADIENT_SCALE);
            }
}

// ---- dW -------------------------------------------------------------------------------------------------------------

// With two parts of g, their fragments don't stay in registers: one load of them serves two blocks of features.
#define DW_BLOCKS (GRADIENT_PARTS == 2 && FEATURE_BLOCKS % 2 == 0 ? 2 : 1)

typedef u32 GradientFragments[GRADIENT_PARTS][ROW_TILES][4];
typedef float WeightSums[2 * DW_BLOCKS][4];

// The products of 16 labels with DW_BLOCKS blocks of 16 features, summed over the rows of the batch: odd and even tiles of
// rows apart if there are two chains.
__device__ __forceinline__ void multiply_over_rows(WeightSums* sum, GradientFragments& a, const half_t* g, int g_base,
                                                   const half_t* x, int x_base) {
#pragma unroll
    for (int k = 0; k < ROW_TILES; k++)
#pragma unroll
        for (int part = 0; part < GRADIENT_PARTS; part++) {
#if GRADIENT_PARTS == 2
            ldmatrix_x4(a[part][k], g + part * TILE * BATCH + (g_base ^ 16 * k));
#endif
#pragma unroll
            for (int n = 0; n < DW_BLOCKS; n++) {
                u32 b[4];
                ldmatrix_x4(b, x + n * FEATURE_STRIDE * BATCH + (x_base ^ 16 * k));
                mma_16816(sum[k % SUM_CHAINS][2 * n], a[part][k], b, half_t());
                mma_16816(sum[k % SUM_CHAINS][2 * n + 1], a[part][k], b + 2, half_t());
            }
        }
#pragma unroll
    for (int n = 0; n < (SUM_CHAINS - 1) * 2 * DW_BLOCKS; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) sum[0][n][i] += sum[SUM_CHAINS - 1][n][i];
}

// dW = g x for the warp's features, to shared memory, 16 labels at a time.
__device__ __forceinline__ void multiply_grad_weight(float* dw, const half_t* g, const half_t* x) {
    int lane = thread_index() % WARP_SIZE, feature0 = thread_index() / WARP_SIZE * 16;
    Element rows_first = ldmatrix_element(lane, true), columns_first = ldmatrix_element(lane, false);
    int g_base = swizzle(rows_first.row * BATCH + rows_first.column);
    int x_base = swizzle(columns_first.row * BATCH + columns_first.column);
    int to = dw_offset(lane / 4, feature0 + lane % 4 * 2);
    x += feature0 * BATCH;
#pragma unroll 1
    for (int label = 0; label < TILE; label += 16) {
        GradientFragments a;
#if GRADIENT_PARTS == 1
#pragma unroll
        for (int k = 0; k < ROW_TILES; k++) ldmatrix_x4(a[0][k], g + label * BATCH + (g_base ^ 16 * k));
#endif
#pragma unroll 1
        for (int feature = 0; feature < FEATURES; feature += DW_BLOCKS * FEATURE_STRIDE) {
            WeightSums chains[SUM_CHAINS] = {}, &sum = chains[0];
            multiply_over_rows(chains, a, g + label * BATCH, g_base, x + feature * BATCH, x_base);
#pragma unroll
            for (int n = 0; n < 2 * DW_BLOCKS; n++) {
                float* here = dw + label * FEATURES + feature + n / 2 * FEATURE_STRIDE + (to ^ n % 2 * 8);
                *(float2*)here = float2{sum[n][0], sum[n][1]};
                *(float2*)(here + 8 * FEATURES) = float2{sum[n][2], sum[n][3]};
            }
        }
    }
}
