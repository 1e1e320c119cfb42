// Scores of a tile of 64 labels at 64 rows of the batch, for groups: what group_scores and group_topk have in common.
//
// A block walks its tiles, and each tile's connections SLOTS at a time: a step. STAGES - 1 steps are on their way to
// shared memory while one is multiplied. A stage:
//
//   x   [GROUPS * SLOTS][ROWS]   rows of x^T, gathered
//   w   [TILE][SLOTS]            weights
//
// A warp computes 32 rows x 16 labels: D[row, label] = x w^T, two by two products of mma.cuh for each 16 connections.
#pragma once
#include "group/tiles.cuh"

#define SLOTS (GROUP_SIZE == 8 ? 16 : GROUP_SIZE == 16 ? 32 : 64)
#define STAGES 3
#define X_NUMBERS (GROUPS * SLOTS * ROWS)
#define W_NUMBERS (TILE * SLOTS)
#define STAGE_NUMBERS (X_NUMBERS + W_NUMBERS)

typedef float Scores[2][2][4];  // [16 rows][8 labels] fragments C of a warp's 32 rows x 16 labels

// The row of the block and the label of the tile of element `i` of a fragment.
__device__ __forceinline__ int score_row(int m, int i) {
    return threadIdx.x / WARP_SIZE % 2 * 32 + 16 * m + 8 * (i / 2) + threadIdx.x % WARP_SIZE / 4;
}
__device__ __forceinline__ int score_label(int n, int i) {
    return threadIdx.x / WARP_SIZE / 2 * 16 + 8 * n + threadIdx.x % 4 * 2 + i % 2;
}

// Adds the products of one stage.
__device__ __forceinline__ void add_scores(Scores& sum, const half_t* x, const half_t* w) {
    Element element = ldmatrix_element(false);
    int warp = threadIdx.x / WARP_SIZE, row = warp % 2 * 32 + element.column, label = warp / 2 * 16;
#pragma unroll
    for (int k = 0; k < SLOTS; k += 16) {
        u32 a[2][4], b[4];
        ldmatrix_x4(b, w + swizzled<SLOTS>(label + element.row, k + element.column));
#pragma unroll
        for (int n = 0; n < 2; n++) {
            int group = (label + 8 * n) / GROUP_SIZE;
            if (n == 0 || GROUP_SIZE == 8)  // larger groups: both octets of labels read the same features
#pragma unroll
                for (int m = 0; m < 2; m++)
                    ldmatrix_x4_transposed(a[m], x + swizzled<ROWS>(group * SLOTS + k + element.row, row + 16 * m));
#pragma unroll
            for (int m = 0; m < 2; m++) mma_16816(sum[m][n], a[m], b + 2 * n, half_t());
        }
    }
}

// The steps of a block: their tiles and connections, and their way to shared memory.
struct ScoreSteps {
    GroupLabels labels;
    GroupFeatures features;
    half_t* memory;  // STAGES stages
    int slices, count; // steps of a tile; steps of the block
    FeatureCopies<SLOTS> next;  // of the step that is started next

    __device__ __forceinline__ i64 tile(int step) const {
        return labels.begin + ((i64)blockIdx.x + (i64)(step / slices) * gridDim.x) * TILE;
    }
    __device__ __forceinline__ int slot0(int step) const { return step % slices * SLOTS; }
    __device__ __forceinline__ half_t* x(int step) const { return memory + step % STAGES * STAGE_NUMBERS; }
    __device__ __forceinline__ half_t* w(int step) const { return x(step) + X_NUMBERS; }

    // Starts the copies of a step whose features have been read, if there is one, and reads those of the step after it.
    __device__ __forceinline__ void start(int step) {
        if (step < count) {
            next.start(features, labels, tile(step), slot0(step), x(step));
            WeightCopies<TILE, SLOTS>::start(labels, tile(step), slot0(step), SLOTS, w(step));
            if (step + 1 < count) next.read(labels, tile(step + 1), slot0(step + 1));
        }
        close_copies();
    }

    __device__ __forceinline__ void start_first() {
        i64 tiles = (labels.end - labels.begin + TILE - 1) / TILE;
        slices = (labels.fan_in + SLOTS - 1) / SLOTS;
        count = blockIdx.x < tiles ? (int)((tiles - blockIdx.x + gridDim.x - 1) / gridDim.x) * slices : 0;
        if (count) next.read(labels, tile(0), slot0(0));
        for (int step = 0; step < STAGES - 1; step++) start(step);
    }

    // Waits until a step is in shared memory, and starts the one that takes the place of the step before it.
    __device__ __forceinline__ void arrive(int step) {
        wait_for_copies<STAGES - 2>();
        WeightCopies<TILE, SLOTS>::decode(SLOTS, w(step));
        __syncthreads();  // the step is there for all threads, and all have used the step before
        start(step + STAGES - 1);
    }
};
