// The gradient of the weights of a range of labels, by gathering, and on demand their SGD step in place:
// dW[l, k] = sum_b g[b, l] * x[b, index[l, k]].
//
// GROUP lanes share a label (rows.cuh): each keeps the gradients of eight rows of the batch in registers and reads
// those rows of x for one connection after another, so that the gradients cost no traffic. What the lanes have found
// for a connection must then be added up over them. Of GROUP connections taken together each lane keeps one sum, which
// takes GROUP - 1 exchanges instead of GROUP times log2(GROUP). The connections taken together are eight places apart:
// place 8 * j + i goes to lane j, so that after i = 0..7 a lane owns eight neighbours: one 16-byte read and write of
// the weights, and one Philox call for their random bits.
//
// UPDATE 0 writes dW [labels, K] float32. UPDATE 1 makes the step of update.cuh: weights of 16 bits are stored by
// stochastic rounding, momentum to nearest; the bias takes rate * scale * sum_b g. `scale`, `rate` and `step` are read
// from the device, so that a CUDA graph replays with others.
//
// A batch of more than ROWS rows is taken ROWS at a time, dW the running sum: with UPDATE 1 it is a workspace then,
// and may be null otherwise. A label's sums are written and read by the same lanes, in one order: no race, no chance.
//
// Bound by shared memory and by the unpacking of bfloat16: at 64 rows a connection reads 128 bytes of x, its share of
// the exchanges counts 44 more, and eight lanes take 23 instructions each.
//
// Grid: x blocks walk the tiles of TILE labels. gradient_LB and dW start at label `begin`, all else at label 0.
#include "rows.cuh"
#include "update.cuh"

#ifndef UPDATE
#define UPDATE 0
#endif
#ifndef THREADS
#define THREADS 256  // 512 where shared memory holds one block only; registers are left for 768 in all
#endif
#define TILE (THREADS / GROUP)

// Lane j's share of sum[n] is part[n]; sum[j] is returned to lane j. GROUP - 1 exchanges.
__device__ __forceinline__ float add_over_lanes(float* part, int lane) {
#pragma unroll
    for (int half = GROUP / 2; half; half /= 2) {
        bool upper = lane & half;
#pragma unroll
        for (int n = 0; n < half; n++) {
            float given = upper ? part[n] : part[n + half], kept = upper ? part[n + half] : part[n];
            part[n] = kept + __shfl_xor_sync(FULL_WARP, given, half);
        }
    }
    return part[0];
}

// The gradients of GROUP octets of connections, of which `octets` exist, from the lane's rows; `index` holds the
// indices of octet `lane`, two to a word. sum[i] belongs to place i of octet `lane`.
__device__ __forceinline__ void gradients(const Rows& rows, const float* g, const u32* index, int octets, int lane,
                                          float* sum) {
    int first = threadIdx.x % WARP_SIZE - lane;  // the first lane of this label
#pragma unroll
    for (int pair = 0; pair < 4; pair++) {
        float part[2][GROUP];
#pragma unroll
        for (int j = 0; j < GROUP; j++) {
            u32 both = __shfl_sync(FULL_WARP, index[pair], first + j);
            part[0][j] = part[1][j] = 0.0f;
            if (j < octets) {
#pragma unroll
                for (int odd = 0; odd < 2; odd++) {
                    float value[8];
                    load_rows(rows, odd ? both >> 16 : both & 0xFFFFu, value);
#pragma unroll
                    for (int i = 0; i < 8; i++) part[odd][j] += g[i] * value[i];
                }
            }
        }
        sum[2 * pair] = add_over_lanes(part[0], lane);
        sum[2 * pair + 1] = add_over_lanes(part[1], lane);
    }
}

// The sum of the gradients of a label, to each of its lanes.
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

extern "C" __global__ void __launch_bounds__(THREADS, 768 / THREADS)
ffi_grad_weight(const float* gradient_LB, const feature_t* features_DB, const u16* index_LK, float* dweight_LK,
                weight_t* weight_LK, momentum_t* momentum_LK, float* bias_L, const float* scale, const float* rate,
                const i64* step, float weight_decay, float momentum_factor, u64 seed, i64 first_label,
                i64 begin, i64 end, int stride, int num_features, int fan_in) {
    DYNAMIC_SHARED(memory);
    int lane = threadIdx.x % GROUP, slot = threadIdx.x / GROUP;
#if UPDATE
    Sgd by = {*scale, *rate, weight_decay, MOMENTUM ? momentum_factor : 0.0f};
    i64 now = *step;
#endif
    for (int row0 = 0; row0 < stride; row0 += ROWS) {
        Rows rows = take_rows(features_DB, row0, lane, stride, num_features, (feature_t*)memory);
        for (i64 tile = begin + (i64)blockIdx.x * TILE; tile < end; tile += (i64)gridDim.x * TILE) {
            i64 label = tile + slot;
            bool live = label < end;
            float g[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
            if (live && row0 + 8 * lane < stride) load8(gradient_LB + (label - begin) * stride + row0 + 8 * lane, g);
#if UPDATE
            if (bias_L) {
                float total = sum_over_rows(g);
                if (live && lane == 0) bias_L[label] -= by.rate * by.scale * total;
            }
#endif
            for (int k0 = 0; k0 < fan_in; k0 += 8 * GROUP) {
                int k = k0 + 8 * lane;
                bool mine = live && k < fan_in;
                uint4 bits = uint4{0, 0, 0, 0};  // a label past the end reads feature 0, with gradients of 0
                if (mine) bits = *(const uint4*)(index_LK + label * fan_in + k);
                u32 index[4] = {bits.x, bits.y, bits.z, bits.w};
                float sum[8];
                gradients(rows, g, index, (fan_in - k0) / 8, lane, sum);
                if (mine) {
                    i64 own = (label - begin) * fan_in + k;
                    if (row0 > 0) add8(sum, dweight_LK + own);
                    bool last = row0 + ROWS >= stride;
                    if (!UPDATE || !last) store8(dweight_LK + own, sum);
#if UPDATE
                    i64 at = label * fan_in + k;
                    if (last)
                        update8(by, sum, weight_LK + at, MOMENTUM ? momentum_LK + at : momentum_LK,
                                (u64)(first_label + label), (u32)(k / 8), now, seed);
#endif
                }
            }
        }
    }
}
