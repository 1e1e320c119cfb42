// Sums over the GROUP lanes that share a label.
#pragma once
#include "include/formats.cuh"

// Each lane passes its partial sums of GROUP numbers; lane j receives the total of number j. GROUP - 1 exchanges: in
// each round a lane keeps the half that contains its own number, and sends the other half.
__device__ __forceinline__ float reduce_over_lanes(float* partial, int lane) {
#pragma unroll
    for (int half = GROUP / 2; half; half /= 2) {
        bool upper = lane & half;
#pragma unroll
        for (int n = 0; n < half; n++) {
            float sent = upper ? partial[n] : partial[n + half], own = upper ? partial[n + half] : partial[n];
            partial[n] = own + __shfl_xor_sync(FULL_WARP, sent, half);
        }
    }
    return partial[0];
}
