// Sums over a label's connections and over the batch, by gathering: eight rows of the batch to a lane (rows.cuh).
#pragma once
#include "rows.cuh"

// One label's scores for the lane's eight rows.
__device__ __forceinline__ void label_scores(const Rows& rows, const weight_t* weight, const u16* index, int fan_in,
                                             float* sum) {
#pragma unroll 2
    for (int k = 0; k < fan_in; k += 8) {
        float w[8];
        u32 at[8];
        load8(weight + k, w);
        load8(index + k, at);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            float value[8];
            load_rows(rows, at[j], value);
#pragma unroll
            for (int i = 0; i < 8; i++) sum[i] += w[j] * value[i];
        }
    }
}

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
