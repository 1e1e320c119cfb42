// The gradient of the features from a range of labels:
//
//   dX[b, d] = sum_l g[b, l] * w[l, d]      w: the weights as a dense matrix, 0 where a label has no connection
//
// The naive version adds g[b, l] * weight[l, k] to dX[b, index[l, k]] for every connection and row: a scattered
// read-modify-write each time, with atomics across blocks. Here instead: load as sparse, compute as dense.
//
// A block owns ROWS rows of the batch, SLICE features and one part ("split") of the tiles of TILE labels. For each tile
// it zeroes a dense [TILE, SLICE] of weights in shared memory, scatters the connections of its slice there, stores the
// tile's gradients next to it and multiplies. The products stay in registers over all tiles of the block and are
// written once, to partial[split] [B, D]. `ffi_grad_features_sum` adds the splits in their order: no atomics, and the
// same bits each time. `add` 1 continues from what `partial` holds, so that chunks of labels share one workspace and
// are summed once.
//
// TENSOR 1: tensor cores, always in bfloat16, because of its range: the gradient of a mean over B x L scores is too
// small for float16. A number is the sum of one or two bfloat16 parts, high and low. A bfloat16 weight is one part, a
// float16 weight two (exactly), a float32 weight two (to 2^-17). A gradient is GRADIENT_PARTS parts, by default 2: one
// part would keep 8 bits of it. The squared hinge of a score s near 0 has the derivative 2 + 2s, bfloat16 has steps of
// 1/64 there, and every |s| < 1/128 would count as 0: an error that doesn't average out over labels. The product of two
// low parts (2^-18) is omitted.
// TENSOR 0: float32 throughout, without tensor cores; sm_75 has no bfloat16.
//
// Bound by shared memory; README.md, "Cycle counts", has the counts. A second block per multiprocessor fills the gaps
// between barriers.
//
// Grid: x slices, y splits, z blocks of rows, so that blocks that read the same weights run at the same time: one reads
// them from device memory, the others find them in L2. A thread has 64 sums with the defaults.
#ifndef TENSOR
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define TENSOR 0
#else
#define TENSOR 1
#endif
#endif
#ifndef GRADIENT_PARTS
#define GRADIENT_PARTS 2
#endif
#if GRADIENT_PARTS != 1 && GRADIENT_PARTS != 2
#error "unknown GRADIENT_PARTS: expected 1 or 2"
#endif
#ifndef ROWS
#define ROWS 64    // of the batch: 16, 32 or 64
#endif
#ifndef SLICE
#define SLICE 256  // features; SLICE / (THREADS / 32) a multiple of 16
#endif
#ifndef TILE
#define TILE 32    // labels, a multiple of 16
#endif
#ifndef THREADS
#define THREADS 256
#endif
#ifndef BLOCKS
#define BLOCKS 2   // per multiprocessor, at least: this caps the registers
#endif
// Octets of the next tile that a thread holds in registers.
#define PREFETCH_OCTETS ((WEIGHT == 1 || WEIGHT == 3) && TENSOR ? 2 : 1)
#include "include/mma.cuh"
#include "include/scatter.cuh"

// ---- the product of a tile ------------------------------------------------------------------------------------------

#define SUMS (ROWS * SLICE / THREADS)  // per thread
#if SUMS < 16 || SLICE % (THREADS / 2) || ROWS % 16 || TILE % 16
#error "ROWS, SLICE, TILE and THREADS don't match: see the comments at their defaults"
#endif

#if TENSOR
#define WARP_FEATURES (SLICE / (THREADS / WARP_SIZE))
#define ROW_TILES (ROWS / 16)
#define FEATURE_TILES (WARP_FEATURES / 8)

// A warp computes all rows and WARP_FEATURES features; sum[4 * (m * FEATURE_TILES + n) ..] is a fragment C of mma.cuh.
__device__ __forceinline__ void multiply(const tile_t* weights, const tile_t* gradients, float* sum) {
    int lane = threadIdx.x % WARP_SIZE, warp = threadIdx.x / WARP_SIZE;
    int row = lane % 8, matrix = lane / 8;  // which row of which 8 x 8 matrix this lane gives the address of
    // Both are stored label by label, but a fragment holds neighbouring labels in one register: loads are transposed.
    const tile_t* right = weights + (matrix % 2 * 8 + row) * PITCH + warp * WARP_FEATURES + matrix / 2 * 8;
    const tile_t* left = gradients + (matrix / 2 * 8 + row) * GRADIENT_PITCH + matrix % 2 * 8;
#pragma unroll 1  // fragments of two steps at once don't fit the registers
    for (int k = 0; k < TILE; k += 16)
#pragma unroll
        for (int part = 0; part < WEIGHT_PARTS; part++) {
            u32 b[FEATURE_TILES][2];
#pragma unroll
            for (int n = 0; n < FEATURE_TILES; n += 2)
                ldmatrix_x4_transposed(b[n], right + part * WEIGHT_NUMBERS + k * PITCH + n * 8);
#pragma unroll
            for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
                for (int other = 0; other < GRADIENT_PARTS && other + part < 2; other++) {  // skips low x low
                    u32 a[4];
                    ldmatrix_x4_transposed(a, left + other * GRADIENT_NUMBERS + k * GRADIENT_PITCH + m * 16);
#pragma unroll
                    for (int n = 0; n < FEATURE_TILES; n++)
                        mma_16816(sum + 4 * (m * FEATURE_TILES + n), a, b[n], Bf16{});
                }
        }
}

