// The fused step of groups: its macros, what its roles share, and the work of each role on a group (../group_step.cu).
#pragma once
#ifndef BATCH
#define BATCH 64     // rows of the batch at most: 32 or 64
#endif
#ifndef SLOTS
#define SLOTS 64     // connections of a group at most: 64 or 128
#endif
#ifndef GROUP_SIZE
#define GROUP_SIZE 16
#endif
#ifndef STAGES
#define STAGES 4     // groups in shared memory: 3 where more don't fit
#endif
#if GROUP_SIZE != 16 && GROUP_SIZE != 32 && GROUP_SIZE != 64
#error "unknown GROUP_SIZE: expected 16, 32 or 64 labels, products have 16 at least"
#endif
#if BATCH != 32 && BATCH != 64
#error "unknown BATCH: expected 32 or 64"
#endif
#if SLOTS != 64 && SLOTS != 128
#error "unknown SLOTS: expected 64 or 128"
#endif
#if STAGES != 3 && STAGES != 4
#error "unknown STAGES: expected 3 or 4"
#endif
#define SCORE_WARPS 8
#define FEATURE_WARPS 8
#define WEIGHT_WARPS 4
#define THREADS (32 * (SCORE_WARPS + FEATURE_WARPS + WEIGHT_WARPS))
#define TILE GROUP_SIZE
#define ROWS BATCH
#include "include/gradients.cuh"
#include "include/positives.cuh"
#include "include/sums.cuh"
#include "include/update.cuh"
#include "group/feature_sums.cuh"
#include "group/tiles.cuh"

#if LOSS == 0
#error "expected a LOSS: a step without a loss has no gradient"
#endif

#define COPY_THREADS (32 * SCORE_WARPS)
#define X_NUMBERS (SLOTS * BATCH)
#define W_NUMBERS (TILE * SLOTS)
#define G_NUMBERS (TILE * BATCH)
#define STAGE_NUMBERS (X_NUMBERS + W_NUMBERS + SLOTS)
#define WORDS (BATCH / 32)                            // of a label's positives
#define ROW_TILES (BATCH / 16)
#define OCTET_WARPS (SCORE_WARPS / ROW_TILES)         // warps of the scores that share their rows
#define ROW_PARTS (BATCH / 32)                        // a warp of the features has 32 rows
#define SLOT_WARPS (FEATURE_WARPS / ROW_PARTS)
#define PITCH (BATCH == 64 ? 20 : 16)                 // of turned sums, in the place of 16 rows of x

// Numbers of the step in shared memory, because registers are few.
struct StepState {
    Sgd sgd;
    i64 step;
    u32 rounding_key;  // of the stochastic rounding of gradients
};

// What all roles know, the same for the whole block.
struct Step {
    GroupLabels labels;
    GroupFeatures features;
    Positives positives;
    weight_t* weight_LK;  // to be updated
    float* bias_L;
    momentum_t* momentum_LK;
    i64 first_label;
    u64 seed;
    int batch, count;          // rows; groups of the block
    half_t *stages, *g;      // STAGES stages; g of two groups, [TILE][BATCH] each
    u32* positive_bits;        // of two groups, [TILE][WORDS] each
    const StepState* state;

    __device__ __forceinline__ i64 tile(int i) const {
        return labels.begin + ((i64)blockIdx.x + (i64)i * gridDim.x) * TILE;
    }
    __device__ __forceinline__ half_t* x(int i) const { return stages + i % STAGES * STAGE_NUMBERS; }
    __device__ __forceinline__ half_t* w(int i) const { return x(i) + X_NUMBERS; }
    __device__ __forceinline__ u16* index(int i) const { return (u16*)(w(i) + W_NUMBERS); }
    __device__ __forceinline__ half_t* gradients(int i) const { return g + i % 2 * G_NUMBERS; }
    __device__ __forceinline__ u32* bits(int i) const { return positive_bits + i % 2 * TILE * WORDS; }
};

// ---- the role of the scores -----------------------------------------------------------------------------------------

typedef FeatureCopies<SLOTS, COPY_THREADS> Gathering;
typedef WeightCopies<TILE, SLOTS, COPY_THREADS> Weights;

// Starts the copies of group i, if there is one, whose features `next` has, and reads those of the group after it.
__device__ __forceinline__ void start_group(const Step& step, int i, Gathering& next) {
    if (i < step.count) {
        const GroupLabels& labels = step.labels;
        i64 tile = step.tile(i);
        next.start(step.features, labels, tile, 0, step.x(i));
        Weights::start(labels, tile, 0, SLOTS, step.w(i));
        if (threadIdx.x < SLOTS / 8 && (int)threadIdx.x * 8 < labels.fan_in)
            copy_async<0>(step.index(i) + threadIdx.x * 8,
                          labels.index_RK + tile / GROUP_SIZE * labels.fan_in + threadIdx.x * 8, true);
        if (i + 1 < step.count) next.read(labels, step.tile(i + 1), 0);
    }
    close_copies();
}

