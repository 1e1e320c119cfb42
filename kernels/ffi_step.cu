// The fused step on tensor cores: load as sparse, compute as dense. Scores, loss, dX, dW and update in one pass.
//
// A persistent block walks tiles of TILE labels. It zeroes a dense tile W [TILE, FEATURES] in shared memory, scatters the
// labels' weights into it, and multiplies:
//   scores^T = W x^T          [TILE, BATCH]      a warp SCORE_ROWS rows and one of KSPLIT shares of the features
//   dX      += g W            [BATCH, FEATURES]  in registers from the first tile to the last, a warp its features
//   dW       = g^T x          [TILE, FEATURES]   written over W as float32, and sampled at the indices for the update
// where g is the gradient of the loss, in the weights' format: GRADIENT_PARTS 2 as the sum of a high and a low part;
// 1 rounded at random by 16 bits, up or down with the odds of the part cut off, so that the error has mean 0 and averages
// out over labels (to nearest it would not: the squared hinge of a score s near 0 is 2 + 2s, and with bfloat16's steps of
// 1/64 there every |s| < 1/128 would count as 0). float16 takes g times GRADIENT_SCALE, for its range.
// Weights, indices and momentum are read from device memory once (the update finds them in L2) and written once.
//
// Shared memory: x [FEATURES, BATCH] as given, transposed; W or dW; g [GRADIENT_PARTS, TILE, BATCH]; bits of positives.
// Every array that ldmatrix reads has its 16-byte pieces exchanged (`swizzled`, `tile_place`) so that eight rows of a
// matrix lie in different banks; that costs no padding, and 64 x 768 then fits beside a tile of 32.
//
// Counted for a tile of 32 labels, B 64, D 768, K 128, in cycles of 128 bytes of shared memory: zero 384, scatter 450 (32
// lanes at random meet in a bank 3.5 times), scores 2,304 and 256 for their parts, dX 640, dW 1,792 and 768 written, and
// 450 to sample: 7,000. Products 16 x 8 x 16: 768 for the scores and 1,536 for each part of g: 3,700 cycles of an H100
// with one part, 6,200 with two. Gathering takes 4,096 cycles of shared memory for each of the three products, and 6,500
// to issue its instructions. What would lower the traffic, larger blocks of a product in a warp, has no registers left:
// dX takes 192 of 255. The phases are kept apart by barriers, so that their times add up: about 9,000 cycles.
//
// Needs sm_80. BATCH rows of the batch at most, FEATURES features at most (a multiple of 128); registers hold
// BATCH x FEATURES / THREADS sums a thread. README.md has the table of what fits where.
#include "mma.cuh"
#include "step.cuh"

#ifndef BATCH
#define BATCH 64            // rows of the batch at most: 16, 32 or 64
#endif
#ifndef FEATURES
#define FEATURES 768        // at most
#endif
#ifndef TILE
#define TILE 32             // labels at a time: 16 or 32
#endif
#ifndef SCORE_ROWS
#define SCORE_ROWS 16       // of the batch, in a warp's scores; 32 read less, but ptxas may spill for want of registers
#endif
#ifndef GRADIENT_PARTS
#define GRADIENT_PARTS 1
#endif
#ifndef BLOCKS
#define BLOCKS 1            // of a multiprocessor, at least: what the registers must leave room for
#endif

#define THREADS 256
#define WARPS (THREADS / WARP_SIZE)
#define STRIDE (16 * WARPS)                              // a warp computes 16 of so many features of dX and dW ...
#define OWN (FEATURES / STRIDE)                          // ... so many times
#define ROW_TILES (BATCH / 16)
#define LABEL_TILES (TILE / 16)
#define KSPLIT (WARPS / (BATCH / SCORE_ROWS))            // shares of the features in a score
#define SCORE_PITCH (BATCH + 8)                          // float32: eight labels' pairs of rows without conflicts
#define WIDE (GRADIENT_PARTS == 2 && OWN % 2 == 0 ? 2 : 1)
#define LANE_ROWS (BATCH > WARP_SIZE ? 2 : 1)            // whose losses a lane takes
#define MARK_WORDS ((BATCH + 31) / 32)
#define W_BYTES (TILE * FEATURES * 2)
#define SCORE_BYTES (KSPLIT * TILE * SCORE_PITCH * 4)
#define WORK_BYTES (W_BYTES + SCORE_BYTES > TILE * FEATURES * 4 ? W_BYTES + SCORE_BYTES : TILE * FEATURES * 4)

