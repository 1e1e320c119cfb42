// The fused training step: scores, loss, dX, dW and the update of every label, in one pass over the weights.
//
// What it computes, for each label l (x [B, D] the features, w [L, K] the weights of the connections):
//
//   score[b]         = bias + sum_k w[k] x[b, index[k]]
//   g[b]             = d loss(score[b]) / d score[b]
//   dX[b, index[k]] += g[b] w[k]                          summed over all labels
//   dW[k]            = sum_b g[b] x[b, index[k]]
//   w[k], bias       = their SGD step with dW[k] and sum_b g[b]
//
// The idea: a label needs nothing of any other label, so a block can do all five lines for a tile of labels while their
// weights are on chip. Weights, indices and momentum are read from device memory once and written once.
//
// The naive version does the lines as written, by gathering: for each connection it reads the B features of its index.
// That is simple and its cost is proportional to K, but dX is a scattered read-modify-write of 4 bytes per connection
// and row, and lanes with different features collide in shared memory. (ffi_scores, ffi_grad_features and
// ffi_grad_weight over chunks of labels are the best version of it.)
//
// The clever version: load as sparse, compute as dense. A tile of TILE labels is scattered into a dense matrix
// w [TILE, FEATURES] in shared memory, 0 where there is no connection, and the three products run on tensor cores:
//
//   scores^T = w x^T     [TILE, BATCH]       split over warps by rows and by features (split-K)
//   dX      += g^T w     [BATCH, FEATURES]   stays in registers from the first tile to the last: 192 per thread
//   dW       = g x       [TILE, FEATURES]    written over w as float32, then sampled at the indices
//
// At K 128 of D 768 five multiplications in six are by 0, and by our counts it is still five times faster, because dX
// never leaves the registers. What makes it hard is space:
//   - shared memory holds x, the tile and g at the same time: step/layout.cuh has the picture and the swizzles;
//   - registers hold dX, so everything else that outlives a phase is recomputed or kept in shared memory:
//     step/parameters.cuh;
//   - g must be rounded to 16 bits for the products, without an error that accumulates over labels:
//     include/gradients.cuh.
// README.md, "Cycle counts", compares both versions phase by phase. Barriers keep the phases apart, so their times add.
//
// Needs sm_80, weights and features of one 16-bit format (or weights of 8 bits and bfloat16 features), at most BATCH rows and FEATURES features. README.md has the
// table of what fits which GPU.
//
// Reading order: this file, step/parameters.cuh, step/layout.cuh, then the phases in the order of the main loop.
#include "include/sums.cuh"
#include "step/load.cuh"
#include "step/products.cuh"
#include "step/gradients.cuh"
#include "step/store.cuh"

// A persistent block walks the tiles blockIdx.x, blockIdx.x + gridDim.x, ... It leaves dX of its labels in
// partial_SBD[block] [batch, num_features] and the sum of its losses in partial_loss[block]; ffi_step_sum adds them.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
ffi_step(const half_t* __restrict__ features_DB, weight_t* weight_LK, const u16* __restrict__ index_LK, float* bias_L,
         momentum_t* momentum_LK, float* partial_SBD, float* partial_loss, const i64* __restrict__ positive_rows,
         const i64* __restrict__ positive_labels, int num_positives, const float* __restrict__ scale,
         const float* __restrict__ rate, const i64* __restrict__ step, float weight_decay, float momentum_factor,
         u64 seed, i64 first_label, i64 begin, i64 end, int batch, int stride, int num_features, int fan_in) {
    const Parameters params = {{features_DB, batch, stride, num_features},
                               {weight_LK, index_LK, bias_L, momentum_LK, fan_in},
                               {positive_rows, positive_labels, num_positives},
                               {first_label, begin, end},
                               seed};
    DYNAMIC_SHARED(dynamic);
    SharedMemory memory = layout_of(dynamic);
    __shared__ StepState state;
    init_state(state, scale, rate, step, weight_decay, momentum_factor, seed);
    stage_features(params.batch, memory.x);
    __syncthreads();
    GradFeatures dx = {};
    int num_tiles = (int)((end - begin + TILE - 1) / TILE);
    for (int tile = blockIdx.x; tile < num_tiles; tile += gridDim.x) {
        load_tile(params, memory, state, tile);
        __syncthreads();
        multiply_scores(memory.scores, memory.w, memory.x);
        __syncthreads();
        compute_losses(params, memory, state, tile);
        __syncthreads();
        multiply_grad_features(dx, memory.g, memory.w);
        __syncthreads();  // w has been read: dw may take its place
        multiply_grad_weight(memory.dw, memory.g, memory.x);
        __syncthreads();
        update_weights(params, memory.dw, state, tile);
        __syncthreads();
    }
    store_grad_features(partial_SBD + (i64)blockIdx.x * batch * num_features, dx, params.batch);
    float total = sum_over_block(state.loss_sum[threadIdx.x], memory.dw);
    if (threadIdx.x == 0) partial_loss[blockIdx.x] = total;
}
