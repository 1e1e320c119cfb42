// The fused training step of ffi_step.cu on the tensor cores of warpgroups (wgmma, sm_90a).
//
// What it computes, and how it stays in one pass over dense tiles of labels, is that of ffi_step. There every warp loads the
// operands of its products to registers, and the same numbers several times; shared memory is its bound.
//
// The clever way: the tensor cores read both operands from shared memory themselves, for four warps at once. Tiles have 64
// labels, the smaller side of such a product:
//
//   scores^T = w x^T     [64, BATCH]        half of the features in each of two warpgroups, which exchange partial sums
//   dX      += g^T w     [BATCH, FEATURES]  in registers from the first tile to the last: 192 of a thread's 255
//   dW^T     = x^T g     [FEATURES, 32]     for half of the labels at a time, since float32 sums of 64 take twice w's place
//
// With CLUSTER 2 two blocks take a tile together, 64 rows of the batch each. Scores, gradients and dX need no other block;
// each block sends dW of half of the labels to the other one and updates the other half (wgmma/exchange.cuh).
//
// README.md, "The step on wgmma", counts its phases, and says why it has no producer warpgroup.
//
// Needs sm_90a, weights and features in bfloat16, at most CLUSTER * 64 rows and FEATURES features; with CLUSTER 2 shared
// memory for `received`.
#define WGMMA 1
#define PIPELINED 1
#define DYNAMIC_ALIGNMENT 1024  // of the tensor cores' pattern
#include "include/sums.cuh"
#include "step/load.cuh"
#include "wgmma/gradients.cuh"
#include "wgmma/store.cuh"

#if WEIGHT != 1
#error "unknown WEIGHT: expected 1 (bfloat16)"
#endif
#if BATCH != 64 || TILE != 64
#error "unknown BATCH or TILE: expected 64 rows and 64 labels, the sides of a product"
#endif
#if CLUSTER != 1 && CLUSTER != 2
#error "unknown CLUSTER: expected 1 or 2 blocks, since dW is computed for half of a tile's labels at a time"
#endif
#if FEATURES != 768 && FEATURES != 384
#error "unknown FEATURES: expected 768 or 384, whose sixth is the side of a product"
#endif

// A persistent block, or cluster, walks the tiles and leaves partial results as one of ffi_step_cluster does.
// Long: the parameters, and a line for each phase.
extern "C" __global__ void IN_CLUSTERS __launch_bounds__(THREADS, BLOCKS)
ffi_step_wgmma(const half_t* __restrict__ features_DB, weight_t* weight_LK, const u16* __restrict__ index_LK,
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
    WarpgroupState& state = state_of(memory);
    memory.scores = scores_of(state);
    init_state(state.step, scale, rate, step, weight_decay, momentum_factor, seed);
    stage_features(params.batch, memory.x);  // shown to the tensor cores with the first tile
    __syncthreads();
    GradFeatures dx = {};
    int num_tiles = (int)((end - begin + TILE - 1) / TILE);
    for (int tile = blockIdx.x / CLUSTER; tile < num_tiles; tile += gridDim.x / CLUSTER) {
        load_tile(params, memory, state.step, tile);
        show_to_tensor_cores();
        __syncthreads();
        {
            ScoreSums sum = {};
            multiply_scores(sum, memory.w, memory.x);
            send_scores(sum, memory.scores);
            __syncthreads();
            add_scores(sum, memory.scores);
        }
        compute_losses(params, memory, state, tile);
        show_to_tensor_cores();
        cluster_arrive();  // this block has started, and has used its partial scores
        __syncthreads();
        if (CLUSTER == 1) update_biases(params, state, tile, 0, TILE);
        multiply_grad_features(dx, memory.g, memory.w);
        __syncthreads();  // w has been read: dw may take its place
#if CLUSTER > 1
        int mine = cluster_rank() * DW_LABELS;
        multiply_grad_weight(memory.dw, memory.g + (DW_LABELS - mine) * BATCH, memory.x);
        cluster_wait();  // so has the other block
        __syncthreads();
        send_gradients(params, memory.dw, state, tile);
        cluster_arrive();
        __syncthreads();
        multiply_grad_weight(memory.dw, memory.g + mine * BATCH, memory.x);
        cluster_wait();
        __syncthreads();
        update_biases(params, state, tile, mine, DW_LABELS);
        update_weights_of(params, memory.dw, state.step, memory.scores, tile, mine);
        __syncthreads();
#else
        for (int label = 0; label < TILE; label += DW_LABELS) {
            multiply_grad_weight(memory.dw, memory.g + label * BATCH, memory.x);
            __syncthreads();
            update_weights_of(params, memory.dw, state.step, nullptr, tile, label);
            __syncthreads();
        }
#endif
    }
    store_grad_features(partial_SBD + (i64)(blockIdx.x / CLUSTER) * batch * num_features, dx, params.batch);
    float total = sum_over_cluster(sum_over_block(state.step.loss_sum[thread_index()], memory.dw), state);
    if (thread_index() == 0 && cluster_rank() == 0) partial_loss[blockIdx.x / CLUSTER] = total;
}