// The scores of 16 rows from `row0` on, and of eight labels from `label0` on: a fragment C.
__device__ __forceinline__ void multiply_scores(float* score, const half_t* x, const half_t* w, int row0, int label0,
                                                int fan_in) {
    Element element = ldmatrix_element(false);
    int lane = threadIdx.x % WARP_SIZE;
#pragma unroll 1
    for (int k = 0; k < fan_in; k += 32) {
        u32 a[4], b[4];  // b: 32 connections of eight labels
        ldmatrix_x4(b, w + swizzled<SLOTS>(label0 + lane % 8, k + lane / 8 * 8));
        ldmatrix_x4_transposed(a, x + swizzled<BATCH>(k + element.row, row0 + element.column));
        mma_16816(score, a, b, half_t());
        if (k + 16 >= fan_in) continue;  // K is a multiple of 16
        ldmatrix_x4_transposed(a, x + swizzled<BATCH>(k + 16 + element.row, row0 + element.column));
        mma_16816(score, a, b + 2, half_t());
    }
}

// Turns a fragment of scores into gradients in shared memory; returns the sum of their losses.
__device__ __forceinline__ float write_gradients(const float* score, const Step& step, int i, int row0,
                                                 int label0) {
    int lane = threadIdx.x % WARP_SIZE, row = row0 + lane / 4;
    half_t* g = step.gradients(i);
    float loss_sum = 0.0f;
#pragma unroll
    for (int odd = 0; odd < 2; odd++) {
        int own = label0 + lane % 4 * 2 + odd;
        i64 label = step.tile(i) + own;
        bool exists = label < step.labels.end;
        float bias = step.bias_L && exists ? step.bias_L[label] : 0.0f;
        u32 bits = step.bits(i)[own * WORDS + row / 32] >> row % 32;
        u32 random = gradient_random_bits(step.state->rounding_key, (u64)(step.first_label + label), row);
#pragma unroll
        for (int lower = 0; lower < 2; lower++) {
            float loss = 0.0f, gradient = loss_gradient(score[2 * lower + odd] + bias, bits >> 8 * lower & 1u, loss);
            if (row + 8 * lower >= step.batch || !exists) gradient = loss = 0.0f;
            loss_sum += loss;
            g[swizzled<BATCH>(own, row + 8 * lower)] = rounded_gradient(gradient, random >> 16 * lower & 0xFFFFu);
        }
    }
    return loss_sum;
}

