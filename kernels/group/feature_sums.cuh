// dX^T in the shared memory of a block, float32 [features][WIDTH rows of the batch], and how a warp adds to it.
//
// No two lanes of an access share a bank, whatever the features of a group. In a fragment of sums (include/mma.cuh) four
// lanes hold a connection, two rows each, for each eight rows. So two fragments give a lane four rows of it, which are
// stored next to each other, as one access of 16 bytes: row 8 t + 2 q + e of 16 rows is at place 4 q + 2 t + e. The
// hardware serves eight lanes at a time, that is two connections of 64 bytes, whose features are at random. With 32
// rows a warp, a feature has 128 bytes, all banks: the first connection begins with the first 16 rows and the second
// one with the last 16.
#pragma once
#include "include/mma.cuh"

// Adds a warp's sums, fragments C of 16 connections x 8 rows from row `row0` on, to their features. The features of the
// connections are distinct. dX^T has the `count` features from `first` on; others are skipped.
template <int WIDTH, int OCTETS>
__device__ __forceinline__ void add_connections(float* dx, const float (&sum)[OCTETS][4], const u16* features, int row0,
                                                int first, int count) {
    const int halves = OCTETS / 2;  // of 16 rows
    int lane = threadIdx.x % WARP_SIZE;
    bool second = halves == 2 && lane >> 2 & 1;  // begins with the last 16 rows
#pragma unroll
    for (int upper = 0; upper < 2; upper++) {
        u32 place = (u32)features[lane / 4 + 8 * upper] - (u32)first;
        if (place >= (u32)count) continue;
#pragma unroll
        for (int turn = 0; turn < halves; turn++) {
            int half = second ? halves - 1 - turn : turn;
            float4* at = (float4*)(dx + place * WIDTH + row0 + half * 16 + lane % 4 * 4);
            float4 total = *at;
            float value[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                int i = 2 * upper + j % 2;
                float early = sum[2 * turn + j / 2][i], late = sum[2 * (halves - 1 - turn) + j / 2][i];
                value[j] = second ? late : early;
            }
            *at = float4{total.x + value[0], total.y + value[1], total.z + value[2], total.w + value[3]};
        }
    }
}

// Pair i of dX^T, two neighbouring rows of feature i / (WIDTH / 2), and its place in an array [features, stride].
template <int WIDTH>
struct RowPair {
    float2* own;
    i64 offset;
    bool exists;

    __device__ __forceinline__ RowPair(float* dx, int i, int row0, int stride, int first, int num_features) {
        int feature = first + i / (WIDTH / 2), unit = i % (WIDTH / 2);
        int row = row0 + unit / 8 * 16 + unit % 2 * 8 + unit % 8 / 2 * 2;
        own = (float2*)dx + i;
        offset = (i64)feature * stride + row;
        exists = feature < num_features && row < stride;
    }
};
