// The step on wgmma: from partial scores to the gradients g of the loss.
//
// A thread's sums of scores are those of two labels, `row` of `sum_place` and 8 below it, and of all rows of the batch, a pair of
// rows for each 8. Warpgroup 0 takes the first 32 rows, warpgroup 1 the others: each sends the other one's partial sums to
// the thread that has the same labels and pairs.
#pragma once
#include "wgmma/exchange.cuh"

#define ROWS_OF_WARPGROUP (BATCH / 2)
#define KEPT (BATCH / 4)  // of a thread's sums

// The place of a thread's sums for its warpgroup, four at a time.
__device__ __forceinline__ float4* place_of(float* scores, int warpgroup) {
    return (float4*)scores + warpgroup * (KEPT / 4 * WARPGROUP) + thread_index() % WARPGROUP;
}

// Sends the other warpgroup its partial sums, and keeps the warpgroup's own as the first of `sum`.
__device__ __forceinline__ void send_scores(ScoreSums& sum, float* scores) {
    bool second = warpgroup_index();
    float4* to = place_of(scores, !second);
#pragma unroll
    for (int i = 0; i < KEPT; i += 4) {
        float4 theirs;
        theirs.x = second ? sum[i] : sum[KEPT + i];
        theirs.y = second ? sum[i + 1] : sum[KEPT + i + 1];
        theirs.z = second ? sum[i + 2] : sum[KEPT + i + 2];
        theirs.w = second ? sum[i + 3] : sum[KEPT + i + 3];
        to[i / 4 * WARPGROUP] = theirs;
    }
#pragma unroll
    for (int i = 0; i < KEPT; i++) sum[i] = second ? sum[KEPT + i] : sum[i];
}

// Adds what the warpgroup kept to what it was sent, in the same places, which no other thread reads: registers can't be
// indexed by a loop, and the losses of all scores at once would take more registers than there are.
__device__ __forceinline__ void add_scores(const ScoreSums& sum, float* scores) {
    float4* here = place_of(scores, warpgroup_index());
#pragma unroll
    for (int i = 0; i < KEPT; i += 4) {
        float4 sent = here[i / 4 * WARPGROUP];
        here[i / 4 * WARPGROUP] = float4{sent.x + sum[i], sent.y + sum[i + 1], sent.z + sum[i + 2], sent.w + sum[i + 3]};
    }
}

// Gradients of a pair of rows of a label, written to g [label][row]; returns their sum and adds the losses to `loss_sum`.
__device__ __forceinline__ float pair_gradients(const SharedMemory& memory, float first, float second, int label, int row,
                                                int num_rows, u32 random, float& loss_sum) {
    float score[2] = {first, second}, gradient_sum = 0.0f, loss;
    u32 bits = 0, positives = memory.positive_bits[label * BITMASK_WORDS + row / 32] >> row % 32;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float gradient = loss_gradient(score[r], positives >> r & 1u, loss);
        if (row + r >= num_rows) gradient = loss = 0.0f;
        loss_sum += loss;
        gradient_sum += gradient;
        bits |= (u32)rounded_gradient(gradient, random >> 16 * r & 0xFFFFu).bits << 16 * r;
    }
    *(u32*)(memory.g + swizzle(label * BATCH + row)) = bits;
    return gradient_sum;
}

// Losses and gradients of the warpgroup's rows of the tile.
__device__ __forceinline__ void compute_losses(const Parameters& params, const SharedMemory& memory, WarpgroupState& state,
                                               int tile) {
    TileRange range = tile_range(params, tile);
    RowRange rows = row_range(params.batch);
    SumPlace place = sum_place();
    const float4* from = place_of(memory.scores, place.warpgroup);
    float loss_sum = 0.0f, gradient_sum[2] = {0.0f, 0.0f};
#pragma unroll 1
    for (int i = 0; i < KEPT / 4; i++) {
        float4 score = from[i * WARPGROUP];
        int row = place.warpgroup * ROWS_OF_WARPGROUP + 8 * i + place.column;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            int label = place.row + 8 * r, num_rows = label < range.num_labels ? rows.count : 0;
            u64 number = (u64)(params.labels.first_label + range.label + label);
            float bias = state.step.bias[label];
            gradient_sum[r] += pair_gradients(memory, (r ? score.z : score.x) + bias, (r ? score.w : score.y) + bias, label,
                                              row, num_rows,
                                              gradient_random_bits(state.step.rounding_key, number, rows.first + row),
                                              loss_sum);
        }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {  // of the four lanes that share a label
        gradient_sum[r] += __shfl_xor_sync(FULL_WARP, gradient_sum[r], 1);
        gradient_sum[r] += __shfl_xor_sync(FULL_WARP, gradient_sum[r], 2);
        if (place.column == 0) state.bias_sum[place.warpgroup][place.row + 8 * r] = gradient_sum[r];
    }
    state.step.loss_sum[thread_index()] += loss_sum;
}