#if WEIGHT == 0
#error "tensor cores take 16-bit weights"
#endif
#if FEATURES % 128
#error "each warp wants a multiple of 16 features"
#endif
#if WEIGHT == 1
#define GRADIENT_SCALE 1.0f
#elif LOSS == 1
#define GRADIENT_SCALE 64.0f      // gradients to 1,023, in steps of 2^-30 at least
#else
#define GRADIENT_SCALE 16384.0f   // gradients to 1, in steps of 2^-38 at least
#endif

typedef float Features[ROW_TILES][2 * OWN][4];  // dX of a warp: fragments of 16 rows x 8 features

// What is kept in shared memory, since dX wants the registers.
struct Kept {
    Sgd by;
    i64 step;
    u32 key;
    int pairs;              // of positives, passed by the block's tiles so far
    float bias[TILE];       // of this tile
    float losses[THREADS];  // of a thread
};

// threadIdx.x, read anew at each call: what follows from it is cheaper to compute again in each phase than to keep in
// registers over all of them, as the compiler would.
__device__ __forceinline__ int thread() {
#ifdef XMC_HOST
    return (int)threadIdx.x;
#else
    int number;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(number));
    return number;
#endif
}

// A tile's first label and first connection in the arrays, and how many labels it has. Computed anew in each phase, as
// `thread` is, from the number of the tile, all that is kept of it.
struct Place {
    i64 label, connection;
    int labels;
};

__device__ __forceinline__ Place place_of(int number, i64 begin, i64 end, int fan_in) {
#ifndef XMC_HOST
    asm volatile("" : "+r"(number));
#endif
    i64 label = begin + (i64)number * TILE;
    return Place{label, label * fan_in, (int)min((i64)TILE, end - label)};
}

// ---- where things lie in shared memory; numbers of 16 bits -------------------------------------------------------------

// Rows of BATCH: eight successive rows at one column fall into eight different sixteens of bytes. Sixteen rows on all is
// the same, so that a multiple of 16 rows may be added, and 16 or 32 columns by exclusive or.
__device__ __forceinline__ int swizzled(int place) { return place ^ ((place >> 6 & (BATCH / 8 - 1)) << 3); }

// Of the dense tile: what is a multiple of 64 columns may be added, 16 or 32 by exclusive or.
__device__ __forceinline__ int tile_place(int label, int feature) {
    return label * FEATURES + (feature ^ ((label & 7) << 3));
}

// dW in float32: four labels' pairs of features, written at once, fall into different banks.
__device__ __forceinline__ int staged_place(int label, int feature) {
    return label * FEATURES + (feature ^ ((label & 3) << 3));
}

// A lane's part in ldmatrix_x4 of a 16 x 16 block of a matrix. The four 8 x 8 go through the rows first (`down`), or
// through the columns first.
struct Corner { int row, column; };

__device__ __forceinline__ Corner corner(int lane, bool down) {
    int first = lane >> 3 & 1, second = lane >> 4;
    return Corner{(down ? first : second) * 8 + lane % 8, (down ? second : first) * 8};
}

// ---- the phases of a tile ----------------------------------------------------------------------------------------------

// features_DB [num_features, stride] to shared memory, zeros beside it.
__device__ __forceinline__ void take_features(weight_t* x, const weight_t* features_DB, int stride, int num_features) {
    for (int i = 8 * thread(); i < FEATURES * BATCH; i += 8 * THREADS) {
        int feature = i / BATCH, row = i % BATCH;
        uint4 bits = uint4{0, 0, 0, 0};
        if (feature < num_features && row < stride) bits = *(const uint4*)(features_DB + (i64)feature * stride + row);
        *(uint4*)(x + swizzled(i)) = bits;
    }
}

