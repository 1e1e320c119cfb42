// The gradient of the features from a range of labels: dX[b, d] = sum_l g[b, l] * w[l, d], w the weights as a dense
// matrix.
//
// Load as sparse, compute as dense. A block owns ROWS rows of the batch, SLICE features and a share ("split") of the
// tiles of TILE labels. For each tile it zeroes a dense [TILE, SLICE] of weights in shared memory, scatters the
// connections that lie in its slice, lays the tile's gradients beside it and multiplies; the products stay in
// registers over all its tiles, and are written once, to partial[split] [B, D]. `ffi_grad_features_sum` adds the
// splits in their order: no atomics, the same bits each time. `add` 1 goes on from what `partial` holds, so that
// chunks of labels share one workspace and are summed up once.
//
// TENSOR 1: tensor cores, in bfloat16 whatever the formats, for its range: a gradient of a mean over B x L labels is
// below float16's. A number is the sum of one or two bfloat16 parts, high and low: weights of bfloat16 are one, of
// float16 two (exactly), of float32 two (to 2^-17); gradients are GRADIENT_PARTS, by default 2. One part would keep 8
// bits of the gradient: the squared hinge of a score s near 0 is 2 + 2s, and with steps of 1/64 there every |s| <
// 1/128 would count as 0: an error that doesn't average out over labels. The product of two low parts (2^-18) is left
// out. TENSOR 0: float32 throughout, in the plain units; sm_75 has no bfloat16.
//
// Counted for a tile of 32 labels, B 64, K 128, SLICE 256 of D 768, bfloat16, in cycles of 128 bytes of shared memory:
// zero 132; scatter 280 (of 4,096 connections read 1,365 are stored, 11 lanes at random, 2.2 to a bank); gradients 72;
// fragments 640 (each warp reads all of the gradients). 512 products of 16 x 8 x 16: 512 cycles of an H100's tensor
// cores at the least. So about 1,100 cycles of shared memory; the next tile's weights and gradients are on their way
// to registers meanwhile, and a second block fills the gaps between barriers.
//
// Grid: x slices, y splits, z blocks of rows: blocks that read the same weights run at the same time.
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
#define BLOCKS 2   // of a multiprocessor, at least: what the registers must leave room for
#endif
#define AHEAD (WEIGHT == 1 && TENSOR ? 2 : 1)  // pieces of eight connections a thread loads a tile ahead
#include "mma.cuh"
#include "scatter.cuh"

// ---- the product of a tile ------------------------------------------------------------------------------------------

#define SUMS (ROWS * SLICE / THREADS)  // of a thread
#if SUMS < 16 || SLICE % (THREADS / 2) || ROWS % 16 || TILE % 16
#error "ROWS, SLICE, TILE and THREADS don't fit each other"
#endif

#if TENSOR
#define WARP_FEATURES (SLICE / (THREADS / WARP_SIZE))
#define ROW_TILES (ROWS / 16)
#define FEATURE_TILES (WARP_FEATURES / 8)

// A warp has all rows and WARP_FEATURES features; sum[4 * (m * FEATURE_TILES + n) ..] is a fragment of mma.cuh.
__device__ __forceinline__ void multiply(const tile_t* weights, const tile_t* gradients, float* sum) {
    int lane = threadIdx.x % WARP_SIZE, warp = threadIdx.x / WARP_SIZE;
    int row = lane % 8, matrix = lane / 8;  // of the four 8 x 8 matrices, which this lane's address is for
    // Both lie label by label, and products want neighbouring labels side by side: all loads are transposed.
    const tile_t* right = weights + (matrix % 2 * 8 + row) * PITCH + warp * WARP_FEATURES + matrix / 2 * 8;
    const tile_t* left = gradients + (matrix / 2 * 8 + row) * GRADIENT_PITCH + matrix % 2 * 8;
#pragma unroll 1  // fragments of two steps at once don't fit
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
                for (int mine = 0; mine < GRADIENT_PARTS && mine + part < 2; mine++) {
                    u32 a[4];
                    ldmatrix_x4_transposed(a, left + mine * GRADIENT_NUMBERS + k * GRADIENT_PITCH + m * 16);
#pragma unroll
                    for (int n = 0; n < FEATURE_TILES; n++)
                        mma_16816(sum + 4 * (m * FEATURE_TILES + n), a, b[n], Bf16{});
                }
        }
}

