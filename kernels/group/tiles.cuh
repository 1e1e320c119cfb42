// Groups of labels that share their features: what their kernels have in common.
//
//   index_RK   u16 [ceil(L / GROUP_SIZE), K]   the features of each group
//   weight_LK  [L, K]                          label l of the layer is in group l / GROUP_SIZE
//
// The labels `begin` .. `end` - 1 of a launch begin with a whole group; the last group may be short. Weights, features
// and gradients of scores are of one 16-bit format, which tensor cores multiply; or weights have 8 bits and are decoded
// to bfloat16 in shared memory. K is a multiple of 16.
#pragma once
#include "include/async_copy.cuh"
#include "include/mma.cuh"

#ifndef GROUP_SIZE
#define GROUP_SIZE 16
#endif
#if GROUP_SIZE != 8 && GROUP_SIZE != 16 && GROUP_SIZE != 32 && GROUP_SIZE != 64
#error "unknown GROUP_SIZE: expected 8, 16, 32 or 64 labels"
#endif
#if WEIGHT < 1 || WEIGHT > 3
#error "unknown WEIGHT: expected 1, 2 or 3, because tensor cores multiply 16-bit numbers"
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "the kernels of groups need sm_80"
#endif

#ifndef THREADS
#define THREADS 256
#endif
#define WARPS (THREADS / WARP_SIZE)
#ifndef TILE
#define TILE 64                     // labels at a time
#endif
#define GROUPS (TILE / GROUP_SIZE)  // of a tile
#ifndef ROWS
#define ROWS 64                     // of the batch at a time
#endif

// The offset of an element of a matrix in shared memory whose rows have WIDTH 16-bit numbers, a power of two from 16 on.
// `ldmatrix` reads eight rows of 16 bytes at one column; stored plainly, these eight pieces would share banks. So the
// pieces of each 128 bytes change places by exclusive or: step/layout.cuh draws it.
template <int WIDTH>
__device__ __forceinline__ int swizzled(int row, int column) {
    const int pieces = WIDTH / 8 < 8 ? WIDTH / 8 : 8;
    int offset = row * WIDTH + column, line = WIDTH < 64 ? offset >> 6 : row;
    return offset ^ ((line & (pieces - 1)) << 3);
}

// ldmatrix_x4 loads a 16 x 16 block as four 8 x 8 matrices. Returns the element of the block whose address a lane
// gives: with `rows_first` matrices 0 and 1 are those of rows 0-7 and 8-15, otherwise those of columns 0-7 and 8-15.
struct Element { int row, column; };

__device__ __forceinline__ Element ldmatrix_element(bool rows_first) {
    int lane = threadIdx.x % WARP_SIZE, first = lane >> 3 & 1, second = lane >> 4;
    return Element{(rows_first ? first : second) * 8 + lane % 8, (rows_first ? second : first) * 8};
}

// A part of a layer, as a block sees it.
struct GroupLabels {
    const weight_t* weight_LK;
    const u16* index_RK;
    i64 begin, end;
    int fan_in;
};

// The rows row0 .. row0 + ROWS - 1 of features_DB [D, stride], which has zeros past the batch.
struct GroupFeatures {
    const half_t* features_DB;
    int stride, row0;
};

// ---- x^T of a tile, [GROUPS * CONNECTIONS][ROWS]: the rows of x^T of some connections of each of its groups ---------

// Each of the first NUMBER threads copies 16 bytes of each of COPIES connections. Their features are read one step
// before they are needed, so that copies don't wait for them.
template <int CONNECTIONS, int NUMBER = THREADS>
struct FeatureCopies {
    static const int COPIES = GROUPS * CONNECTIONS * (ROWS / 8) / NUMBER;
    u32 pairs[(COPIES + 1) / 2];  // two features each

    // The connection of a copy, among those of the tile's groups, and whether it exists.
    __device__ __forceinline__ static int place(int copy) { return (threadIdx.x + copy * NUMBER) / (ROWS / 8); }