// Has the tile of labels from `label` on brought to L2, where there is one.
__device__ __forceinline__ void prefetch_tile(const weight_t* weight_LK, const u16* index_LK,
                                              const momentum_t* momentum_LK, const float* bias_L, i64 label, i64 end,
                                              int fan_in) {
    i64 last = min(label + TILE, end) * fan_in;
    for (i64 i = label * fan_in + 64 * thread(); i < last; i += 64 * THREADS) {
        prefetch(weight_LK + i);
        prefetch(index_LK + i);
#if MOMENTUM
        prefetch(momentum_LK + i);
#endif
    }
    if (bias_L && label < end && thread() == 0) prefetch(bias_L + label);
}

// The tile's weights as a dense matrix; `labels` of them exist. Each warp fills its own rows.
__device__ __forceinline__ void fill_tile(weight_t* tile, const weight_t* weight, const u16* index, int labels,
                                          int fan_in) {
    const int share = (TILE + WARPS - 1) / WARPS;
    int lane = thread() % WARP_SIZE, row0 = thread() / WARP_SIZE * share;
    int rows = min(share, TILE - row0), octets = fan_in / 8;
    int count = min(rows, labels - row0) * octets;  // of eight connections; not above 0 where no label is left
    uint4 weights = uint4{0, 0, 0, 0}, places = weights;
    i64 first = (i64)row0 * fan_in;
    if (lane < count) {  // on their way while the tile is zeroed
        weights = *(const uint4*)(weight + first + 8 * lane);
        places = *(const uint4*)(index + first + 8 * lane);
    }
    for (int i = lane; i < rows * (FEATURES / 8); i += WARP_SIZE)
        *(uint4*)(tile + row0 * FEATURES + 8 * i) = uint4{0, 0, 0, 0};
    __syncwarp();
    for (int i = lane; i < count; i += WARP_SIZE) {
        u32 w[4] = {weights.x, weights.y, weights.z, weights.w}, at[4] = {places.x, places.y, places.z, places.w};
        if (i + WARP_SIZE < count) {
            weights = *(const uint4*)(weight + first + 8 * (i + WARP_SIZE));
            places = *(const uint4*)(index + first + 8 * (i + WARP_SIZE));
        }
        int label = row0 + i / octets;
#pragma unroll
        for (int j = 0; j < 8; j++)
            tile[tile_place(label, at[j / 2] >> (16 * (j % 2)) & 0xFFFFu)].bits = (u16)(w[j / 2] >> (16 * (j % 2)));
    }
}

// A warp's share of the scores: all labels of the tile, SCORE_ROWS rows, one of KSPLIT parts of the features.
__device__ __forceinline__ void multiply_scores(float* scores, const weight_t* tile, const weight_t* x) {
    int warp = thread() / WARP_SIZE, lane = thread() % WARP_SIZE;
    int split = warp % KSPLIT, row0 = warp / KSPLIT * SCORE_ROWS;
    Corner down = corner(lane, true);
    int w_place = tile_place(down.row, 16 * split + down.column);
    x += 16 * split * BATCH;
    int x_place = swizzled(down.row * BATCH + row0 + down.column);
    float sum[LABEL_TILES][SCORE_ROWS / 8][4] = {};
#pragma unroll 1
    for (int feature = 0; feature < FEATURES; feature += 16 * KSPLIT) {
        int columns = (w_place ^ feature % 64) + feature / 64 * 64;
        u32 a[LABEL_TILES][4];
#pragma unroll
        for (int m = 0; m < LABEL_TILES; m++) ldmatrix_x4(a[m], tile + 16 * m * FEATURES + columns);
#pragma unroll
        for (int n = 0; n < SCORE_ROWS / 16; n++) {
            u32 b[4];
            ldmatrix_x4_transposed(b, x + feature * BATCH + (x_place ^ 16 * n));
#pragma unroll
            for (int m = 0; m < LABEL_TILES; m++) {
                mma_16816(sum[m][2 * n], a[m], b, weight_t());
                mma_16816(sum[m][2 * n + 1], a[m], b + 2, weight_t());
            }
        }
    }
    float* to = scores + (split * TILE + lane / 4) * SCORE_PITCH + row0 + lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < LABEL_TILES; m++)
