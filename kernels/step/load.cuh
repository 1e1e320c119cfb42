// The fused step, from device memory to shared memory: the features once, then each tile's weights, biases and
// positives, with a prefetch of the next tile.
#pragma once
#include "step/layout.cuh"

// The block's rows of features_DB [num_features, stride] to x, with zeros outside.
__device__ __forceinline__ void stage_features(const Batch& batch, half_t* x) {
    RowRange rows = row_range(batch);
    for (int i = 8 * thread_index(); i < FEATURES * BATCH; i += 8 * THREADS) {
        int feature = i / BATCH, row = i % BATCH;
        uint4 bits = uint4{0, 0, 0, 0};
        if (feature < batch.num_features && row < rows.count)  // octets of rows are padded
            bits = *(const uint4*)(batch.features_DB + (i64)feature * batch.stride + rows.first + row);
        *(uint4*)(x + swizzle(i)) = bits;
    }
}

// Requests the 128 bytes at an address into L2.
__device__ __forceinline__ void prefetch_line(const void* address) {
#ifndef XMC_HOST
    asm volatile("prefetch.L2 [%0];" :: "l"(address));
#endif
}

// Requests the tile that starts at `label` into L2, if there is one; each block of a cluster a part of it.
__device__ __forceinline__ void prefetch_tile(const Layer& layer, i64 label, i64 end) {
    i64 last = min(label + TILE, end) * layer.fan_in;
    int first = 64 * (THREADS * cluster_rank() + thread_index());
    for (i64 i = label * layer.fan_in + first; i < last; i += 64 * THREADS * CLUSTER) {
        prefetch_line(layer.weight_LK + i);
        prefetch_line(layer.index_LK + i);
#if MOMENTUM
        prefetch_line(layer.momentum_LK + i);
#endif
    }
    if (layer.bias_L && label < end && thread_index() == 0) prefetch_line(layer.bias_L + label);
}

// Writes the tile's weights to w as a dense matrix. Each warp fills its own rows, so that a warp's barrier suffices
// between zeroing and scattering; the first octets are loaded meanwhile.
__device__ __forceinline__ void scatter_weights(half_t* w, const weight_t* weight, const u16* index, int num_labels,
                                                int fan_in) {
    const int labels_per_warp = (TILE + WARPS - 1) / WARPS;
    int lane = thread_index() % WARP_SIZE, row0 = thread_index() / WARP_SIZE * labels_per_warp;
    int rows = min(labels_per_warp, TILE - row0), octets = fan_in / 8;
    int count = min(rows, num_labels - row0) * octets;  // octets to scatter; 0 or less if no label is left
    stored_octet_t weights = {};
    uint4 indices = {};
    i64 first = (i64)row0 * fan_in;
    if (lane < count) {
        weights = *(const stored_octet_t*)(weight + first + 8 * lane);
        indices = *(const uint4*)(index + first + 8 * lane);
    }
    for (int i = lane; i < rows * (FEATURES / 8); i += WARP_SIZE)
        *(uint4*)(w + w_octet(row0, i)) = uint4{0, 0, 0, 0};
    __syncwarp();
    for (int i = lane; i < count; i += WARP_SIZE) {
        uint4 halves = halves_of(weights);
        u32 bits[4] = {halves.x, halves.y, halves.z, halves.w};
        u32 feature[4] = {indices.x, indices.y, indices.z, indices.w};
        if (i + WARP_SIZE < count) {  // load the next octet while this one is scattered
            weights = *(const stored_octet_t*)(weight + first + 8 * (i + WARP_SIZE));
            indices = *(const uint4*)(index + first + 8 * (i + WARP_SIZE));
        }
        int label = row0 + i / octets;
#pragma unroll
        for (int j = 0; j < 8; j++)
            w[w_offset(label, halfword(feature, j))].bits = (u16)(bits[j / 2] >> (16 * (j % 2)));
    }
}

// The tile's positives among the block's rows, by the last warp.
__device__ __forceinline__ void find_positives(const Parameters& params, u32* bits, StepState& state, i64 label,
                                               const PairWindow* window) {
    int first_row = row_range(params.batch).first, passed = state.pairs_passed;
    passed = window ? set_positive_bits_of<TILE, BITMASK_WORDS>(bits, params.positives, *window, label, first_row, passed)
                    : set_positive_bits<TILE, BITMASK_WORDS>(bits, params.positives, label, first_row, passed);
    if (threadIdx.x % WARP_SIZE == 0) state.pairs_passed = passed;
}

// Everything that a tile needs in shared memory. The last warp finds the positives while the others scatter weights.
// PIPELINED, it has loaded the next pairs before it scatters weights itself, and seldom waits for them.
__device__ __forceinline__ void load_tile(const Parameters& params, const SharedMemory& memory, StepState& state,
                                          int tile) {
    const Layer& layer = params.layer;
    TileRange range = tile_range(params, tile);
    prefetch_tile(layer, range.label + (i64)(gridDim.x / CLUSTER) * TILE, params.labels.end);
    int thread = WGMMA ? thread_index() : threadIdx.x;
    if (thread < TILE) {
        bool has_bias = layer.bias_L && thread < range.num_labels;
        state.bias[thread] = has_bias ? layer.bias_L[range.label + thread] : 0.0f;
    }
    bool is_last_warp = thread / WARP_SIZE == WARPS - 1;
    PairWindow window = {};
    if (PIPELINED && is_last_warp) window = load_pairs(params.positives, state.pairs_passed);
    if (!PIPELINED && is_last_warp) find_positives(params, memory.positive_bits, state, range.label, nullptr);
    scatter_weights(memory.w, layer.weight_LK + range.connection, layer.index_LK + range.connection, range.num_labels,
                    layer.fan_in);
    if (PIPELINED && is_last_warp) find_positives(params, memory.positive_bits, state, range.label, &window);
}
