// The gradient of the weights of a range of labels whose groups share their features, and optionally their SGD step in
// place:
//
//   dW[l, k] = sum_b g[b, l] * x[b, index[l / G, k]]
//
// The naive version gathers K features for each label and row. Here the labels of a group read the same ones: K rows of
// x^T are gathered to shared memory once, and the group's dW is one matrix product [K, rows] x [rows, G].
//
// UPDATE 0 writes dW [labels, K] float32. UPDATE 1 takes the step of include/update.cuh instead: weights are stored by
// stochastic rounding, momentum to nearest; the bias moves by -rate * scale * sum_b g. `scale`, `rate` and `step` are read
// from device memory, so that a CUDA graph can be replayed with other values. gradient_PLB is that of
// group_grad_features, multiplied by 1 / `factor`: the range of float16 is small.
//
// The rows of the batch are the inner loop: sums over any number of rows stay in registers until the last one. Then each
// warp turns its sums round in shared memory, so that a lane has eight neighbouring connections of a label (an octet).
//
// Bound by the gathering from L2, and by the random numbers of the update; README.md, "Groups", has the counts.
//
// Grid: x blocks walk the tiles of 64 labels. gradient_PLB and dW start at label `begin`, all else at label 0. A step is
// 64 rows of the batch for SLOTS connections of each of a tile's groups; STAGES - 1 steps are on their way to shared
// memory while one is multiplied.
#include "include/sums.cuh"
#include "include/update.cuh"
#include "group/tiles.cuh"

#ifndef UPDATE
#define UPDATE 0
#endif
#ifndef PARTS
#define PARTS 1
#endif
#if PARTS != 1 && PARTS != 2
#error "unknown PARTS: expected 1 or 2"
#endif

#define SLOTS (2 * GROUP_SIZE)      // GROUPS * SLOTS / 16 = WARPS: a warp has 16 connections of all labels of a group
#define STAGES (PARTS == 1 ? 3 : 2)
#define X_NUMBERS (GROUPS * SLOTS * ROWS)
#define G_NUMBERS (TILE * ROWS)
#define STAGE_NUMBERS (X_NUMBERS + PARTS * G_NUMBERS)
#define LABEL_OCTETS (GROUP_SIZE / 8)
#define PITCH 20                    // 16 connections, and 16 bytes so that eight of four labels are in different banks

typedef float WeightSums[LABEL_OCTETS][4];  // fragments C of 16 connections x 8 labels

// One step: a tile of labels, a slice of their connections, and a block of rows.
struct WeightStep {
    i64 tile;
    int slot0, row0;
};

// The steps of a block: for each of its tiles, for each slice of connections, the blocks of rows.
struct WeightSteps {
    GroupLabels labels;
    const half_t *features_DB, *gradient_PLB;
    int stride;
    half_t* memory;  // STAGES stages of x [GROUPS * SLOTS][ROWS] and g [PARTS][TILE][ROWS]
    int slices, row_blocks, count;
    FeatureCopies<SLOTS> next;  // of the step that is started next

    __device__ __forceinline__ WeightStep step(int number) const {
        int slice = number / row_blocks % slices;
        i64 tile = (i64)blockIdx.x + (i64)(number / row_blocks / slices) * gridDim.x;
        return WeightStep{labels.begin + tile * TILE, slice * SLOTS, number % row_blocks * ROWS};
    }
    __device__ __forceinline__ half_t* x(int number) const { return memory + number % STAGES * STAGE_NUMBERS; }
    __device__ __forceinline__ half_t* g(int number) const { return x(number) + X_NUMBERS; }