    __device__ __forceinline__ static bool exists(const GroupLabels& labels, i64 tile, int slot0, int copy) {
        i64 label = tile + place(copy) / CONNECTIONS * GROUP_SIZE;
        return label < labels.end && slot0 + place(copy) % CONNECTIONS < labels.fan_in;
    }

    // Reads the features of the tile's connections from slot0 on.
    __device__ __forceinline__ void read(const GroupLabels& labels, i64 tile, int slot0) {
#pragma unroll
        for (int i = 0; i < COPIES; i++) {
            i64 group = tile / GROUP_SIZE + place(i) / CONNECTIONS;
            u32 feature = 0;
            if (exists(labels, tile, slot0, i))
                feature = labels.index_RK[group * labels.fan_in + slot0 + place(i) % CONNECTIONS];
            pairs[i / 2] = i % 2 ? pairs[i / 2] | feature << 16 : feature;
        }
    }

    // Starts to copy their rows of x^T, with zeros where there is no connection or row.
    __device__ __forceinline__ void start(const GroupFeatures& from, const GroupLabels& labels, i64 tile, int slot0,
                                          half_t* x) const {
        int chunk = threadIdx.x % (ROWS / 8), row = from.row0 + chunk * 8;
#pragma unroll
        for (int i = 0; i < COPIES; i++) {
            bool is_there = row < from.stride && exists(labels, tile, slot0, i);
            i64 at = (i64)halfword(pairs, i) * from.stride + row;
            copy_async<1>(x + swizzled<ROWS>(place(i), chunk * 8), from.features_DB + (is_there ? at : 0), is_there);
        }
    }
};

// ---- weights of some labels, [LABELS][CONNECTIONS] -------------------------------------------------------------------

// Each of the first NUMBER threads copies 16 bytes at a time: eight weights, or 16 of 8 bits. Those arrive in the first
// half of their own place, and the thread that copied them spreads them there to numbers of 16 bits: nobody else touches
// these 32 bytes before the barrier that every copy needs, so that it takes neither more memory nor another barrier.
#define COPIED_WEIGHTS (16 / (int)sizeof(weight_t))

template <int LABELS, int CONNECTIONS, int NUMBER = THREADS>
struct WeightCopies {
    static const int PIECES = CONNECTIONS / COPIED_WEIGHTS;  // of a label

    // Starts to copy the weights of the labels from `first` on, of `count` connections from slot0 on, with zeros where
    // there is no label or connection.
    __device__ __forceinline__ static void start(const GroupLabels& labels, i64 first, int slot0, int count, half_t* w) {
        i64 last = labels.end - first;  // labels from here on
        for (int i = threadIdx.x; i < LABELS * PIECES; i += NUMBER) {
            int row = i / PIECES, column = i % PIECES * COPIED_WEIGHTS, slot = slot0 + column;
            if (column >= count) continue;
            bool exists = row < last && slot < labels.fan_in;
            copy_async<0>(w + swizzled<CONNECTIONS>(row, column),
                          labels.weight_LK + (exists ? (first + row) * labels.fan_in + slot : 0), exists);
        }
    }

    // Makes 16-bit numbers of what the thread has copied, and waited for; `count` as in `start`.
    __device__ __forceinline__ static void decode(int count, half_t* w) {
#if WEIGHT == 3
        for (int i = threadIdx.x; i < LABELS * PIECES; i += NUMBER) {
            int row = i / PIECES, column = i % PIECES * COPIED_WEIGHTS;
            if (column >= count) continue;
            const uint2* codes = (const uint2*)(w + swizzled<CONNECTIONS>(row, column));
            // The second eight first, because the first ones take the place of all codes. Not unrolled: before sm_89
            // 16 numbers at once would spill.
#pragma unroll 1
            for (int half = 1; half >= 0; half--)
                *(uint4*)(w + swizzled<CONNECTIONS>(row, column + 8 * half)) = halves_of(codes[half]);
        }
#endif
    }
};
