// How the gathering kernels read features: eight rows of the batch, of one feature, per lane.
//
// A connection multiplies one feature of every row of the batch. GROUP lanes (1, 2, 4 or 8) share a label and hold
// 8 * GROUP rows, eight each, so that a connection costs a lane one 16-byte read (two in float32). With SHARED 1 the
// block copies its rows of features_DB [D, stride] to shared memory, as [D, 8 * GROUP]:
//
//                 GROUP 8, 16 bits: 128 bytes per feature, one 16-byte vector for each lane of the label
//                 lane 0    lane 1    lane 2    ...   lane 7
//   feature 0    rows 0-7 | 8-15    | 16-23   | ... | 56-63
//   feature 1    rows 0-7 | 8-15    | 16-23   | ... | 56-63
//   ...
//
// The hardware serves eight 16-byte reads at a time. At GROUP 8 these are the eight lanes of one label, which read
// 128 neighbouring bytes: every bank once, whatever the feature. At GROUP 4, 2 and 1 they belong to 2, 4 and 8 labels
// with different features, and collide by chance. With SHARED 0, for a D too large for shared memory, rows are read
// from global memory, that is from L2.
#pragma once
#include "include/formats.cuh"

#ifndef GROUP
#define GROUP 8
#endif
#ifndef SHARED
#define SHARED 1
#endif
#if GROUP != 1 && GROUP != 2 && GROUP != 4 && GROUP != 8
#error "unknown GROUP: expected 1, 2, 4 or 8 lanes per label"
#endif
#if SHARED != 0 && SHARED != 1
#error "unknown SHARED: expected 0 (features in global memory) or 1 (in shared memory)"
#endif
#define ROWS (8 * GROUP)  // of the batch, per block

struct Rows {
    const feature_t* lane_base;  // the lane's rows of feature 0
    int stride;                  // numbers from one feature to the next
};

// Stages the rows row0 .. row0 + ROWS - 1 in `shared` (D * ROWS features), with zeros past the stride. All threads of
// the block take part; the barriers at both ends let it be called again for other rows.
__device__ __forceinline__ Rows stage_rows(const feature_t* features_DB, int row0, int lane, int stride,
                                           int num_features, feature_t* shared) {
#if SHARED
    const int width = 16 / sizeof(feature_t), vectors = ROWS / width;  // 16-byte vectors per feature
    __syncthreads();
    for (int i = threadIdx.x; i < num_features * vectors; i += blockDim.x) {
        int feature = i / vectors, vector = i % vectors, row = row0 + vector * width;
        uint4 bits = uint4{0, 0, 0, 0};
        if (row < stride) bits = *(const uint4*)(features_DB + (i64)feature * stride + row);
        // In float32 a lane has two vectors: all first ones, then all second ones, so that lanes read neighbours.
        int slot = vectors == GROUP ? vector : vector % 2 * GROUP + vector / 2;
        ((uint4*)shared)[feature * vectors + slot] = bits;
    }
    __syncthreads();
    return Rows{shared + lane * width, ROWS};
#else
    int row = row0 + 8 * lane;
    return Rows{features_DB + (row < stride ? row : row0), stride};  // results of rows past the stride are dropped
#endif
}

// The lane's eight rows of a feature, as float32.
__device__ __forceinline__ void load_rows(const Rows& rows, u32 feature, float* out) {
#if SHARED
    const feature_t* from = rows.lane_base + feature * ROWS;
#if FEATURE == 0
    float4 low = *(const float4*)from, high = *(const float4*)(from + 4 * GROUP);
    out[0] = low.x; out[1] = low.y; out[2] = low.z; out[3] = low.w;
    out[4] = high.x; out[5] = high.y; out[6] = high.z; out[7] = high.w;
#else
    load8(from, out);
#endif
#else
    load8(rows.lane_base + (i64)feature * rows.stride, out);
#endif
}

// Adds one label's products to the lane's sums: sum[i] += sum_k weight[k] * x[row i, index[k]], k in order. `NUMBER` is
// the number of rows per lane, and `load_rows(features, feature, out)` must exist for the type of `features`.
template <int NUMBER, class Features>
__device__ __forceinline__ void add_label_scores(const Features& features, const weight_t* weight, const u16* index,
                                                 int fan_in, float* sum) {
#pragma unroll 2
    for (int k = 0; k < fan_in; k += 8) {
        float w[8];
        u32 at[8];
        load8(weight + k, w);
        load8(index + k, at);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            float value[NUMBER];
            load_rows(features, at[j], value);
#pragma unroll
            for (int i = 0; i < NUMBER; i++) sum[i] += w[j] * value[i];
        }
    }
}
