// The step on wgmma: the state of a block, and what the two blocks of a cluster send each other (CLUSTER 2).
//
// As in step/exchange.cuh a gradient of a weight or bias is the sum of those of the blocks, and block r owns half of the
// tile's labels: those of its r-th DW_LABELS. A block takes dW of the other one's labels first, samples it at their
// indices, and sends it to
//
//   received [DW_LABELS][fan_in]   float32, in the place of the partial scores
//
// It may do so once the other block has used its partial scores of this tile, and so has updated the tile before.
#pragma once
#include "step/store.cuh"
#include "wgmma/products.cuh"

// What is behind the arrays of step/layout.cuh. Partial scores, or what is received, are behind it.
struct alignas(16) WarpgroupState {
    StepState step;
    float bias_sum[2][TILE];  // gradients of the tile's biases, over the rows of each warpgroup
#if CLUSTER > 1
    float received_bias[DW_LABELS];
    float received_loss[4];   // from each block, at the end; block 0 adds them
#endif
};

__device__ __forceinline__ WarpgroupState& state_of(const SharedMemory& memory) {
    return *(WarpgroupState*)(memory.positive_bits + TILE * BITMASK_WORDS);
}

__device__ __forceinline__ float* scores_of(WarpgroupState& state) { return (float*)(&state + 1); }

// The gradient of a bias of the tile, over the block's rows.
__device__ __forceinline__ float bias_gradient(const WarpgroupState& state, int label) {
    return state.bias_sum[0][label] + state.bias_sum[1][label];
}

#if CLUSTER > 1
// Sends the other block dW of its labels, which are in `dw`, and the gradients of their biases.
__device__ __forceinline__ void send_gradients(const Parameters& params, const float* dw, WarpgroupState& state, int tile) {
    TileRange range = tile_range(params, tile);
    int owner = 1 - cluster_rank(), first = owner * DW_LABELS, fan_in = params.layer.fan_in, octets = fan_in / 8;
    int count = min(range.num_labels - first, DW_LABELS) * octets;
    const u16* index = params.layer.index_LK + range.connection + (i64)first * fan_in;
    const float* received = scores_of(state);
#pragma unroll 1
    for (int i = thread_index(); i < count; i += THREADS) {
        float gradient[8];
        sample8(gradient, dw, i / octets, index + 8 * i);
        store8_remote(in_block(received + 8 * i, owner), gradient);
    }
    int label = thread_index();
    if (params.layer.bias_L && label < DW_LABELS)
        store_remote(in_block(state.received_bias + label, owner), bias_gradient(state, first + label));
}
#endif

// The SGD step of the biases of `count` labels of the tile from `first` on.
__device__ __forceinline__ void update_biases(const Parameters& params, const WarpgroupState& state, int tile, int first,
                                              int count) {
    TileRange range = tile_range(params, tile);
    int label = first + thread_index();
    if (!params.layer.bias_L || thread_index() >= count || label >= range.num_labels) return;
    const Sgd& sgd = state.step.sgd;
    float sum = bias_gradient(state, label);
#if CLUSTER > 1
    sum += state.received_bias[thread_index()];
#endif
    params.layer.bias_L[range.label + label] = state.step.bias[label] - sgd.rate * sgd.scale * sum;
}

// The losses of the cluster's blocks, in their order; the result is right in block 0.
__device__ __forceinline__ float sum_over_cluster(float loss, WarpgroupState& state) {
#if CLUSTER == 1
    return loss;
#else
    cluster_sync();  // without a tile, block 0 may not have started
    if (thread_index() == 0) store_remote(in_block(state.received_loss + cluster_rank(), 0), loss);
    cluster_sync();
    return state.received_loss[0] + state.received_loss[1];
#endif
}
