// The fused step: its macros, the parameters of its entry in a struct, and the state of a block between phases.
//
// Two things here exist only to save registers. dX takes 192 of the 255 registers of a thread at B 64, D 768 for the whole
// kernel, so every other value that lives across phases risks a spill:
//   - `StepState` is kept in shared memory;
//   - `thread_index` and `tile_range` hide from the compiler that they return the same each time. It would otherwise
//     compute what follows from them once and hold it in registers; computing it again in each phase is cheaper.
#pragma once
#include "include/cluster.cuh"
#include "include/gradients.cuh"
#include "include/positives.cuh"
#include "include/update.cuh"

#ifndef BATCH
#define BATCH 64            // rows of the batch that a block has, at most: 16, 32 or 64
#endif
#ifndef FEATURES
#define FEATURES 768        // features at most, a multiple of 128
#endif
#ifndef TILE
#define TILE 32             // labels at a time: 16 or 32; 64 with WGMMA
#endif
#ifndef SCORE_ROWS
#define SCORE_ROWS 16       // rows of the batch in a warp's scores; with 32 less is read, but ptxas may spill
#endif
#ifndef GRADIENT_PARTS
#define GRADIENT_PARTS 1    // 1: g rounded stochastically to 16 bits; 2: g as the sum of a high and a low part
#endif
#ifndef BLOCKS
#define BLOCKS 1            // per multiprocessor, at least: this caps the registers
#endif
#ifndef WGMMA
#define WGMMA 0             // 1: the layout of wgmma/
#endif
#ifndef PIPELINED
#define PIPELINED 0         // 1: fewer operations wait for the one before (loads of scores and positives, sums of dW)
#endif

#define THREADS 256
#define WARPS (THREADS / WARP_SIZE)
#define FEATURE_STRIDE (16 * WARPS)                 // in dX and dW a warp computes 16 of every FEATURE_STRIDE features,
#define FEATURE_BLOCKS (FEATURES / FEATURE_STRIDE)  // that is FEATURE_BLOCKS times 16 in all
#define ROW_TILES (BATCH / 16)
#define LABEL_TILES (TILE / 16)
#define KSPLIT (WARPS / (BATCH / SCORE_ROWS))       // a score is the sum of KSPLIT partial sums (split-K)
#define SCORE_LOADS (PIPELINED && FEATURES % (32 * KSPLIT) == 0 ? 2 : 1)  // steps of the scores that load together
#if PIPELINED && BATCH > 16 && !(defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000 && BATCH * FEATURES > 64 * 512)
#define SUM_CHAINS 2                                // sums of products that are added up to dW
#else
#define SUM_CHAINS 1                                // with 192 sums of dX besides, ptxas spills for sm_100
#endif
#define SCORE_PITCH (BATCH + 8)                     // eight labels' pairs of rows are written without bank conflicts
#define LANE_ROWS (BATCH > WARP_SIZE ? 2 : 1)       // rows whose losses a lane computes
#define BITMASK_WORDS ((BATCH + 31) / 32)

#if WEIGHT == 0
#error "unknown WEIGHT: expected 1, 2 or 3, because tensor cores multiply 16-bit numbers"
#endif
#if LOSS == 0
#error "expected a LOSS: a step without a loss has no gradient"
#endif
#if FEATURES % 128
#error "expected a multiple of 128 FEATURES: 16 for each warp"
#endif
#if GRADIENT_PARTS != 1 && GRADIENT_PARTS != 2
#error "unknown GRADIENT_PARTS: expected 1 or 2"
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "ffi_step needs sm_80"
#endif

// ---- the parameters of the entry, grouped ---------------------------------------------------------------------------

struct Batch {
    const half_t* features_DB;  // [num_features, stride], zeros past the batch
    int rows, stride, num_features;
};

struct Layer {
    weight_t* weight_LK;
    const u16* index_LK;
    float* bias_L;              // may be null
    momentum_t* momentum_LK;    // null without MOMENTUM
    int fan_in;
};

// Labels `begin` .. `end` - 1 of the layer; label 0 of the layer has the global number `first_label`.
struct LabelRange { i64 first_label, begin, end; };

struct Parameters {
    Batch batch;
    Layer layer;
    Positives positives;
    LabelRange labels;
    u64 seed;
};

// ---- the state of a block, in shared memory --------------------------------------------------------------------------

struct StepState {
    Sgd sgd;
    i64 step;
    u32 rounding_key;         // of the stochastic rounding of gradients
    int pairs_passed;         // pairs of positives with a label below the current tile
    float bias[TILE];         // of the current tile, before its update
    float loss_sum[THREADS];  // per thread
};

// Fills the block's state, in shared memory.
__device__ __forceinline__ void init_state(StepState& state, const float* scale, const float* rate, const i64* step,
                                           float weight_decay, float momentum_factor, u64 seed) {
    if (threadIdx.x == 0) {
        state.sgd = Sgd{*scale, *rate, weight_decay, MOMENTUM ? momentum_factor : 0.0f};
        state.step = *step;
        state.pairs_passed = 0;
        state.rounding_key = gradient_rounding_key(*step, seed);
    }
    state.loss_sum[threadIdx.x] = 0.0f;
}

// ---- values that are recomputed in each phase -----------------------------------------------------------------------

// The rows of the batch that this block has: block r of a cluster has those from r * BATCH on.
struct RowRange { int first, count; };

__device__ __forceinline__ RowRange row_range(const Batch& batch) {
#if CLUSTER == 1
    return RowRange{0, batch.rows};
#else
    int first = cluster_rank() * BATCH;
    return RowRange{first, max(0, min(BATCH, batch.rows - first))};
#endif
}

__device__ __forceinline__ int thread_index() {
#ifdef XMC_HOST
    return (int)threadIdx.x;
#else
    int number;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(number));
    return number;
#endif
}

// The first label and the first connection of a tile, and how many labels it has (fewer than TILE at the end).
struct TileRange {
    i64 label, connection;
    int num_labels;
};

__device__ __forceinline__ TileRange tile_range(const Parameters& params, int tile) {
#ifndef XMC_HOST
    asm volatile("" : "+r"(tile));
#endif
    i64 label = params.labels.begin + (i64)tile * TILE;
    return TileRange{label, label * params.layer.fan_in, (int)min((i64)TILE, params.labels.end - label)};
}
