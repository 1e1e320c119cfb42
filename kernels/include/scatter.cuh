// A tile of labels in shared memory as a dense matrix: connections are scattered to the columns of their features.
//
//   weights    [WEIGHT_PARTS][TILE][PITCH]             the SLICE features from `first_feature` on, for each label
//   gradients  [GRADIENT_PARTS][TILE][GRADIENT_PITCH]  the block's rows of the batch, for each label
//
// For the tensor cores (TENSOR 1) a number is stored as the sum of its bfloat16 parts: each part is what the parts
// before it leave over, rounded to nearest. Without them it is one float32. A thread loads its contribution to the
// next tile into registers before it multiplies the current one, so that the multiplication hides the latency of
// memory.
#pragma once
#include "include/formats.cuh"

#if TENSOR
typedef u16 tile_t;
#define WEIGHT_PARTS (WEIGHT == 1 || WEIGHT == 3 ? 1 : 2)
#define PITCH (SLICE + 8)  // 16 bytes more than a multiple of 128: ldmatrix reads eight rows without bank conflicts
#define GRADIENT_PITCH (ROWS + 8)
#else
typedef float tile_t;
#define WEIGHT_PARTS 1
#undef GRADIENT_PARTS
#define GRADIENT_PARTS 1
#define PITCH SLICE
#define GRADIENT_PITCH ROWS
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800 && TENSOR
#error "TENSOR 1 needs sm_80"
#endif

#define WEIGHT_NUMBERS (TILE * PITCH)
#define GRADIENT_NUMBERS (TILE * GRADIENT_PITCH)
#define GRADIENT_LOADS (TILE * ROWS / 4)                                  // per tile, four gradients each
#define PREFETCH_GRADIENTS ((GRADIENT_LOADS + THREADS - 1) / THREADS)     // loads per thread

// Eight connections, as stored in memory.
struct Octet {
    uint4 index;
    stored_octet_t weight[WEIGHT == 0 ? 2 : 1];
};

// A thread's contribution to the next tile, in registers.
struct Prefetched {
    Octet octet[PREFETCH_OCTETS];
    float4 gradient[PREFETCH_GRADIENTS];
};

// The arrays, and the part of them that a block reads.
struct Source {
    const float* gradient_LB;
    const weight_t* weight_LK;
    const u16* index_LK;
    i64 begin, end;
    int stride, fan_in, row0, first_feature;
};

// ---- from memory to registers ---------------------------------------------------------------------------------------

__device__ __forceinline__ bool octet_exists(const Source& from, i64 tile, int number) {
    int octets = from.fan_in / 8;  // per label
    return number < TILE * octets && tile + number / octets < from.end;
}

__device__ __forceinline__ void load_octet(const Source& from, i64 tile, int number, Octet& out) {
    i64 offset = tile * from.fan_in + (i64)number * 8;
    out.index = *(const uint4*)(from.index_LK + offset);
    const stored_octet_t* weight = (const stored_octet_t*)(from.weight_LK + offset);
    out.weight[0] = weight[0];
#if WEIGHT == 0
    out.weight[1] = weight[1];
#endif
}

__device__ __forceinline__ void prefetch_tile(const Source& from, i64 tile, Prefetched& out) {
#pragma unroll
    for (int i = 0; i < PREFETCH_OCTETS; i++) {
        int number = threadIdx.x + i * THREADS;
        if (octet_exists(from, tile, number)) load_octet(from, tile, number, out.octet[i]);
    }
#pragma unroll
    for (int i = 0; i < PREFETCH_GRADIENTS; i++) {
        int number = threadIdx.x + i * THREADS, row = from.row0 + number % (ROWS / 4) * 4;
        i64 label = tile + number / (ROWS / 4);
        out.gradient[i] = float4{0.0f, 0.0f, 0.0f, 0.0f};
        if (number < GRADIENT_LOADS && label < from.end && row < from.stride)
            out.gradient[i] = *(const float4*)(from.gradient_LB + (label - from.begin) * from.stride + row);
    }
}

