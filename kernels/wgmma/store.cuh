// The step on wgmma, from shared memory to device memory: the update of the weights of some of the tile's labels.
#pragma once
#include "wgmma/exchange.cuh"

// Samples dw, that of the DW_LABELS labels of the tile from `first` on, at their indices, adds what was received, and takes
// their SGD step.
__device__ __forceinline__ void update_weights_of(const Parameters& params, const float* dw, const StepState& state,
                                                  const float* received, int tile, int first) {
    const Layer& layer = params.layer;
    TileRange range = tile_range(params, tile);
    u64 first_label = (u64)(params.labels.first_label + range.label + first);
    int octets = layer.fan_in / 8, count = min(range.num_labels - first, DW_LABELS) * octets;
    i64 place = range.connection + (i64)first * layer.fan_in + 8 * thread_index();
#pragma unroll 1
    for (int i = thread_index(); i < count; i += THREADS, place += 8 * THREADS) {
        float gradient[8];
        sample8(gradient, dw, i / octets, layer.index_LK + place);
#if CLUSTER > 1
        float theirs[8];
        load8(received + 8 * i, theirs);
#pragma unroll
        for (int j = 0; j < 8; j++) gradient[j] += theirs[j];
#endif
        update8(state.sgd, gradient, layer.weight_LK + place, MOMENTUM ? layer.momentum_LK + place : layer.momentum_LK,
                first_label + i / octets, (u32)(i % octets), state.step, params.seed);
    }
}
