// The fused training step for groups of labels that share their features, in one pass over the weights:
//
//   score[b, l]  = bias[l] + sum_k w[l, k] x[b, index[l / G, k]]
//   g[b, l]      = d loss(score[b, l]) / d score[b, l]        16 bits, rounded at random: the bits of group_scores
//   dX[b, index] += sum_l g[b, l] w[l, k]                     summed over the labels of a group, then over all groups
//   dW[l, k]     = sum_b g[b, l] x[b, index[l / G, k]]
//   w, bias      = their SGD step                             the bits of group_grad_weight
//
// The naive version is group_scores, group_grad_features and group_grad_weight one after another: they gather x twice, and
// write and read g. Here a persistent block does all of it for one group after another; weights are read from device
// memory once and written once, x is gathered once, and g never leaves shared memory.
//
// A group is little work, so that barriers between its phases would cost more than the phases. Instead the warps have
// three roles, which work at the same time on different groups, with one barrier for each group:
//
//              warps   group   work
//   scores       8     i       scores, losses and g; and the copies of group i + STAGES - 2 to shared memory
//   features     8     i - 1   sums of g^T w, added to dX^T in shared memory (group/feature_sums.cuh)
//   weights      4     i - 1   sums of g x, and the update
//
// Shared memory: dX^T float32 [D][BATCH]; STAGES groups of x, w and features; g of two groups. It decides what fits:
// README.md, "Groups".
//
// Bound by shared memory; README.md has the counts. Needs sm_80, at most BATCH rows, K up to SLOTS.
#include "group/step.cuh"

// Long: the main loop, and what each role keeps from one group to the next.
// A persistent block walks the groups blockIdx.x, blockIdx.x + gridDim.x, ... It leaves dX^T of its labels in
// partial_SDB[block] [num_features, stride] and the sum of its losses in partial_loss[block]; ffi_step_sum adds them.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
group_step(const half_t* __restrict__ features_DB, weight_t* weight_LK, const u16* __restrict__ index_RK,
           float* bias_L, momentum_t* momentum_LK, float* partial_SDB, float* partial_loss,
           const i64* __restrict__ positive_rows, const i64* __restrict__ positive_labels, int num_positives,
           const float* __restrict__ scale, const float* __restrict__ rate, const i64* __restrict__ step,
           float weight_decay, float momentum_factor, u64 seed, i64 first_label, i64 begin, i64 end, int batch,
           int stride, int num_features, int fan_in) {
    DYNAMIC_SHARED(memory);
    __shared__ u32 positive_bits[2 * TILE * WORDS];
    __shared__ StepState state;
    float* dx = (float*)memory;
    i64 groups = (end - begin + TILE - 1) / TILE;
    int count = blockIdx.x < groups ? (int)((groups - blockIdx.x + gridDim.x - 1) / gridDim.x) : 0;
    half_t* stages = (half_t*)(dx + num_features * BATCH);
    const Step own = {{weight_LK, index_RK, begin, end, fan_in}, {features_DB, stride, 0},
                      {positive_rows, positive_labels, num_positives}, weight_LK, bias_L, momentum_LK, first_label,
                      seed, batch, count, stages, stages + STAGES * STAGE_NUMBERS, positive_bits, &state};
    if (threadIdx.x == 0) {
        state.sgd = Sgd{*scale, *rate, weight_decay, MOMENTUM ? momentum_factor : 0.0f};
        state.step = *step;
        state.rounding_key = gradient_rounding_key(*step, seed);
    }
    int warp = threadIdx.x / WARP_SIZE;
    for (int i = threadIdx.x; i < num_features * BATCH / 4; i += THREADS) ((uint4*)dx)[i] = uint4{0, 0, 0, 0};
    float loss_sum = 0.0f;
    Gathering next;
    int passed = 0;
    if (warp < SCORE_WARPS) {
        if (warp == 0 && count) passed = set_positive_bits<TILE, WORDS>(own.bits(0), own.positives, own.tile(0), 0, 0);
        if (count) next.read(own.labels, own.tile(0), 0);
        for (int i = 0; i < STAGES - 2; i++) start_group(own, i, next);
    }
    for (int i = 0; i <= count; i++) {
        if (warp < SCORE_WARPS) {
            wait_for_copies<STAGES - 3>();
            if (i < count) Weights::decode(SLOTS, own.w(i));
        }
        __syncthreads();  // group i is in shared memory; g of group i - 1 is there; group i - 2 has been used
        if (warp < SCORE_WARPS) {
            start_group(own, i + STAGES - 2, next);
            if (i == count) continue;
            if (warp == 0 && i + 1 < count)
                passed = set_positive_bits<TILE, WORDS>(own.bits(i + 1), own.positives, own.tile(i + 1), 0, passed);
            loss_sum += compute_losses(own, i);
        } else if (i > 0) {
            if (warp < SCORE_WARPS + FEATURE_WARPS) {
                add_features(own, i - 1, dx, num_features);
            } else {
                update_weights(own, i - 1);
                if (bias_L) update_biases(own, i - 1);
            }
        }
    }
    __shared__ float warp_losses[THREADS / WARP_SIZE];
    float total = sum_over_block(loss_sum, warp_losses);  // its barrier: all sums of dX^T are there
    if (threadIdx.x == 0) partial_loss[blockIdx.x] = total;
    float* partial = partial_SDB + (i64)blockIdx.x * num_features * stride;
    for (int i = threadIdx.x; i < num_features * BATCH / 2; i += THREADS) {
        RowPair<BATCH> pair(dx, i, 0, stride, 0, num_features);
        float2 sums = *pair.own;
        if (pair.exists)
            *(float2*)(partial + pair.offset) = float2{sums.x * (1.0f / GRADIENT_SCALE), sums.y * (1.0f / GRADIENT_SCALE)};
    }
}
