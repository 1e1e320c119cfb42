// A tile of labels in shared memory, dense: connections scattered to their features, gradients beside them.
//
// Weights lie as WEIGHT_PARTS x [TILE, PITCH], the features first_feature .. first_feature + SLICE - 1 side by side,
// gradients behind them as GRADIENT_PARTS x [TILE, GRADIENT_PITCH], the block's rows side by side. For the tensor
// cores (TENSOR 1) a number is the sum of its bfloat16 parts, each what the ones before have left, rounded; without
// them it is a float32. What a thread brings to a tile it can load a tile ahead: the multiplication hides the way from
// memory.
#pragma once
#include "common.cuh"

#if TENSOR
typedef u16 tile_t;
#define WEIGHT_PARTS (WEIGHT == 1 ? 1 : 2)
#define PITCH (SLICE + 8)          // rows 16 bytes more than a multiple of 128 apart: ldmatrix without conflicts
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
#define GRADIENT_LOADS (TILE * ROWS / 4)                             // of a tile, four gradients each
#define GRADIENTS_AHEAD ((GRADIENT_LOADS + THREADS - 1) / THREADS)   // of a thread

struct Piece { uint4 index, weight[WEIGHT == 0 ? 2 : 1]; };  // eight connections as they lie in memory

struct Ahead {  // what a thread brings to the next tile
    Piece piece[AHEAD];
    float4 gradient[GRADIENTS_AHEAD];
};

// Where a block reads: everything of it but the tile.
struct Source {
    const float* gradient_LB;
    const weight_t* weight_LK;
    const u16* index_LK;
    i64 begin, end;
    int stride, fan_in, row0, first_feature;
};

__device__ __forceinline__ u32 half_of(const u32* words, int place) {
    return words[place / 2] >> (16 * (place % 2)) & 0xFFFFu;
}

// ---- from memory to registers ---------------------------------------------------------------------------------------

__device__ __forceinline__ bool piece_exists(const Source& from, i64 tile, int number) {
    int pieces = from.fan_in / 8;  // of a label
    return number < TILE * pieces && tile + number / pieces < from.end;
}

__device__ __forceinline__ void load_piece(const Source& from, i64 tile, int number, Piece& out) {
    i64 place = tile * from.fan_in + (i64)number * 8;
    out.index = *(const uint4*)(from.index_LK + place);
    const uint4* weight = (const uint4*)(from.weight_LK + place);
    out.weight[0] = weight[0];
#if WEIGHT == 0
    out.weight[1] = weight[1];
#endif
}

__device__ __forceinline__ void load_ahead(const Source& from, i64 tile, Ahead& out) {
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
        int number = threadIdx.x + a * THREADS;
        if (piece_exists(from, tile, number)) load_piece(from, tile, number, out.piece[a]);
    }
#pragma unroll
    for (int a = 0; a < GRADIENTS_AHEAD; a++) {
        int number = threadIdx.x + a * THREADS, row = from.row0 + number % (ROWS / 4) * 4;
        i64 label = tile + number / (ROWS / 4);
        out.gradient[a] = float4{0.0f, 0.0f, 0.0f, 0.0f};
        if (number < GRADIENT_LOADS && label < from.end && row < from.stride)
            out.gradient[a] = *(const float4*)(from.gradient_LB + (label - from.begin) * from.stride + row);
    }
}

// ---- from registers to the dense tile -------------------------------------------------------------------------------

// The parts of a number, `apart` from each other: each rounds what the ones before have left.
__device__ __forceinline__ void store_parts(float value, int parts, tile_t* to, int apart) {
#if TENSOR
#pragma unroll
    for (int part = 0; part < parts; part++) {
        Bf16 rounded;
        from_float(value, rounded);
        to[part * apart] = rounded.bits;
        value -= to_float(rounded);
    }
#else
    *to = value;
#endif
}

__device__ __forceinline__ void scatter_piece(const Source& from, const Piece& piece, int number, tile_t* weights) {
    u32 index[4] = {piece.index.x, piece.index.y, piece.index.z, piece.index.w};
    u32 bits[8] = {piece.weight[0].x, piece.weight[0].y, piece.weight[0].z, piece.weight[0].w};
#if WEIGHT == 0
    bits[4] = piece.weight[1].x, bits[5] = piece.weight[1].y, bits[6] = piece.weight[1].z, bits[7] = piece.weight[1].w;
#endif
    tile_t* row = weights + number / (from.fan_in / 8) * PITCH;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        u32 feature = half_of(index, j) - (u32)from.first_feature;  // those below the slice wrap round to huge ones
        if (feature >= SLICE) continue;
#if WEIGHT == 0
        store_parts(__uint_as_float(bits[j]), WEIGHT_PARTS, row + feature, WEIGHT_NUMBERS);
#elif WEIGHT == 1 && TENSOR
        row[feature] = (u16)half_of(bits, j);
#else
        weight_t weight;
        weight.bits = (u16)half_of(bits, j);
        store_parts(to_float(weight), WEIGHT_PARTS, row + feature, WEIGHT_NUMBERS);
#endif
    }
}

__device__ __forceinline__ void lay_gradients(const Ahead& ahead, tile_t* gradients) {
#pragma unroll
    for (int a = 0; a < GRADIENTS_AHEAD; a++) {
        int number = threadIdx.x + a * THREADS;
        if (number >= GRADIENT_LOADS) continue;
        tile_t* to = gradients + number / (ROWS / 4) * GRADIENT_PITCH + number % (ROWS / 4) * 4;
#if TENSOR
        float value[4] = {ahead.gradient[a].x, ahead.gradient[a].y, ahead.gradient[a].z, ahead.gradient[a].w};
#pragma unroll
        for (int part = 0; part < GRADIENT_PARTS; part++) {
            Bf16 rounded[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                from_float(value[i], rounded[i]);
                value[i] -= to_float(rounded[i]);
            }
            *(uint2*)(to + part * GRADIENT_NUMBERS) = uint2{rounded[0].bits | (u32)rounded[1].bits << 16,
                                                            rounded[2].bits | (u32)rounded[3].bits << 16};
        }
#else
        *(float4*)to = ahead.gradient[a];
#endif
    }
}
