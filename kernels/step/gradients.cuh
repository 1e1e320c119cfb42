// The fused step: from scores to the gradients g of the loss, and the update of the biases. All in float32, until g is
// rounded to 16 bits for the products.
#pragma once
#include "include/sums.cuh"
#include "step/layout.cuh"

// A score's gradient as GRADIENT_PARTS 16-bit numbers: one part is rounded stochastically (include/gradients.cuh).
__device__ __forceinline__ void split_gradient(float gradient, u32 random, half_t* part) {
#if GRADIENT_PARTS == 1
    part[0] = rounded_gradient(gradient, random);
#else
    gradient = scaled_gradient(gradient);
    from_float(gradient, part[0]);
    from_float(gradient - to_float(part[0]), part[1]);
#endif
}

// Adds the KSPLIT partial sums of the lane's scores of a label to its bias.
__device__ __forceinline__ void sum_splits(float* score, const float* scores, float bias) {
#pragma unroll
    for (int r = 0; r < LANE_ROWS; r++) score[r] = bias;
#pragma unroll
    for (int split = 0; split < KSPLIT; split++, scores += TILE * SCORE_PITCH) {
#if BATCH > WARP_SIZE
        float2 both = *(const float2*)scores;
        score[0] += both.x;
        score[1] += both.y;
#else
        score[0] += *scores;
#endif
    }
}

// The gradients of the lane's rows of one label, written to g [part][label][row]; returns their sum and adds the losses
// to `loss_sum`. Rows from `num_rows` on don't exist.
__device__ __forceinline__ float lane_gradients(const SharedMemory& memory, const StepState& state, int label, int row,
                                                int num_rows, u32 random, float& loss_sum) {
    float score[LANE_ROWS], gradient_sum = 0.0f, loss;
    u32 word[GRADIENT_PARTS] = {};
    sum_splits(score, memory.scores + label * SCORE_PITCH + row, state.bias[label]);
#pragma unroll
    for (int r = 0; r < LANE_ROWS; r++) {
        bool positive = memory.positive_bits[label * BITMASK_WORDS + row / 32] >> (row % 32 + r) & 1u;
        float gradient = loss_gradient(score[r], positive, loss);
        if (row + r >= num_rows) gradient = loss = 0.0f;
        loss_sum += loss;
        gradient_sum += gradient;
        half_t part[GRADIENT_PARTS];
        split_gradient(gradient, random >> (16 * r) & 0xFFFFu, part);
#pragma unroll
        for (int p = 0; p < GRADIENT_PARTS; p++) word[p] |= (u32)part[p].bits << (16 * r);
    }
#pragma unroll
    for (int p = 0; p < GRADIENT_PARTS; p++) {
        half_t* to = memory.g + p * TILE * BATCH + swizzle(label * BATCH + row);
        if (LANE_ROWS == 2) *(u32*)to = word[p];
        else to->bits = (u16)word[p];
    }
    return gradient_sum;
}

// Losses and gradients of the tile's scores, a label per warp at a time, and the step of the tile's biases. In a cluster,
// where a bias has gradients in each block, their sum over the block's rows is left in `bias_sum` instead.
__device__ __forceinline__ void compute_losses(const Parameters& params, const SharedMemory& memory, StepState& state,
                                               int tile, float* bias_sum = nullptr) {
    TileRange range = tile_range(params, tile);
    u64 first_label = (u64)(params.labels.first_label + range.label);
    float* bias = params.layer.bias_L ? params.layer.bias_L + range.label : nullptr;
    int lane = thread_index() % WARP_SIZE, row = lane * LANE_ROWS;
    RowRange rows = row_range(params.batch);
    float loss_sum = 0.0f;
    for (int label = thread_index() / WARP_SIZE; label < TILE; label += WARPS) {
        float gradient_sum = 0.0f;
        int num_rows = label < range.num_labels ? rows.count : 0;
        u32 random = gradient_random_bits(state.rounding_key, first_label + label, rows.first + row);
        if (row < BATCH) gradient_sum = lane_gradients(memory, state, label, row, num_rows, random, loss_sum);
        if (bias) {
            gradient_sum = sum_over_warp(gradient_sum);
            if (bias_sum && lane == 0)
                bias_sum[label] = gradient_sum;
            else if (lane == 0 && label < range.num_labels)
                bias[label] = state.bias[label] - state.sgd.rate * state.sgd.scale * gradient_sum;
        }
    }
    state.loss_sum[thread_index()] += loss_sum;
}