    // Starts the copies of a step whose features have been read, if there is one, and reads those of the step after it.
    __device__ __forceinline__ void start(int number) {
        if (number < count) {
            WeightStep to = step(number);
            next.start(GroupFeatures{features_DB, stride, to.row0}, labels, to.tile, to.slot0, x(number));
            i64 last = labels.end - to.tile;  // labels from here on
            for (int i = threadIdx.x; i < PARTS * TILE * ROWS / 8; i += THREADS) {
                int row = i / (ROWS / 8) % TILE, column = i % (ROWS / 8) * 8, part = i / (TILE * ROWS / 8);
                bool exists = row < last && to.row0 + column < stride;
                i64 at = (part * (labels.end - labels.begin) + to.tile - labels.begin + row) * stride + to.row0 + column;
                copy_async<0>(g(number) + part * G_NUMBERS + swizzled<ROWS>(row, column),
                              gradient_PLB + (exists ? at : 0), exists);
            }
            if (number + 1 < count) {
                WeightStep after = step(number + 1);
                next.read(labels, after.tile, after.slot0);
            }
        }
        close_copies();
    }

    __device__ __forceinline__ void start_first() {
        i64 tiles = (labels.end - labels.begin + TILE - 1) / TILE;
        slices = (labels.fan_in + SLOTS - 1) / SLOTS;
        row_blocks = (stride + ROWS - 1) / ROWS;
        i64 own = blockIdx.x < tiles ? (tiles - blockIdx.x + gridDim.x - 1) / gridDim.x : 0;
        count = (int)own * slices * row_blocks;
        if (count) next.read(labels, step(0).tile, 0);
        for (int number = 0; number < STAGES - 1; number++) start(number);
    }

    __device__ __forceinline__ void arrive(int number) {
        wait_for_copies<STAGES - 2>();
        __syncthreads();  // the step is there for all threads, and all have used the step before
        start(number + STAGES - 1);
    }
};

// The connections of a warp: 16 from `slot` of a slice on, of a group of the tile.
__device__ __forceinline__ int warp_group() { return threadIdx.x / WARP_SIZE / (SLOTS / 16); }
__device__ __forceinline__ int warp_slot() { return threadIdx.x / WARP_SIZE % (SLOTS / 16) * 16; }

// Adds the products of a step's rows, for the warp's connections and all labels of their group: dW^T = x^T g.
__device__ __forceinline__ void add_products(WeightSums& sum, const half_t* x, const half_t* g) {
    Element connections = ldmatrix_element(true), labels = ldmatrix_element(false);
    int x_row = warp_group() * SLOTS + warp_slot() + connections.row;
    int g_row = warp_group() * GROUP_SIZE + (GROUP_SIZE == 8 ? labels.row % 8 : labels.row);
#pragma unroll
    for (int k = 0; k < ROWS; k += 16) {
        u32 a[4];
        ldmatrix_x4(a, x + swizzled<ROWS>(x_row, k + connections.column));
#pragma unroll
        for (int part = 0; part < PARTS; part++)
#pragma unroll
            for (int n = 0; n < LABEL_OCTETS; n += 2) {
                u32 b[4];  // eight labels a group: the second half repeats the first, and isn't used
                ldmatrix_x4(b, g + part * G_NUMBERS + swizzled<ROWS>(g_row + 8 * n, k + labels.column));
                mma_16816(sum[n], a, b, half_t());
                if (LABEL_OCTETS > 1) mma_16816(sum[min(n + 1, LABEL_OCTETS - 1)], a, b + 2, half_t());
            }
    }
}

// Where results go.
struct Output {
    float* dweight_LK;
    weight_t* weight_LK;
    momentum_t* momentum_LK;
    float* bias_L;
    Sgd sgd;
    float factor;
    i64 step, first_label;
    u64 seed;
};

