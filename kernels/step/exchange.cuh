// The fused step in a cluster: each block has BATCH rows of the batch, so a gradient of a weight or bias is the sum of
// those of the blocks. The labels of a tile are divided: a label's owner adds up its gradients and updates it.
//
//   received [CLUSTER - 1][LABELS_OF_BLOCK][fan_in]   dW of the block's labels, sampled by the other blocks
//   received_bias [CLUSTER][LABELS_OF_BLOCK]          the same of their biases, from all blocks
//
// A block may write to its neighbours' `received` once they have updated the tile before. They tell it by arriving at a
// barrier, which need not be at once: an arrival waits for the thread's stores to global memory, so it is two phases later.
#pragma once
#include "step/store.cuh"

#define LABELS_OF_BLOCK (TILE / CLUSTER)

struct alignas(16) ClusterState {
    StepState step;
    float bias_sum[TILE];                            // gradients of the tile's biases, over the block's rows
    float received_bias[CLUSTER * LABELS_OF_BLOCK];
    float received_loss[8];                          // from each block, at the end; block 0 adds them
};

__device__ __forceinline__ ClusterState* state_of(const SharedMemory& memory) {
    return (ClusterState*)(memory.positive_bits + TILE * BITMASK_WORDS);
}

__device__ __forceinline__ float* received_of(ClusterState& state) { return (float*)(&state + 1); }

// The first label of the tile that belongs to a block.
__device__ __forceinline__ int first_label_of(int rank) { return rank * LABELS_OF_BLOCK; }

#if CLUSTER > 1
// Sends dW of the labels of other blocks to them, an octet at a time, and the gradients of their biases.
__device__ __forceinline__ void send_gradients(const Parameters& params, const float* dw, ClusterState& state,
                                               int tile) {
    TileRange range = tile_range(params, tile);
    const u16* index = params.layer.index_LK + range.connection;
    int octets = params.layer.fan_in / 8, rank = cluster_rank();
    float* received = received_of(state);
#pragma unroll 1
    for (int i = thread_index(); i < (TILE - LABELS_OF_BLOCK) * octets; i += THREADS) {
        int label = i / octets, octet = i % octets;
        if (label >= first_label_of(rank)) label += LABELS_OF_BLOCK;  // skip the block's own
        if (label >= range.num_labels) break;
        int owner = label / LABELS_OF_BLOCK, sender = rank - (rank > owner);
        float gradient[8];
        sample8(gradient, dw, label, index + (i64)label * params.layer.fan_in + 8 * octet);
        int place = (sender * LABELS_OF_BLOCK + label % LABELS_OF_BLOCK) * params.layer.fan_in + 8 * octet;
        store8_remote(in_block(received + place, owner), gradient);
    }
    int label = thread_index();
    if (params.layer.bias_L && label < TILE) {
        float* place = state.received_bias + first_label_of(rank) + label % LABELS_OF_BLOCK;
        store_remote(in_block(place, label / LABELS_OF_BLOCK), state.bias_sum[label]);
    }
}
#endif

// Takes the SGD step of the block's labels: of their weights an octet at a time, and of their biases.
__device__ __forceinline__ void update_own_weights(const Parameters& params, const float* dw, ClusterState& state,
                                                   int tile) {
    const Layer& layer = params.layer;
    TileRange range = tile_range(params, tile);
    int octets = layer.fan_in / 8, first = first_label_of(cluster_rank());
    int num_labels = min(range.num_labels - first, LABELS_OF_BLOCK);
    i64 connection = range.connection + (i64)first * layer.fan_in;
    u64 first_label = (u64)(params.labels.first_label + range.label + first);
    const float* received = received_of(state);
#pragma unroll 1
    for (int i = thread_index(); i < num_labels * octets; i += THREADS) {
        i64 place = connection + 8 * (i64)i;
        float gradient[8];
        sample8(gradient, dw, first + i / octets, layer.index_LK + place);
#pragma unroll 1
        for (int sender = 0; sender < CLUSTER - 1; sender++) {
            float theirs[8];
            load8(received + sender * LABELS_OF_BLOCK * layer.fan_in + 8 * i, theirs);
#pragma unroll
            for (int j = 0; j < 8; j++) gradient[j] += theirs[j];
        }
        update8(state.step.sgd, gradient, layer.weight_LK + place, MOMENTUM ? layer.momentum_LK + place : layer.momentum_LK,
                first_label + i / octets, (u32)(i % octets), state.step.step, params.seed);
    }
    int label = thread_index();
    if (CLUSTER > 1 && layer.bias_L && label < num_labels) {
        float sum = 0.0f;
        for (int rank = 0; rank < CLUSTER; rank++) sum += state.received_bias[first_label_of(rank) + label];
        const Sgd& sgd = state.step.sgd;
        layer.bias_L[range.label + first + label] = state.step.bias[first + label] - sgd.rate * sgd.scale * sum;
    }
}

// The losses of the cluster's blocks, in their order; the result is right in block 0.
__device__ __forceinline__ float sum_over_cluster(float loss, ClusterState& state) {
#if CLUSTER == 1
    return loss;
#else
    int rank = cluster_rank();
    cluster_sync();  // without a tile, block 0 may not have started
    if (thread_index() == 0) store_remote(in_block(state.received_loss + rank, 0), loss);
    cluster_sync();
    float sum = 0.0f;
    for (int block = 0; block < CLUSTER; block++) sum += state.received_loss[block];
    return sum;
#endif
}