#pragma unroll
        for (int n = 0; n < SCORE_ROWS / 8; n++) {
            *(float2*)(to + 16 * m * SCORE_PITCH + 8 * n) = float2{sum[m][n][0], sum[m][n][1]};
            *(float2*)(to + (16 * m + 8) * SCORE_PITCH + 8 * n) = float2{sum[m][n][2], sum[m][n][3]};
        }
}

// A gradient as GRADIENT_PARTS numbers of 16 bits.
__device__ __forceinline__ void split_gradient(float gradient, u32 random, weight_t* part) {
    gradient *= GRADIENT_SCALE;
#if WEIGHT == 2
    gradient = gradient > 65504.0f ? 65504.0f : gradient < -65504.0f ? -65504.0f : gradient;  // NaN stays
#endif
#if GRADIENT_PARTS == 1
    round_randomly(gradient, random, part[0]);
#else
    from_float(gradient, part[0]);
    from_float(gradient - to_float(part[0]), part[1]);
#endif
}

// 32 bits for two rows of a label: a mixing function (two rounds of multiply and shift) keyed by seed and step.
__device__ __forceinline__ u32 mixed(u32 key, u64 label, int row) {
    u32 x = key + (u32)label * 0x9E3779B1u + (u32)(label >> 32) * 0x85EBCA77u + (u32)row * 0xC2B2AE3Du;
    x = (x ^ (x >> 16)) * 0x7FEB352Du;
    x = (x ^ (x >> 15)) * 0x846CA68Bu;
    return x ^ (x >> 16);
}

// The lane's scores of a label from their parts.
__device__ __forceinline__ void add_splits(float* score, const float* scores, float bias) {
#pragma unroll
    for (int r = 0; r < LANE_ROWS; r++) score[r] = bias;
#pragma unroll
    for (int split = 0; split < KSPLIT; split++, scores += TILE * SCORE_PITCH) {
#if BATCH > WARP_SIZE
        float2 both = *(const float2*)scores;
        score[0] += both.x;
        score[1] += both.y;
#else
        score[0] += *scores;
#endif
    }
}

// The loss and its gradient g [part][label][row] of the tile's scores, a label to a warp; the step of the bias.
__device__ __forceinline__ void take_losses(weight_t* g, const float* scores, const u32* marks, float* bias, Kept& kept,
                                            u64 first_label, int labels, int batch) {
    int lane = thread() % WARP_SIZE, row = lane * LANE_ROWS;
    float losses = 0.0f;
    for (int label = thread() / WARP_SIZE; label < TILE; label += WARPS) {
        float total = 0.0f;
        u32 random = mixed(kept.key, first_label + label, row), word[GRADIENT_PARTS] = {};
        if (row < BATCH) {
            float score[LANE_ROWS], loss;
            add_splits(score, scores + label * SCORE_PITCH + row, kept.bias[label]);
#pragma unroll
            for (int r = 0; r < LANE_ROWS; r++) {
                bool positive = marks[label * MARK_WORDS + row / 32] >> (row % 32 + r) & 1u;
                float gradient = loss_gradient(score[r], positive, loss);
                if (label >= labels || row + r >= batch) gradient = loss = 0.0f;
                losses += loss;
                total += gradient;
                weight_t part[GRADIENT_PARTS];
                split_gradient(gradient, random >> (16 * r) & 0xFFFFu, part);
#pragma unroll
                for (int p = 0; p < GRADIENT_PARTS; p++) word[p] |= (u32)part[p].bits << (16 * r);
            }
#pragma unroll
            for (int p = 0; p < GRADIENT_PARTS; p++) {
                weight_t* to = g + p * TILE * BATCH + swizzled(label * BATCH + row);
                if (LANE_ROWS == 2) *(u32*)to = word[p];
                else to->bits = (u16)word[p];
            }
        }
        if (bias) {
#pragma unroll
            for (int half = WARP_SIZE / 2; half; half /= 2) total += __shfl_xor_sync(FULL_WARP, total, half);
            if (lane == 0 && label < labels) bias[label] = kept.bias[label] - kept.by.rate * kept.by.scale * total;
        }
    }
    kept.losses[thread()] += losses;
}

