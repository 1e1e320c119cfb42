// Scores of a range of labels whose groups share their features, on tensor cores:
//
//   score[b, l] = sum_k weight[l, k] * x[b, index[l / G, k]] + bias[l]
//
// LOSS 0 writes the scores, float32 [B, labels]. With a loss, the derivative of the loss by the score is written instead,
// one row per label, gradient_LB [labels, stride] (0 in the padding) in the format of the weights, rounded stochastically
// (include/gradients.cuh): that is how the kernels of dX and dW read it. Each block writes the sum of its losses to
// partial_loss[block]. The positives are (row, label) pairs sorted by label, numbered as `begin` and `end` are. With
// INITIAL 1 the scores start from scores_LB float32 [labels, stride], as ffi_word_scores has written it, and their
// derivatives are left there too, in float32, as ffi_word_update reads them.
//
// The naive version gathers K features for each label. Here the labels of a group read the same ones: K rows of x^T are
// gathered to shared memory once, and the group's scores are one matrix product [rows, K] x [K, G].
//
// Bound by the gathering, from L2 and through shared memory; README.md, "Groups", has the counts.
//
// Grid: x blocks walk the tiles of 64 labels; y is the block of 64 rows of the batch.
#include "include/gradients.cuh"
#include "include/positives.cuh"
#include "include/sums.cuh"
#include "group/scores.cuh"

#ifndef INITIAL
#define INITIAL 0
#endif
#if INITIAL != 0 && !(INITIAL == 1 && LOSS)
#error "unknown INITIAL: expected 0 (scores start from 0) or, with a loss, 1 (from scores_LB)"
#endif

#define WORDS (ROWS / 32)     // of a label's positives
#define PITCH 40              // 32 rows, and 16 bytes so that eight rows of four labels are in different banks

#if LOSS
struct Output {
    float* scores_LB;
    const float* bias_L;
    int batch;
    u32 rounding_key;
    i64 first_label;
};

// Turns a warp's scores into gradients, 16 bits each, in its place in shared memory: `rows` [16 labels][PITCH]. Returns
// the sum of the losses. `positive` has the tile's bits.
__device__ __forceinline__ float round_gradients(const Scores& score, const ScoreSteps& steps, i64 tile,
                                                 const u32* positive, half_t* rows, const Output& to) {
    int word = threadIdx.x / WARP_SIZE % 2, stride = steps.features.stride;
    float loss_sum = 0.0f;
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
        for (int odd = 0; odd < 2; odd++) {
            int own = score_label(n, odd);
            i64 label = tile + own;
            bool exists = label < steps.labels.end;
            u32 bits = positive[own * WORDS + word];
            float bias = to.bias_L && exists ? to.bias_L[label] : 0.0f;
#pragma unroll
            for (int m = 0; m < 2; m++) {
                u32 random = gradient_random_bits(to.rounding_key, (u64)(to.first_label + label),
                                                  steps.features.row0 + score_row(m, 0));
#pragma unroll
                for (int lower = 0; lower < 2; lower++) {
                    int i = 2 * lower + odd, here = score_row(m, i), row = steps.features.row0 + here;
                    float value = score[m][n][i] + bias, loss = 0.0f;
#if INITIAL
                    i64 at = (label - steps.labels.begin) * stride + row;
                    if (exists && row < stride) value += to.scores_LB[at];
#endif
                    float gradient = loss_gradient(value, bits >> here % 32 & 1u, loss);
                    if (row >= to.batch || !exists) gradient = loss = 0.0f;
                    loss_sum += loss;
#if INITIAL
                    if (exists && row < stride) to.scores_LB[at] = gradient;
#endif
                    rows[own % 16 * PITCH + here % 32] = rounded_gradient(gradient, random >> 16 * lower & 0xFFFFu);
                }
            }
        }
    return loss_sum;
}