// Where sum[i] belongs, in the block.
__device__ __forceinline__ int row_of(int i) {
    return i / 4 / FEATURE_TILES * 16 + i / 2 % 2 * 8 + threadIdx.x % WARP_SIZE / 4;
}
__device__ __forceinline__ int feature_of(int i) {
    return threadIdx.x / WARP_SIZE * WARP_FEATURES + i / 4 % FEATURE_TILES * 8 + threadIdx.x % 4 * 2 + i % 2;
}
#else
#define OWN_ROWS (SUMS < 32 ? 4 : 8)
#define OWN_FEATURES (SUMS / OWN_ROWS)   // in groups of four
#define ABREAST (SLICE / OWN_FEATURES)   // threads that share their rows

// A thread has OWN_ROWS rows and OWN_FEATURES features; sum[OWN_ROWS * feature + row].
__device__ __forceinline__ void multiply(const tile_t* weights, const tile_t* gradients, float* sum) {
    const float* left = gradients + threadIdx.x / ABREAST * OWN_ROWS;
    const float* right = weights + threadIdx.x % ABREAST * 4;
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
            float4 four = *(const float4*)(right + k * PITCH + f * ABREAST);
            float w[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int i = 0; i < 4 * OWN_ROWS; i++) sum[OWN_ROWS * f + i] += g[i % OWN_ROWS] * w[i / OWN_ROWS];
        }
    }
}

__device__ __forceinline__ int row_of(int i) { return threadIdx.x / ABREAST * OWN_ROWS + i % OWN_ROWS; }
__device__ __forceinline__ int feature_of(int i) {
    return i / OWN_ROWS / 4 * 4 * ABREAST + threadIdx.x % ABREAST * 4 + i / OWN_ROWS % 4;
}
#endif

// ---- entries --------------------------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
ffi_grad_features(const float* gradient_LB, const weight_t* weight_LK, const u16* index_LK, float* partial_SBD,
                  i64 begin, i64 end, int batch, int stride, int num_features, int fan_in, int add) {
    DYNAMIC_SHARED(memory);
    tile_t* weights = (tile_t*)memory;
    tile_t* gradients = weights + WEIGHT_PARTS * WEIGHT_NUMBERS;
    Source from = {gradient_LB, weight_LK, index_LK, begin, end,
                   stride, fan_in, (int)blockIdx.z * ROWS, (int)blockIdx.x * SLICE};
    float sum[SUMS];
#pragma unroll
    for (int i = 0; i < SUMS; i++) sum[i] = 0.0f;

    Ahead ahead;
    i64 tile = begin + (i64)blockIdx.y * TILE, next;
    load_ahead(from, tile, ahead);
    for (; tile < end; tile = next) {
        const uint4 zeros = {0, 0, 0, 0};
        for (int i = threadIdx.x; i < WEIGHT_PARTS * WEIGHT_NUMBERS * (int)sizeof(tile_t) / 16; i += THREADS)
            ((uint4*)weights)[i] = zeros;
        lay_gradients(ahead, gradients);
        __syncthreads();
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            int number = threadIdx.x + a * THREADS;
            if (piece_exists(from, tile, number)) scatter_piece(from, ahead.piece[a], number, weights);
        }
        for (int number = threadIdx.x + AHEAD * THREADS; piece_exists(from, tile, number); number += THREADS) {
            Piece piece;
            load_piece(from, tile, number, piece);
            scatter_piece(from, piece, number, weights);
        }
        next = tile + (i64)gridDim.y * TILE;
        load_ahead(from, next, ahead);
        __syncthreads();
        multiply(weights, gradients, sum);
        __syncthreads();  // before the tile is zeroed
    }

#pragma unroll
    for (int i = 0; i < SUMS; i++) {
        int row = from.row0 + row_of(i), feature = from.first_feature + feature_of(i);
        if (row >= batch || feature >= num_features) continue;
        float* to = partial_SBD + ((i64)blockIdx.y * batch + row) * num_features + feature;
        *to = add ? *to + sum[i] : sum[i];
    }
}

// out[i] = sum over the splits of partial[split][i], in their order; any grid.
extern "C" __global__ void __launch_bounds__(256)
ffi_grad_features_sum(const float* partial_SBD, float* out_BD, int splits, i64 count) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) {
        float sum = 0.0f;
#pragma unroll 8
        for (int split = 0; split < splits; split++) sum += partial_SBD[split * count + i];
        out_BD[i] = sum;
    }
}