// dX += g W for the warp's features.
__device__ __forceinline__ void multiply_features(Features& dx, const weight_t* g, const weight_t* tile) {
    int lane = thread() % WARP_SIZE, own = thread() / WARP_SIZE * 16;
    Corner down = corner(lane, true), across = corner(lane, false);
    const weight_t* tile_corner = tile + tile_place(down.row, own + down.column);
    int g_place = swizzled(across.row * BATCH + across.column);
#pragma unroll 1
    for (int k = 0; k < LABEL_TILES; k++)
#pragma unroll 1
        for (int p = 0; p < GRADIENT_PARTS; p++) {
            u32 a[ROW_TILES][4];
#pragma unroll
            for (int m = 0; m < ROW_TILES; m++)
                ldmatrix_x4_transposed(a[m], g + (p * TILE + 16 * k) * BATCH + (g_place ^ 16 * m));
#pragma unroll
            for (int n = 0; n < OWN; n++) {
                u32 b[4];
                ldmatrix_x4_transposed(b, tile_corner + 16 * k * FEATURES + n * STRIDE);
#pragma unroll
                for (int m = 0; m < ROW_TILES; m++) {
                    mma_16816(dx[m][2 * n], a[m], b, weight_t());
                    mma_16816(dx[m][2 * n + 1], a[m], b + 2, weight_t());
                }
            }
        }
}

// dW = g^T x for the warp's features, to shared memory. The gradients of 16 labels at a time stay in registers.
__device__ __forceinline__ void multiply_weights(float* staged, const weight_t* g, const weight_t* x) {
    int lane = thread() % WARP_SIZE, own = thread() / WARP_SIZE * 16;
    Corner down = corner(lane, true), across = corner(lane, false);
    int g_place = swizzled(down.row * BATCH + down.column), x_place = swizzled(across.row * BATCH + across.column);
    int to = staged_place(lane / 4, own + lane % 4 * 2);
    x += own * BATCH;
#pragma unroll 1
    for (int label = 0; label < TILE; label += 16) {
        u32 a[GRADIENT_PARTS][ROW_TILES][4];
#if GRADIENT_PARTS == 1
#pragma unroll
        for (int k = 0; k < ROW_TILES; k++) ldmatrix_x4(a[0][k], g + label * BATCH + (g_place ^ 16 * k));
#endif
#pragma unroll 1
        for (int feature = 0; feature < FEATURES; feature += WIDE * STRIDE) {
            float sum[2 * WIDE][4] = {};
#pragma unroll
            for (int k = 0; k < ROW_TILES; k++)
#pragma unroll
                for (int p = 0; p < GRADIENT_PARTS; p++) {
#if GRADIENT_PARTS == 2
                    ldmatrix_x4(a[p][k], g + (p * TILE + label) * BATCH + (g_place ^ 16 * k));
#endif
#pragma unroll
                    for (int n = 0; n < WIDE; n++) {
                        u32 b[4];
                        ldmatrix_x4(b, x + (feature + n * STRIDE) * BATCH + (x_place ^ 16 * k));
                        mma_16816(sum[2 * n], a[p][k], b, weight_t());
                        mma_16816(sum[2 * n + 1], a[p][k], b + 2, weight_t());
                    }
                }
#pragma unroll
            for (int n = 0; n < 2 * WIDE; n++) {
                float* here = staged + label * FEATURES + feature + n / 2 * STRIDE + (to ^ n % 2 * 8);
                *(float2*)here = float2{sum[n][0], sum[n][1]};
                *(float2*)(here + 8 * FEATURES) = float2{sum[n][2], sum[n][3]};
            }
        }
    }
}

// The step of the tile's connections, eight at a time.
__device__ __forceinline__ void update_tile(const float* staged, weight_t* weight, const u16* index,
                                            momentum_t* momentum, u64 first_label, int labels, int fan_in, u64 seed,
                                            const Kept& kept) {
    int octets = fan_in / 8;
#pragma unroll 1
    for (int i = thread(); i < labels * octets; i += THREADS) {
        int label = i / octets;
        u32 at[8];
        float gradient[8];
        load8(index + 8 * (i64)i, at);
#pragma unroll
        for (int j = 0; j < 8; j++) gradient[j] = staged[staged_place(label, at[j])] * (1.0f / GRADIENT_SCALE);
        update8(kept.by, gradient, weight + 8 * (i64)i, MOMENTUM ? momentum + 8 * (i64)i : momentum, first_label + label,
                (u32)(i % octets), kept.step, seed);
    }
}

