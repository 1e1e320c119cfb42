// The fused step, from shared memory to device memory: the update of the tile's weights.
#pragma once
#include "step/layout.cuh"

// dW of an octet of connections of a label of the tile: dw at their indices.
__device__ __forceinline__ void sample8(float* gradient, const float* dw, int label, const u16* index) {
    u32 feature[8];
    load8(index, feature);
#pragma unroll
    for (int j = 0; j < 8; j++) gradient[j] = dw[dw_offset(label, feature[j])] * (1.0f / GRADIENT_SCALE);
}

// Samples dw at the indices of the tile's connections and takes their SGD step, an octet at a time.
__device__ __forceinline__ void update_weights(const Parameters& params, const float* dw, const StepState& state,
                                               int tile) {
    const Layer& layer = params.layer;
    TileRange range = tile_range(params, tile);
    weight_t* weight = layer.weight_LK + range.connection;
    const u16* index = layer.index_LK + range.connection;
    momentum_t* momentum = MOMENTUM ? layer.momentum_LK + range.connection : layer.momentum_LK;
    u64 first_label = (u64)(params.labels.first_label + range.label);
    int octets = layer.fan_in / 8;
#pragma unroll 1
    for (int i = thread_index(); i < range.num_labels * octets; i += THREADS) {
        int label = i / octets;
        float gradient[8];
        sample8(gradient, dw, label, index + 8 * (i64)i);
        update8(state.sgd, gradient, weight + 8 * (i64)i, MOMENTUM ? momentum + 8 * (i64)i : momentum,
                first_label + label, (u32)(i % octets), state.step, params.seed);
    }
}