// ---- from registers to the dense tile -------------------------------------------------------------------------------

__device__ __forceinline__ void clear_weights(tile_t* weights) {
    const uint4 zeros = {0, 0, 0, 0};
    for (int i = threadIdx.x; i < WEIGHT_PARTS * WEIGHT_NUMBERS * (int)sizeof(tile_t) / 16; i += THREADS)
        ((uint4*)weights)[i] = zeros;
}

// Stores the parts of a number, `distance` elements apart.
__device__ __forceinline__ void store_parts(float value, int parts, tile_t* to, int distance) {
#if TENSOR
#pragma unroll
    for (int part = 0; part < parts; part++) {
        Bf16 rounded;
        from_float(value, rounded);
        to[part * distance] = rounded.bits;
        value -= to_float(rounded);
    }
#else
    *to = value;
#endif
}

__device__ __forceinline__ void scatter_octet(const Source& from, const Octet& octet, int number, tile_t* weights) {
    u32 index[4] = {octet.index.x, octet.index.y, octet.index.z, octet.index.w};
    uint4 low = halves_of(octet.weight[0]);
    u32 bits[8] = {low.x, low.y, low.z, low.w};
#if WEIGHT == 0
    bits[4] = octet.weight[1].x, bits[5] = octet.weight[1].y, bits[6] = octet.weight[1].z, bits[7] = octet.weight[1].w;
#endif
    tile_t* row = weights + number / (from.fan_in / 8) * PITCH;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        u32 feature = halfword(index, j) - (u32)from.first_feature;  // below the slice it wraps to a huge number
        if (feature >= SLICE) continue;
#if WEIGHT == 0
        store_parts(__uint_as_float(bits[j]), WEIGHT_PARTS, row + feature, WEIGHT_NUMBERS);
#elif WEIGHT != 2 && TENSOR
        row[feature] = (u16)halfword(bits, j);  // already a bfloat16: no conversion
#else
        half_t weight;
        weight.bits = (u16)halfword(bits, j);
        store_parts(to_float(weight), WEIGHT_PARTS, row + feature, WEIGHT_NUMBERS);
#endif
    }
}

// Scatters the tile's connections: the prefetched octets, then those that PREFETCH_OCTETS had no registers for.
__device__ __forceinline__ void scatter_tile(const Source& from, i64 tile, const Prefetched& prefetched,
                                             tile_t* weights) {
#pragma unroll
    for (int i = 0; i < PREFETCH_OCTETS; i++) {
        int number = threadIdx.x + i * THREADS;
        if (octet_exists(from, tile, number)) scatter_octet(from, prefetched.octet[i], number, weights);
    }
    for (int number = threadIdx.x + PREFETCH_OCTETS * THREADS; octet_exists(from, tile, number); number += THREADS) {
        Octet octet;
        load_octet(from, tile, number, octet);
        scatter_octet(from, octet, number, weights);
    }
}

__device__ __forceinline__ void store_gradients(const Prefetched& prefetched, tile_t* gradients) {
#pragma unroll
    for (int i = 0; i < PREFETCH_GRADIENTS; i++) {
        int number = threadIdx.x + i * THREADS;
        if (number >= GRADIENT_LOADS) continue;
        tile_t* to = gradients + number / (ROWS / 4) * GRADIENT_PITCH + number % (ROWS / 4) * 4;
        float4 four = prefetched.gradient[i];
#if TENSOR
        float value[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int part = 0; part < GRADIENT_PARTS; part++) {
            Bf16 rounded[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                from_float(value[j], rounded[j]);
                value[j] -= to_float(rounded[j]);
            }
            *(uint2*)(to + part * GRADIENT_NUMBERS) = uint2{rounded[0].bits | (u32)rounded[1].bits << 16,
                                                            rounded[2].bits | (u32)rounded[3].bits << 16};
        }
#else
        *(float4*)to = four;
#endif
    }
}
