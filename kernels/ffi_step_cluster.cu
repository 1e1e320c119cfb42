// The fused training step of ffi_step.cu for larger batches: up to 512 rows, in one pass over the labels.
//
// What it computes is that of ffi_step. The naive way to more rows is more registers and shared memory per block; both are
// full with 64 rows of 768 features. (Or chunks: ffi_scores, ffi_grad_features and ffi_grad_weight.)
//
// The clever way: a cluster of CLUSTER blocks takes a tile of labels together. Block r has rows r * BATCH .. of the batch
// and does with them what ffi_step does: their scores, gradients and dX need no other block. Only dW and the gradient of
// a bias are sums over all rows. So each block samples its dW at the indices and writes it to the shared memory of the
// label's owner (distributed shared memory), 4 bytes a connection and block; the owner adds up and updates. Owners have
// TILE / CLUSTER labels each, so the update of weights, a sixth of a tile's time in ffi_step, is divided too.
//
// README.md, "The step in clusters", compares it with a division of the features, which sends partial scores, gradients
// and dW, waits for its neighbour three times a tile instead of once, and ends at 128 rows.
//
// PIPELINED 1 (step/parameters.cuh) takes latencies out of the phases; CLUSTER 1 is ffi_step with these changes alone.
//
// Needs sm_90 (CLUSTER 1: sm_80), weights and features of one 16-bit format, at most CLUSTER * BATCH rows and FEATURES
// features, and shared memory for `received` (step/exchange.cuh) behind that of ffi_step.
#define PIPELINED 1
#include "include/sums.cuh"
#include "step/load.cuh"
#include "step/products.cuh"
#include "step/gradients.cuh"
#include "step/exchange.cuh"

// A persistent cluster walks the tiles as a block of ffi_step does. It leaves dX of its labels in partial_SBD[cluster]
// [batch, num_features], each block its rows, and the sum of its losses in partial_loss[cluster].
// Long: the parameters, and a line for each phase.
extern "C" __global__ void IN_CLUSTERS __launch_bounds__(THREADS, BLOCKS)
ffi_step_cluster(const half_t* __restrict__ features_DB, weight_t* weight_LK, const u16* __restrict__ index_LK,
                 float* bias_L, momentum_t* momentum_LK, float* partial_SBD, float* partial_loss,
                 const i64* __restrict__ positive_rows, const i64* __restrict__ positive_labels, int num_positives,
                 const float* __restrict__ scale, const float* __restrict__ rate, const i64* __restrict__ step,
                 float weight_decay, float momentum_factor, u64 seed, i64 first_label, i64 begin, i64 end, int batch,
                 int stride, int num_features, int fan_in) {
    const Parameters params = {{features_DB, batch, stride, num_features},
                               {weight_LK, index_LK, bias_L, momentum_LK, fan_in},
                               {positive_rows, positive_labels, num_positives},
                               {first_label, begin, end},
                               seed};
    DYNAMIC_SHARED(dynamic);
    SharedMemory memory = layout_of(dynamic);
    ClusterState& state = *state_of(memory);
    init_state(state.step, scale, rate, step, weight_decay, momentum_factor, seed);
    stage_features(params.batch, memory.x);
    __syncthreads();
    GradFeatures dx = {};
    int num_tiles = (int)((end - begin + TILE - 1) / TILE);
    for (int tile = blockIdx.x / CLUSTER; tile < num_tiles; tile += gridDim.x / CLUSTER) {
        load_tile(params, memory, state.step, tile);
        __syncthreads();
        multiply_scores(memory.scores, memory.w, memory.x);
        __syncthreads();
        compute_losses(params, memory, state.step, tile, CLUSTER > 1 ? state.bias_sum : nullptr);
        cluster_arrive();  // this block has started, and has used what it received. Its stores of weights have ended by now
        __syncthreads();
        multiply_grad_features(dx, memory.g, memory.w);
        __syncthreads();  // w has been read: dw may take its place
        multiply_grad_weight(memory.dw, memory.g, memory.x);
        __syncthreads();
#if CLUSTER > 1
        cluster_wait();  // so has each other block
        send_gradients(params, memory.dw, state, tile);
        cluster_sync();
#endif
        update_own_weights(params, memory.dw, state, tile);
        __syncthreads();
    }
    store_grad_features(partial_SBD + (i64)(blockIdx.x / CLUSTER) * batch * num_features, dx, params.batch);
    float total = sum_over_block(state.step.loss_sum[threadIdx.x], memory.dw);
    total = sum_over_cluster(total, state);
    if (threadIdx.x == 0 && cluster_rank() == 0) partial_loss[blockIdx.x / CLUSTER] = total;
}
