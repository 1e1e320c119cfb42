// The gradient of the weights of a range of labels, by gathering, and optionally their SGD step in place:
//
//   dW[l, k] = sum_b g[b, l] * x[b, index[l, k]]
//
// The naive version gives a lane one connection; it would read a 4-byte gradient from shared memory for each 2-byte
// feature. Here GROUP lanes share a label (include/rows.cuh): each keeps the gradients of its eight rows of the batch
// in registers for the whole label and reads those rows of x for one connection after another.
//
// Each lane then has a partial sum over its rows of every connection, and these must be added over the GROUP lanes.
// Summing each connection alone takes GROUP * log2(GROUP) exchanges per GROUP connections (24 at GROUP 8).
// `reduce_over_lanes` reduces GROUP connections together, so that each lane ends with the sum of one of them, in
// GROUP - 1 exchanges (7). The connections reduced together are eight positions apart:
//
//   position 8 * j + i goes to lane j:   i = 0 gives lane 0 position 0, lane 1 position 8, lane 2 position 16, ...
//
// After i = 0..7 a lane owns eight neighbours (an octet): one 16-byte read and write of the weights, and one Philox
// call for their random bits.
//
// UPDATE 0 writes dW [labels, K] float32. UPDATE 1 takes the step of include/update.cuh instead: 16-bit weights are
// stored by stochastic rounding, momentum to nearest; the bias moves by -rate * scale * sum_b g. `scale`, `rate` and
// `step` are read from device memory, so that a CUDA graph can be replayed with other values.
//
// A batch of more than ROWS rows is processed ROWS at a time with dW as the running sum: with UPDATE 1, dW is then a
// workspace, and may be null otherwise. A label's sums are always written and read by the same lanes: no race. This
// costs 8 bytes per connection and block of rows, through L2. The alternative, all rows of a tile of labels before the
// next tile, would fill shared memory again for every tile.
//
// Bound by shared memory and by converting bfloat16; README.md, "Cycle counts", has the counts.
//
// Grid: x blocks walk the tiles of TILE labels. gradient_LB and dW start at label `begin`, all else at label 0.
#include "include/rows.cuh"
#include "include/lane_sums.cuh"
#include "include/update.cuh"

#ifndef UPDATE
#define UPDATE 0
#endif
#ifndef THREADS
#define THREADS 256  // 512 where shared memory holds one block only; registers suffice for 768 threads in all
#endif
#define TILE (THREADS / GROUP)

// The gradients of GROUP octets of connections, of which `octets` exist, from the lane's rows. `index` holds the
// indices of octet `lane`, two per word; sum[i] is the gradient of connection i of octet `lane`.
__device__ __forceinline__ void gradients(const Rows& rows, const float* g, const u32* index, int octets, int lane,
                                          float* sum) {
    int first = threadIdx.x % WARP_SIZE - lane;  // the first lane of this label
#pragma unroll
    for (int pair = 0; pair < 4; pair++) {
        float partial[2][GROUP];
#pragma unroll
        for (int j = 0; j < GROUP; j++) {
            u32 both = __shfl_sync(FULL_WARP, index[pair], first + j);
            partial[0][j] = partial[1][j] = 0.0f;
            if (j < octets) {
#pragma unroll
                for (int odd = 0; odd < 2; odd++) {
                    float value[8];
                    load_rows(rows, odd ? both >> 16 : both & 0xFFFFu, value);
#pragma unroll
                    for (int i = 0; i < 8; i++) partial[odd][j] += g[i] * value[i];
                }
            }
        }
        sum[2 * pair] = reduce_over_lanes(partial[0], lane);
        sum[2 * pair + 1] = reduce_over_lanes(partial[1], lane);
    }
}

// The sum of a label's gradients over the block's rows, in each of its lanes.
__device__ __forceinline__ float sum_over_rows(const float* g) {
    float total = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; i++) total += g[i];
#pragma unroll
    for (int half = GROUP / 2; half; half /= 2) total += __shfl_xor_sync(FULL_WARP, total, half);
    return total;
}

__device__ __forceinline__ void add8(float* sum, const float* from) {
    float before[8];
    load8(from, before);
#pragma unroll
    for (int i = 0; i < 8; i++) sum[i] += before[i];
}

// Long: one loop nest of rows, labels and connections, whose innermost part needs nearly every parameter.
extern "C" __global__ void __launch_bounds__(THREADS, 768 / THREADS)
ffi_grad_weight(const float* __restrict__ gradient_LB, const feature_t* __restrict__ features_DB,
                const u16* __restrict__ index_LK, float* dweight_LK, weight_t* weight_LK, momentum_t* momentum_LK,
                float* bias_L, const float* __restrict__ scale, const float* __restrict__ rate,
                const i64* __restrict__ step, float weight_decay, float momentum_factor, u64 seed, i64 first_label,
                i64 begin, i64 end, int stride, int num_features, int fan_in) {
    DYNAMIC_SHARED(memory);
    int lane = threadIdx.x % GROUP, slot = threadIdx.x / GROUP;
#if UPDATE
    Sgd sgd = {*scale, *rate, weight_decay, MOMENTUM ? momentum_factor : 0.0f};
    i64 now = *step;
#endif
    for (int row0 = 0; row0 < stride; row0 += ROWS) {
        Rows rows = stage_rows(features_DB, row0, lane, stride, num_features, (feature_t*)memory);
        for (i64 tile = begin + (i64)blockIdx.x * TILE; tile < end; tile += (i64)gridDim.x * TILE) {
            i64 label = tile + slot;
            bool exists = label < end;
            float g[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
            if (exists && row0 + 8 * lane < stride) load8(gradient_LB + (label - begin) * stride + row0 + 8 * lane, g);
#if UPDATE
            if (bias_L) {
                float total = sum_over_rows(g);
                if (exists && lane == 0) bias_L[label] -= sgd.rate * sgd.scale * total;
            }
#endif
            for (int k0 = 0; k0 < fan_in; k0 += 8 * GROUP) {
                int k = k0 + 8 * lane;  // the first connection of the lane's octet
                bool owns = exists && k < fan_in;
                uint4 bits = uint4{0, 0, 0, 0};  // a label past the end reads feature 0, with gradients of 0
                if (owns) bits = *(const uint4*)(index_LK + label * fan_in + k);
                u32 index[4] = {bits.x, bits.y, bits.z, bits.w};
                float sum[8];
                gradients(rows, g, index, (fan_in - k0) / 8, lane, sum);
                if (owns) {
                    i64 offset = (label - begin) * fan_in + k;
                    if (row0 > 0) add8(sum, dweight_LK + offset);
                    bool last = row0 + ROWS >= stride;
                    if (!UPDATE || !last) store8(dweight_LK + offset, sum);
#if UPDATE
                    i64 at = label * fan_in + k;
                    if (last)
                        update8(sgd, sum, weight_LK + at, MOMENTUM ? momentum_LK + at : momentum_LK,
                                (u64)(first_label + label), (u32)(k / 8), now, seed);
#endif
                }
            }
        }
    }
}
