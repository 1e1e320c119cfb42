// A block of rows of the batch as the gathering kernels read it: eight rows of one feature to a lane.
//
// GROUP lanes (1, 2, 4 or 8) share a label and hold 8 * GROUP rows of the batch, eight each, so that a connection
// costs a lane one 16-byte read (two in float32). With SHARED 1 the block copies its rows of features_DB [D, stride] to
// shared memory, as [D, 8 * GROUP]; a label's lanes read neighbouring 16 bytes there, so that at GROUP 8 the eight
// lanes that the hardware serves at once touch each bank once, whatever the feature; at 4, 2 and 1 two, four and eight
// labels share that turn and collide by chance. With SHARED 0, where D is too large, rows are read from global memory,
// that is from L2.
#pragma once
#include "common.cuh"

#ifndef GROUP
#define GROUP 8
#endif
#ifndef SHARED
#define SHARED 1
#endif
#define ROWS (8 * GROUP)  // of the batch, in a block

struct Rows {
    const feature_t* of_lane;  // at feature 0
    int stride;                // from feature to feature
};

// The rows row0 .. row0 + ROWS - 1, zeros past the stride; `kept` is the block's shared memory, D * ROWS features. All
// threads of the block take part: nobody reads the rows taken before any more once this returns.
__device__ __forceinline__ Rows take_rows(const feature_t* features_DB, int row0, int lane, int stride, int num_features,
                                          feature_t* kept) {
#if SHARED
    const int width = 16 / sizeof(feature_t), pieces = ROWS / width;  // of 16 bytes, to a feature
    __syncthreads();
    for (int i = threadIdx.x; i < num_features * pieces; i += blockDim.x) {
        int feature = i / pieces, piece = i % pieces, row = row0 + piece * width;
        uint4 bits = uint4{0, 0, 0, 0};
        if (row < stride) bits = *(const uint4*)(features_DB + (i64)feature * stride + row);
        // In float32 a lane has two pieces: all first ones, then all second ones, so that lanes read neighbours.
        int place = pieces == GROUP ? piece : piece % 2 * GROUP + piece / 2;
        ((uint4*)kept)[feature * pieces + place] = bits;
    }
    __syncthreads();
    return Rows{kept + lane * width, ROWS};
#else
    int row = row0 + 8 * lane;
    return Rows{features_DB + (row < stride ? row : row0), stride};  // rows past the stride stand for nothing: any will do
#endif
}

// The lane's eight rows of a feature.
__device__ __forceinline__ void load_rows(const Rows& rows, u32 feature, float* out) {
#if SHARED
    const feature_t* from = rows.of_lane + feature * ROWS;
#if FEATURE == 0
    float4 low = *(const float4*)from, high = *(const float4*)(from + 4 * GROUP);
    out[0] = low.x; out[1] = low.y; out[2] = low.z; out[3] = low.w;
    out[4] = high.x; out[5] = high.y; out[6] = high.z; out[7] = high.w;
#else
    load8(from, out);
#endif
#else
    load8(rows.of_lane + (i64)feature * rows.stride, out);
#endif
}