// The row and the feature of sum[i], within the block.
__device__ __forceinline__ int row_of(int i) {
    return i / 4 / FEATURE_TILES * 16 + i / 2 % 2 * 8 + threadIdx.x % WARP_SIZE / 4;
}
__device__ __forceinline__ int feature_of(int i) {
    return threadIdx.x / WARP_SIZE * WARP_FEATURES + i / 4 % FEATURE_TILES * 8 + threadIdx.x % 4 * 2 + i % 2;
}
#else
#define OWN_ROWS (SUMS < 32 ? 4 : 8)
#define OWN_FEATURES (SUMS / OWN_ROWS)      // in groups of four
#define ROW_THREADS (SLICE / OWN_FEATURES)  // threads that share their rows

// A thread computes OWN_ROWS rows and OWN_FEATURES features; sum[OWN_ROWS * feature + row].
__device__ __forceinline__ void multiply(const tile_t* weights, const tile_t* gradients, float* sum) {
    const float* left = gradients + threadIdx.x / ROW_THREADS * OWN_ROWS;
    const float* right = weights + threadIdx.x % ROW_THREADS * 4;
#pragma unroll 2
    for (int k = 0; k < TILE; k++) {
        float g[OWN_ROWS];
#pragma unroll
        for (int r = 0; r < OWN_ROWS; r += 4) {
            float4 four = *(const float4*)(left + k * GRADIENT_PITCH + r);
            g[r] = four.x, g[r + 1] = four.y, g[r + 2] = four.z, g[r + 3] = four.w;
        }
#pragma unroll
        for (int f = 0; f < OWN_FEATURES; f += 4) {
            float4 four = *(const float4*)(right + k * PITCH + f * ROW_THREADS);
            float w[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int i = 0; i < 4 * OWN_ROWS; i++) sum[OWN_ROWS * f + i] += g[i % OWN_ROWS] * w[i / OWN_ROWS];
        }
    }
}

__device__ __forceinline__ int row_of(int i) { return threadIdx.x / ROW_THREADS * OWN_ROWS + i % OWN_ROWS; }
__device__ __forceinline__ int feature_of(int i) {
    return i / OWN_ROWS / 4 * 4 * ROW_THREADS + threadIdx.x % ROW_THREADS * 4 + i / OWN_ROWS % 4;
}
#endif

// ---- entries --------------------------------------------------------------------------------------------------------

// Writes the block's sums, or adds them, to partial[split].
__device__ __forceinline__ void write_sums(const float* sum, const Source& from, float* partial_SBD, int batch,
                                           int num_features, int add) {
#pragma unroll
    for (int i = 0; i < SUMS; i++) {
        int row = from.row0 + row_of(i), feature = from.first_feature + feature_of(i);
        if (row >= batch || feature >= num_features) continue;
        float* to = partial_SBD + ((i64)blockIdx.y * batch + row) * num_features + feature;
        *to = add ? *to + sum[i] : sum[i];
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
ffi_grad_features(const float* __restrict__ gradient_LB, const weight_t* __restrict__ weight_LK,
                  const u16* __restrict__ index_LK, float* partial_SBD, i64 begin, i64 end, int batch, int stride,
                  int num_features, int fan_in, int add) {
    DYNAMIC_SHARED(memory);
    tile_t* weights = (tile_t*)memory;
    tile_t* gradients = weights + WEIGHT_PARTS * WEIGHT_NUMBERS;
    Source from = {gradient_LB, weight_LK, index_LK, begin, end,
                   stride, fan_in, (int)blockIdx.z * ROWS, (int)blockIdx.x * SLICE};
    float sum[SUMS];
#pragma unroll
    for (int i = 0; i < SUMS; i++) sum[i] = 0.0f;

    Prefetched prefetched;
    i64 tile = begin + (i64)blockIdx.y * TILE, next;
    prefetch_tile(from, tile, prefetched);
    for (; tile < end; tile = next) {
        clear_weights(weights);
        store_gradients(prefetched, gradients);
        __syncthreads();  // all of the tile is zero before anything is scattered
        scatter_tile(from, tile, prefetched, weights);
        next = tile + (i64)gridDim.y * TILE;
        prefetch_tile(from, next, prefetched);
        __syncthreads();
        multiply(weights, gradients, sum);
        __syncthreads();  // the tile has been read: it may be zeroed
    }
    write_sums(sum, from, partial_SBD, batch, num_features, add);
}

// out[i] = sum of partial[split][i] over the splits, in their order; any grid.
extern "C" __global__ void __launch_bounds__(256)
ffi_grad_features_sum(const float* __restrict__ partial_SBD, float* out_BD, int splits, i64 count) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) {
        float sum = 0.0f;
#pragma unroll 8
        for (int split = 0; split < splits; split++) sum += partial_SBD[split * count + i];
        out_BD[i] = sum;
    }
}
