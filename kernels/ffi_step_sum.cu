// Adds up the partial results of the blocks of a fused step, in the order of the blocks: dX and the sum of the losses.
//
//   out[b, d] = sum_s partial[s, b, d]          loss_sum = sum_s partial_loss[s]
//
// partial_SBD is [blocks, B, D], count = B * D; partial_loss is [blocks]. Bound by reading the partial results, which
// are in L2: 26 MB for 132 blocks of 64 x 768.
#include "include/formats.cuh"

#define THREADS 256

extern "C" __global__ void __launch_bounds__(THREADS)
ffi_step_sum(const float* __restrict__ partial_SBD, const float* __restrict__ partial_loss, float* out_BD,
             float* loss_sum, int blocks, i64 count) {
    for (i64 i = (i64)blockIdx.x * THREADS + threadIdx.x; i < count; i += (i64)gridDim.x * THREADS) {
        float sum = 0.0f;
#pragma unroll 8
        for (int block = 0; block < blocks; block++) sum += partial_SBD[block * count + i];
        out_BD[i] = sum;
    }
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        float sum = 0.0f;
        for (int block = 0; block < blocks; block++) sum += partial_loss[block];
        *loss_sum = sum;
    }
}
