// The gradient of the features from a range of labels whose groups share their features:
//
//   dX[b, d] = sum_l g[b, l] * w[l, d]      w: the weights as a dense matrix, 0 where a label has no connection
//
// The naive version adds a number to dX for each connection and row of the batch. Here the labels of a group are summed
// first, on tensor cores: [K, G] x [G, rows]. What remains is to add K rows of sums to K rows of dX^T, no two of them
// the same. dX^T lies in the shared memory of a persistent block, float32 [slice][ROWS], from the first group to the last:
//
//   - a block owns ROWS rows of the batch, a slice of the features and one part ("split") of the groups;
//   - for each group, a warp computes 16 connections x 32 rows of sums, and adds them;
//   - a barrier separates the groups, since they share features: sums are added in the order of the groups.
//
// The result is written once, to partial_SDB[split] [D, stride]; `ffi_grad_features_sum` adds the splits in their order:
// no atomics, and the same bits each time. `add` 1 continues from what `partial` holds, so that chunks of labels share one
// workspace and are summed once.
//
// How a warp adds to dX^T without two lanes that share a bank: group/feature_sums.cuh.
//
// gradient_PLB holds the gradients as the sum of PARTS 16-bit numbers, [PARTS][labels, stride]: one, rounded
// stochastically, from group_scores; two, high and low, for 16 bits of precision.
//
// Bound by the sums in shared memory; README.md, "Groups", has the counts.
//
// Grid: x slices of features, y splits, z blocks of ROWS rows. A step is up to 16 labels of a group with up to 128 of
// its connections; STAGES - 1 steps are on their way to shared memory while one is multiplied.
#ifndef ROWS
#define ROWS 64    // of the batch: 16, 32 or 64, as dX^T leaves room for
#endif
#ifndef PARTS
#define PARTS 1
#endif
#if PARTS != 1 && PARTS != 2
#error "unknown PARTS: expected 1 or 2"
#endif
#if ROWS != 16 && ROWS != 32 && ROWS != 64
#error "unknown ROWS: expected 16, 32 or 64"
#endif
#include "group/feature_sums.cuh"
#include "group/tiles.cuh"

#define LABELS (GROUP_SIZE < 16 ? GROUP_SIZE : 16)    // of a step
#define PIECES (GROUP_SIZE / LABELS)                  // steps of the labels of a group
#define SLOTS 128                                     // connections of a step
#define STAGES 4
#define ROW_PARTS (ROWS == 64 ? 2 : 1)                // a warp has a part of the rows,
#define ROW_OCTETS (ROWS / ROW_PARTS / 8)             // that many times 8,
#define SLOT_WARPS (WARPS / ROW_PARTS)                // and 16 connections in each 16 * SLOT_WARPS
#define ITEMS (SLOTS / 16 / SLOT_WARPS)

#define W_NUMBERS (LABELS * SLOTS)
#define G_NUMBERS (LABELS * ROWS)
#define STAGE_NUMBERS (W_NUMBERS + PARTS * G_NUMBERS + SLOTS)  // weights, gradients, features

typedef WeightCopies<LABELS, SLOTS> Weights;
typedef float GroupSums[ITEMS][ROW_OCTETS][4];  // fragments C of 16 connections x 8 rows

struct Sources {
    const half_t* gradient_PLB;
    GroupLabels labels;
    int stride, row0;
};

// One step: a piece of a group's labels with a slice of its connections.
struct Stage {
    i64 label;
    int slot0;
    half_t *w, *g;
    u16* features;
};

// The steps of a block: for each of its groups, for each slice of connections, the pieces of its labels.
struct FeatureSteps {
    Sources from;
    half_t* memory;
    int slices, count;

    __device__ __forceinline__ Stage stage(int step) const {
        int slice = step / PIECES % slices;
        i64 group = (i64)blockIdx.y + (i64)(step / PIECES / slices) * gridDim.y;
        half_t* w = memory + step % STAGES * STAGE_NUMBERS;
        return Stage{from.labels.begin + group * GROUP_SIZE + step % PIECES * LABELS, slice * SLOTS, w, w + W_NUMBERS,
                     (u16*)(w + W_NUMBERS + PARTS * G_NUMBERS)};
    }

    __device__ __forceinline__ void start_first() {
        i64 groups = (from.labels.end - from.labels.begin + GROUP_SIZE - 1) / GROUP_SIZE;
        slices = (from.labels.fan_in + SLOTS - 1) / SLOTS;
        count = blockIdx.y < groups ? (int)((groups - blockIdx.y + gridDim.y - 1) / gridDim.y) * slices * PIECES : 0;
        for (int step = 0; step < STAGES - 1; step++) start(step);
    }

    // Starts the copies of a step, if there is one. Labels that don't exist have weights and gradients of 0.
    __device__ __forceinline__ void start(int step) const {
        if (step < count) {
            Stage to = stage(step);
            const GroupLabels& labels = from.labels;
            i64 last = labels.end - to.label;  // labels from here on
            Weights::start(labels, to.label, to.slot0, labels.fan_in - to.slot0, to.w);
            for (int i = threadIdx.x; i < PARTS * LABELS * ROWS / 8; i += THREADS) {
                int row = i / (ROWS / 8) % LABELS, column = i % (ROWS / 8) * 8, part = i / (LABELS * ROWS / 8);
                bool exists = row < last && from.row0 + column < from.stride;
                i64 at = (part * (labels.end - labels.begin) + to.label - labels.begin + row) * from.stride
                       + from.row0 + column;
                copy_async<0>(to.g + part * G_NUMBERS + swizzled<ROWS>(row, column), from.gradient_PLB + (exists ? at : 0),
                              exists);
            }
            if (threadIdx.x < SLOTS / 8 && to.slot0 + (int)threadIdx.x * 8 < labels.fan_in)
                copy_async<0>(to.features + threadIdx.x * 8,
                              labels.index_RK + to.label / GROUP_SIZE * labels.fan_in + to.slot0 + threadIdx.x * 8, true);
        }
        close_copies();
    }
};