// Writes the warp's sums, 16 labels at a time, or takes the step of its weights, and sets the sums to 0. `turned` is the
// warp's place in shared memory: [16 labels][PITCH].
__device__ __forceinline__ void finish(WeightSums& sum, const GroupLabels& labels, const WeightStep& step, float* turned,
                                       const Output& to) {
    int lane = threadIdx.x % WARP_SIZE, slot = step.slot0 + warp_slot() + lane % 2 * 8;
#pragma unroll
    for (int n = 0; n < LABEL_OCTETS; n += 2) {
#pragma unroll
        for (int i = 0; i < (LABEL_OCTETS > 1 ? 8 : 4); i++) {
            int at = min(n + i / 4, LABEL_OCTETS - 1);
            turned[(i / 4 * 8 + lane % 4 * 2 + i % 2) * PITCH + i / 2 % 2 * 8 + lane / 4] = sum[at][i % 4] * to.factor;
            sum[at][i % 4] = 0.0f;
        }
        __syncwarp();
        i64 label = step.tile + warp_group() * GROUP_SIZE + 8 * n + lane / 2;
        if (lane / 2 < GROUP_SIZE && label < labels.end && slot < labels.fan_in) {
            float gradient[8];
            load8(turned + lane / 2 * PITCH + lane % 2 * 8, gradient);
#if UPDATE
            i64 at = label * labels.fan_in + slot;
            update8(to.sgd, gradient, to.weight_LK + at, MOMENTUM ? to.momentum_LK + at : to.momentum_LK,
                    (u64)(to.first_label + label), (u32)(slot / 8), to.step, to.seed);
#else
            store8(to.dweight_LK + (label - labels.begin) * labels.fan_in + slot, gradient);
#endif
        }
        __syncwarp();  // `turned` has been read
    }
}

#if UPDATE
// Adds the gradients of a step's rows to the thread's sum of a label; four neighbours have a label, 16 rows each.
__device__ __forceinline__ float add_bias(float sum, const half_t* g) {
#pragma unroll
    for (int part = 0; part < PARTS; part++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float value[8];
            load8(g + part * G_NUMBERS + swizzled<ROWS>(threadIdx.x / 4, threadIdx.x % 4 * 16 + 8 * half), value);
#pragma unroll
            for (int i = 0; i < 8; i++) sum += value[i];
        }
    return sum;
}

__device__ __forceinline__ void update_bias(float sum, const GroupLabels& labels, i64 tile, const Output& to) {
    sum += __shfl_xor_sync(FULL_WARP, sum, 1);
    sum += __shfl_xor_sync(FULL_WARP, sum, 2);
    i64 label = tile + threadIdx.x / 4;
    if (threadIdx.x % 4 == 0 && label < labels.end) to.bias_L[label] -= to.sgd.rate * to.sgd.scale * to.factor * sum;
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, 2)
group_grad_weight(const half_t* __restrict__ gradient_PLB, const half_t* __restrict__ features_DB,
                  const u16* __restrict__ index_RK, float* dweight_LK, weight_t* weight_LK, momentum_t* momentum_LK,
                  float* bias_L, const float* __restrict__ scale, const float* __restrict__ rate,
                  const i64* __restrict__ step, float weight_decay, float momentum_factor, float factor, u64 seed,
                  i64 first_label, i64 begin, i64 end, int stride, int fan_in) {
    DYNAMIC_SHARED(memory);
    __shared__ uint4 turned[WARPS][16 * PITCH / 4];  // float, aligned to 16 bytes
    WeightSteps steps = {{weight_LK, index_RK, begin, end, fan_in}, features_DB, gradient_PLB, stride, (half_t*)memory};
    steps.start_first();
    Output output = {dweight_LK, weight_LK, momentum_LK, bias_L, {}, factor, 0, first_label, seed};
#if UPDATE
    output.sgd = Sgd{*scale, *rate, weight_decay, MOMENTUM ? momentum_factor : 0.0f};
    output.step = *step;
    float bias_sum = 0.0f;
#endif
    WeightSums sum = {};
    for (int i = 0; i < steps.count; i++) {
        steps.arrive(i);
        add_products(sum, steps.x(i), steps.g(i));
        WeightStep at = steps.step(i);
        bool last = at.row0 + ROWS >= stride;
#if UPDATE
        if (bias_L && at.slot0 == 0) {
            bias_sum = add_bias(bias_sum, steps.g(i));
            if (last) {
                update_bias(bias_sum, steps.labels, at.tile, output);
                bias_sum = 0.0f;
            }
        }
#endif
        if (last) finish(sum, steps.labels, at, (float*)turned[threadIdx.x / WARP_SIZE], output);
    }
}