// Scores, losses and gradients of group i; returns the sum of the thread's losses.
__device__ __forceinline__ float compute_losses(const Step& step, int i) {
    int warp = threadIdx.x / WARP_SIZE, row0 = warp % ROW_TILES * 16;
    float loss_sum = 0.0f;
#pragma unroll 1
    for (int octet = warp / ROW_TILES; octet < TILE / 8; octet += OCTET_WARPS) {
        float score[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        multiply_scores(score, step.x(i), step.w(i), row0, 8 * octet, step.labels.fan_in);
        loss_sum += write_gradients(score, step, i, row0, 8 * octet);
    }
    return loss_sum;
}

// ---- the role of the features ---------------------------------------------------------------------------------------

// dX^T += w^T g for group i. A warp has 32 rows, and 16 connections in each 16 * SLOT_WARPS.
__device__ __forceinline__ void add_features(const Step& step, int i, float* dx, int num_features) {
    int warp = threadIdx.x / WARP_SIZE - SCORE_WARPS, row0 = warp % ROW_PARTS * 32;
    Element weights = ldmatrix_element(false), rows = ldmatrix_element(true);
    const half_t *w = step.w(i), *g = step.gradients(i);
#pragma unroll 1
    for (int slot = warp / ROW_PARTS * 16; slot < step.labels.fan_in; slot += 16 * SLOT_WARPS) {
        float sum[4][4] = {};
#pragma unroll 1
        for (int label = 0; label < TILE; label += 16) {
            u32 a[4], b[4];
            ldmatrix_x4_transposed(a, w + swizzled<SLOTS>(label + weights.row, slot + weights.column));
#pragma unroll
            for (int n = 0; n < 4; n += 2) {
                ldmatrix_x4_transposed(b, g + swizzled<BATCH>(label + rows.row, row0 + 8 * n + rows.column));
                mma_16816(sum[n], a, b, half_t());
                mma_16816(sum[n + 1], a, b + 2, half_t());
            }
        }
        add_connections<BATCH>(dx, sum, step.index(i) + slot, row0, 0, num_features);
    }
}

// ---- the role of the weights ----------------------------------------------------------------------------------------

typedef u32 Connections[BATCH / 16][4];  // fragments A of 16 connections x 16 rows

// dW^T = x^T g of a warp's 16 connections and of 16 labels from `label0` on: fragments C of 16 connections x 8 labels.
__device__ __forceinline__ void multiply_weights(float (&sum)[2][4], const Connections& x, const half_t* g, int label0) {
    Element element = ldmatrix_element(false);
#pragma unroll
    for (int k = 0; k < BATCH / 16; k++) {
        u32 b[4];
        ldmatrix_x4(b, g + swizzled<BATCH>(label0 + element.row, 16 * k + element.column));
        mma_16816(sum[0], x[k], b, half_t());
        mma_16816(sum[1], x[k], b + 2, half_t());
    }
}

// Turns the sums of 16 connections x 16 labels round in shared memory, so that a lane has eight neighbouring connections
// of label lane / 2: those from lane % 2 * 8 on.
__device__ __forceinline__ void turn(const float (&sum)[2][4], float* turned, float* gradient) {
    int lane = threadIdx.x % WARP_SIZE;
    __syncwarp();  // all lanes have read what lies in `turned`
#pragma unroll
    for (int j = 0; j < 8; j++)
        turned[(j / 4 * 8 + lane % 4 * 2 + j % 2) * PITCH + j / 2 % 2 * 8 + lane / 4] =
            sum[j / 4][j % 4] * (1.0f / GRADIENT_SCALE);
    __syncwarp();
    load8(turned + lane / 2 * PITCH + lane % 2 * 8, gradient);
}

// dW of group i, and the step of its weights. A warp has 16 connections in each 16 * WEIGHT_WARPS, of all labels. It
// keeps its 16 rows of x in registers; no other warp reads them any more, and its sums are turned round in their place.
__device__ __forceinline__ void update_weights(const Step& step, int i) {
    const GroupLabels& labels = step.labels;
    int lane = threadIdx.x % WARP_SIZE, warp = threadIdx.x / WARP_SIZE - SCORE_WARPS - FEATURE_WARPS;
    Element element = ldmatrix_element(true);
#pragma unroll 1
    for (int slot = 16 * warp; slot < labels.fan_in; slot += 16 * WEIGHT_WARPS) {
        Connections x;
#pragma unroll
        for (int k = 0; k < BATCH / 16; k++)
            ldmatrix_x4(x[k], step.x(i) + swizzled<BATCH>(slot + element.row, 16 * k + element.column));
#pragma unroll 1
        for (int label0 = 0; label0 < TILE; label0 += 16) {
            float sum[2][4] = {}, gradient[8];
            multiply_weights(sum, x, step.gradients(i), label0);
            turn(sum, (float*)(step.x(i) + slot * BATCH), gradient);
            i64 label = step.tile(i) + label0 + lane / 2, at = label * labels.fan_in + slot + lane % 2 * 8;
            if (label < labels.end)
                update8(step.state->sgd, gradient, step.weight_LK + at, MOMENTUM ? step.momentum_LK + at : step.momentum_LK,
                        (u64)(step.first_label + label), (u32)(slot / 8 + lane % 2), step.state->step, step.seed);
        }
    }
}

// The step of the biases of group i, from the sums of the gradients over the rows; BATCH / 8 lanes share a label.
__device__ __forceinline__ void update_biases(const Step& step, int i) {
    const Sgd& sgd = step.state->sgd;
    for (int c = threadIdx.x - 32 * (SCORE_WARPS + FEATURE_WARPS); c < TILE * BATCH / 8; c += 32 * WEIGHT_WARPS) {
        int own = c / (BATCH / 8);
        float value[8], sum = 0.0f;
        load8(step.gradients(i) + swizzled<BATCH>(own, c % (BATCH / 8) * 8), value);
#pragma unroll
        for (int j = 0; j < 8; j++) sum += value[j];
#pragma unroll
        for (int distance = BATCH / 16; distance; distance /= 2) sum += __shfl_xor_sync(FULL_WARP, sum, distance);
        i64 label = step.tile(i) + own;
        if (c % (BATCH / 8) == 0 && label < step.labels.end)
            step.bias_L[label] -= sgd.rate * sgd.scale * (1.0f / GRADIENT_SCALE) * sum;
    }
}