// ---- a step ---------------------------------------------------------------------------------------------------------

// The address of a piece of a 16 x 16 block for ldmatrix; a step of eight labels has zeros in place of the last eight.
__device__ __forceinline__ const void* piece_of(const half_t* matrix, int offset, int label, const uint4* zeros) {
    return label < LABELS ? (const void*)(matrix + offset) : (const void*)zeros;
}

// Adds the products of a step's labels, for the warp's connections and rows: sums = w^T g.
__device__ __forceinline__ void add_products(GroupSums& sum, const Stage& stage, int fan_in, const uint4* zeros) {
    int warp = threadIdx.x / WARP_SIZE, slot_warp = warp / ROW_PARTS, row0 = warp % ROW_PARTS * (ROWS / ROW_PARTS);
    Element weights = ldmatrix_element(false), rows = ldmatrix_element(true);
    u32 a[ITEMS][4];
#pragma unroll
    for (int item = 0; item < ITEMS; item++) {
        int slot = 16 * (item * SLOT_WARPS + slot_warp);
        if (stage.slot0 + slot >= fan_in) slot = 0;  // its sums aren't used
        ldmatrix_x4_transposed(a[item], piece_of(stage.w, swizzled<SLOTS>(weights.row, slot + weights.column),
                                                 weights.row, zeros));
    }
#pragma unroll
    for (int part = 0; part < PARTS; part++)
#pragma unroll
        for (int n = 0; n < ROW_OCTETS; n += 2) {
            u32 b[4];
            ldmatrix_x4_transposed(b, piece_of(stage.g + part * G_NUMBERS,
                                               swizzled<ROWS>(rows.row, row0 + 8 * n + rows.column), rows.row, zeros));
#pragma unroll
            for (int item = 0; item < ITEMS; item++) {
                mma_16816(sum[item][n], a[item], b, half_t());
                mma_16816(sum[item][n + 1], a[item], b + 2, half_t());
            }
        }
}

// Adds a group's sums to dX^T [slice][ROWS], of the features from `first` on, and sets them to 0.
__device__ __forceinline__ void add_to_features(float* dx, GroupSums& sum, const Stage& stage, int fan_in, int first,
                                                int slice) {
    int warp = threadIdx.x / WARP_SIZE, row0 = warp % ROW_PARTS * (ROWS / ROW_PARTS);
#pragma unroll
    for (int item = 0; item < ITEMS; item++) {
        int slot = 16 * (item * SLOT_WARPS + warp / ROW_PARTS);
        if (stage.slot0 + slot < fan_in)  // the same for the whole warp
            add_connections<ROWS>(dx, sum[item], stage.features + slot, row0, first, slice);
#pragma unroll
        for (int i = 0; i < 4 * ROW_OCTETS; i++) sum[item][i / 4][i % 4] = 0.0f;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
group_grad_features(const half_t* __restrict__ gradient_PLB, const weight_t* __restrict__ weight_LK,
                    const u16* __restrict__ index_RK, float* partial_SDB, i64 begin, i64 end, int stride,
                    int num_features, int fan_in, int slice, int add) {
    DYNAMIC_SHARED(shared);
    __shared__ uint4 zeros[1];
    float* dx = (float*)shared;
    int first = blockIdx.x * slice;
    float* partial = partial_SDB + (i64)blockIdx.y * num_features * stride;
    FeatureSteps steps = {{gradient_PLB, {weight_LK, index_RK, begin, end, fan_in}, stride, (int)blockIdx.z * ROWS},
                          (half_t*)(dx + slice * ROWS)};
    steps.start_first();
    if (threadIdx.x == 0) zeros[0] = uint4{0, 0, 0, 0};
    for (int i = threadIdx.x; i < slice * ROWS / 2; i += THREADS) {
        RowPair<ROWS> pair(dx, i, steps.from.row0, stride, first, num_features);
        *pair.own = add && pair.exists ? *(float2*)(partial + pair.offset) : float2{0.0f, 0.0f};
    }
    GroupSums sum = {};
    for (int step = 0; step < steps.count; step++) {
        wait_for_copies<STAGES - 2>();
        Stage stage = steps.stage(step);
        Weights::decode(fan_in - stage.slot0, stage.w);
        __syncthreads();  // the step is there for all threads; all have added the sums of the step before
        steps.start(step + STAGES - 1);
        add_products(sum, stage, fan_in, zeros);
        if (step % PIECES == PIECES - 1) add_to_features(dx, sum, stage, fan_in, first, slice);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < slice * ROWS / 2; i += THREADS) {
        RowPair<ROWS> pair(dx, i, steps.from.row0, stride, first, num_features);
        if (pair.exists) *(float2*)(partial + pair.offset) = *pair.own;
    }
}