// Writes a warp's gradients, 16 labels x 32 rows, eight rows at a time.
__device__ __forceinline__ void write_gradients(const half_t* rows, const ScoreSteps& steps, i64 tile,
                                                half_t* gradient_LB) {
    int warp = threadIdx.x / WARP_SIZE, stride = steps.features.stride;
    __syncwarp();  // all lanes have stored theirs
    for (int i = threadIdx.x % WARP_SIZE; i < 16 * 32 / 8; i += WARP_SIZE) {
        i64 label = tile + warp / 2 * 16 + i / 4;
        int row = steps.features.row0 + warp % 2 * 32 + i % 4 * 8;
        if (label < steps.labels.end && row < stride)
            *(uint4*)(gradient_LB + (label - steps.labels.begin) * stride + row) =
                *(const uint4*)(rows + i / 4 * PITCH + i % 4 * 8);
    }
    __syncwarp();  // `rows` has been read
}
#else
__device__ __forceinline__ void write_scores(const Scores& score, const ScoreSteps& steps, i64 tile,
                                             const float* bias_L, float* out_BL, int batch) {
    i64 begin = steps.labels.begin, end = steps.labels.end;
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
        for (int odd = 0; odd < 2; odd++) {
            i64 label = tile + score_label(n, odd);
            if (label >= end) continue;
            float bias = bias_L ? bias_L[label] : 0.0f;
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int i = odd; i < 4; i += 2) {
                    int row = steps.features.row0 + score_row(m, i);
                    if (row < batch) out_BL[(i64)row * (end - begin) + label - begin] = score[m][n][i] + bias;
                }
        }
}
#endif

// Long: a tile's scores are used in one of two ways, with different shared memory, in one loop of steps.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
group_scores(const half_t* __restrict__ features_DB, const weight_t* __restrict__ weight_LK,
             const u16* __restrict__ index_RK, const float* __restrict__ bias_L, float* out_BL, half_t* gradient_LB,
             float* scores_LB, float* partial_loss, const i64* __restrict__ positive_rows,
             const i64* __restrict__ positive_labels, int num_positives, const i64* __restrict__ step, u64 seed,
             i64 first_label, i64 begin, i64 end, int batch, int stride, int fan_in) {
    DYNAMIC_SHARED(memory);
    ScoreSteps steps = {{weight_LK, index_RK, begin, end, fan_in}, {features_DB, stride, (int)blockIdx.y * ROWS},
                        (half_t*)memory};
    steps.start_first();
#if LOSS
    __shared__ uint4 staged[WARPS][16 * PITCH / 8];  // half_t, aligned to 16 bytes
    __shared__ u32 positive_bits[2][TILE * WORDS];
    __shared__ float warp_losses[WARPS];
    const Positives positives = {positive_rows, positive_labels, num_positives};
    const Output output = {scores_LB, bias_L, batch, gradient_rounding_key(*step, seed), first_label};
    int warp = threadIdx.x / WARP_SIZE, passed = 0;
    float loss_sum = 0.0f;
    if (warp == 0 && steps.count)
        passed = set_positive_bits<TILE, WORDS>(positive_bits[0], positives, steps.tile(0), blockIdx.y * ROWS, 0);
#endif
    Scores score = {};
    for (int i = 0, tile = 0; i < steps.count; i++) {
        steps.arrive(i);
        add_scores(score, steps.x(i), steps.w(i));
        if ((i + 1) % steps.slices) continue;
#if LOSS
        // The bits of the next tile are set now, and read after the barrier of the next step.
        if (warp == 0 && i + 1 < steps.count)
            passed = set_positive_bits<TILE, WORDS>(positive_bits[(tile + 1) % 2], positives, steps.tile(i + 1),
                                                    blockIdx.y * ROWS, passed);
        half_t* rows = (half_t*)staged[warp];
        loss_sum += round_gradients(score, steps, steps.tile(i), positive_bits[tile % 2], rows, output);
        write_gradients(rows, steps, steps.tile(i), gradient_LB);
#else
        write_scores(score, steps, steps.tile(i), bias_L, out_BL, batch);
#endif
        tile++;
#pragma unroll
        for (int j = 0; j < 16; j++) score[j / 8][j / 4 % 2][j % 4] = 0.0f;
    }
#if LOSS
    float total = sum_over_block(loss_sum, warp_losses);
    if (threadIdx.x == 0) partial_loss[blockIdx.y * gridDim.x + blockIdx.x] = total;
#endif
}