// dX of the block's labels, [batch, num_features].
__device__ __forceinline__ void give_features(float* out, const Features& dx, int batch, int num_features) {
    int lane = thread() % WARP_SIZE, own = thread() / WARP_SIZE * 16;
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
        for (int n = 0; n < 2 * OWN; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int row = 16 * m + lane / 4 + 8 * (i / 2), feature = own + n / 2 * STRIDE + n % 2 * 8 + lane % 4 * 2 + i % 2;
                if (row < batch && feature < num_features)
                    out[(i64)row * num_features + feature] = dx[m][n][i] * (1.0f / GRADIENT_SCALE);
            }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
ffi_step(const weight_t* features_DB, weight_t* weight_LK, const u16* index_LK, float* bias_L, momentum_t* momentum_LK,
              float* partial_SBD, float* partial_loss, const i64* positive_rows, const i64* positive_labels,
              int num_positives, const float* scale, const float* rate, const i64* step, float weight_decay,
              float momentum_factor, u64 seed, i64 first_label, i64 begin, i64 end, int batch, int stride,
              int num_features, int fan_in) {
    DYNAMIC_SHARED(memory);
    weight_t* x = (weight_t*)memory;
    unsigned char* work = memory + FEATURES * BATCH * 2;  // W and the parts of the scores; then dW
    weight_t* tile = (weight_t*)work;
    float *scores = (float*)(work + W_BYTES), *staged = (float*)work;
    weight_t* g = (weight_t*)(work + WORK_BYTES);
    u32* marks = (u32*)(g + GRADIENT_PARTS * TILE * BATCH);
    __shared__ Kept kept;
    if (threadIdx.x == 0) {
        kept.by = Sgd{*scale, *rate, weight_decay, MOMENTUM ? momentum_factor : 0.0f};
        kept.step = *step;
        kept.pairs = 0;
        kept.key = rounding_words(0u, 0x10000u, *step, seed).x[0];  // no block of a label has this number
    }
    kept.losses[threadIdx.x] = 0.0f;
    take_features(x, features_DB, stride, num_features);
    __syncthreads();
    Features dx = {};
    int tiles = (int)((end - begin + TILE - 1) / TILE);
    for (int number = blockIdx.x; number < tiles; number += gridDim.x) {
        Place at = place_of(number, begin, end, fan_in);
        prefetch_tile(weight_LK, index_LK, momentum_LK, bias_L, at.label + (i64)gridDim.x * TILE, end, fan_in);
        if (threadIdx.x < TILE)
            kept.bias[threadIdx.x] = bias_L && (int)threadIdx.x < at.labels ? bias_L[at.label + threadIdx.x] : 0.0f;
        if (threadIdx.x / WARP_SIZE == WARPS - 1)
            kept.pairs = mark_positives(marks, MARK_WORDS, positive_rows, positive_labels, num_positives, at.label, TILE,
                                        kept.pairs);
        fill_tile(tile, weight_LK + at.connection, index_LK + at.connection, at.labels, fan_in);
        __syncthreads();
        multiply_scores(scores, tile, x);
        __syncthreads();
        at = place_of(number, begin, end, fan_in);
        take_losses(g, scores, marks, bias_L ? bias_L + at.label : bias_L, kept, (u64)(first_label + at.label), at.labels,
                    batch);
        __syncthreads();
        multiply_features(dx, g, tile);
        __syncthreads();
        multiply_weights(staged, g, x);
        __syncthreads();
        at = place_of(number, begin, end, fan_in);
        update_tile(staged, weight_LK + at.connection, index_LK + at.connection,
                    MOMENTUM ? momentum_LK + at.connection : momentum_LK, (u64)(first_label + at.label), at.labels,
                    fan_in, seed, kept);
        __syncthreads();
    }
    give_features(partial_SBD + (i64)blockIdx.x * batch * num_features, dx, batch, num_features);
    float losses = sum_over_block(kept.losses[threadIdx.x], (float*)work);
    if (threadIdx.x == 0) partial_loss[blockIdx.x] = losses;
}
