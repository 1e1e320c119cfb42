// The fused step: where everything is in shared memory.
//
// Dynamic shared memory of a block, with the sizes of B 64, D 768, TILE 32, GRADIENT_PARTS 1 (200,960 bytes in all):
//
//        0  +--------------------------------------------+
//           | x   [FEATURES][BATCH]              16 bits |  the features, transposed; staged once per block
//    98304  +--------------------------------------------+----------------------------------------------+
//           | w   [TILE][FEATURES]               16 bits |  dw  [TILE][FEATURES]                float32 |
//   147456  +--------------------------------------------+  dW of the tile. Written after w and the     |
//           | scores  [KSPLIT][TILE][SCORE_PITCH] float32|  scores have been read, in their place.      |
//   165888  +--------------------------------------------+                                              |
//           | unused                                     |                                              |
//   196608  +--------------------------------------------+----------------------------------------------+
//           | g   [GRADIENT_PARTS][TILE][BATCH]  16 bits |  gradient of the loss by the score
//   200704  +--------------------------------------------+
//           | positive_bits  [TILE][BITMASK_WORDS]       |  bit row % 32 of word row / 32: the row has the label
//   200960  +--------------------------------------------+
//
// Why the arrays are swizzled. `ldmatrix` reads eight rows of 16 bytes, at one column, in one access. Rows of 128 bytes
// (or a multiple) stored plainly put these eight pieces in the same four banks: eight accesses instead of one. Padding
// each row by 16 bytes would solve that, but 64 x 768 with a tile of 32 labels then no longer fits. So instead piece p
// of row r is stored in slot p ^ (r % 8), here for rows of eight pieces (BATCH 64):
//
//               slot:      0     1     2     3     4     5     6     7
//               banks:    0-3   4-7  8-11 12-15 16-19 20-23 24-27 28-31
//     row 0     piece      0     1     2     3     4     5     6     7
//     row 1                1     0     3     2     5     4     7     6
//     row 2                2     3     0     1     6     7     4     5
//     row 3                3     2     1     0     7     6     5     4
//     row 4                4     5     6     7     0     1     2     3
//     row 5                5     4     7     6     1     0     3     2
//     row 6                6     7     4     5     2     3     0     1
//     row 7                7     6     5     4     3     2     1     0
//
// Every piece appears once in each column of the picture: eight rows of one piece are in eight different groups of
// banks. A swizzled offset can be moved without computing it again: steps that don't reach bits 3 to 5 of the column
// (multiples of 64 columns, or of 16 rows) are added, and steps of 16 or 32 columns are applied by exclusive or.
//
// For wgmma (WGMMA 1, TILE 64) w is cut in panels of 64 features, since its lines are 64 numbers, and dw has 32 labels:
//
//        0  x   [FEATURES][BATCH]                98,304 bytes
//    98304  w   [FEATURES / 64][TILE][64]        98,304; dw [32][FEATURES] float32 in their place
//   196608  g   [TILE][BATCH]                     8,192
//   204800  positive_bits                           512
//   205312  the block's state (wgmma/exchange.cuh), and behind it scores, sent between warpgroups, 16,384
#pragma once
#include "step/parameters.cuh"

#define W_BYTES (TILE * FEATURES * 2)
#define SCORE_BYTES (KSPLIT * TILE * SCORE_PITCH * 4)
#define DW_BYTES (TILE * FEATURES * 4)
#define WORK_BYTES (W_BYTES + SCORE_BYTES > DW_BYTES ? W_BYTES + SCORE_BYTES : DW_BYTES)

struct SharedMemory {
    half_t* x;
    half_t* w;
    float* scores;
    float* dw;           // overlaps w and scores
    half_t* g;
    u32* positive_bits;
};

#if WGMMA
__device__ __forceinline__ SharedMemory layout_of(unsigned char* memory) {
    unsigned char* work = memory + FEATURES * BATCH * 2;
    half_t* g = (half_t*)(work + W_BYTES);
    return SharedMemory{(half_t*)memory, (half_t*)work, nullptr, (float*)work, g, (u32*)(g + TILE * BATCH)};
}
#else
__device__ __forceinline__ SharedMemory layout_of(unsigned char* memory) {
    unsigned char* work = memory + FEATURES * BATCH * 2;
    half_t* g = (half_t*)(work + WORK_BYTES);
    return SharedMemory{(half_t*)memory, (half_t*)work, (float*)(work + W_BYTES), (float*)work, g,
                        (u32*)(g + GRADIENT_PARTS * TILE * BATCH)};
}
#endif

// The offset of element `offset` of x or g, whose rows have BATCH numbers. With BATCH 32 and 16 a row has four and two
// pieces, and 128 bytes hold two and four rows: the exclusive or is taken with the number of the 128 bytes.
__device__ __forceinline__ int swizzle(int offset) { return offset ^ ((offset >> 6 & (BATCH / 8 - 1)) << 3); }

// The offset of an element of w.
__device__ __forceinline__ int w_offset(int label, int feature) {
#if WGMMA
    return feature / 64 * (64 * TILE) + label * 64 + (feature % 64 ^ ((label & 7) << 3));
#else
    return label * FEATURES + (feature ^ ((label & 7) << 3));
#endif
}

// That of octet `i` of the labels from `label` on that a warp fills, in any order. With wgmma these are 8, of 8 octets in each
// panel.
__device__ __forceinline__ int w_octet(int label, int i) {
#if WGMMA
    return i / 64 * (64 * TILE) + label * 64 + i % 64 * 8;
#else
    return label * FEATURES + 8 * i;
#endif
}

// The offset of an element of dw: the features of four labels that are written at once are in different banks. With wgmma
// these are every second label.
__device__ __forceinline__ int dw_offset(int label, int feature) {
    return label * FEATURES + (feature ^ ((label / (WGMMA + 1) & 3) << 3));
}

// ldmatrix_x4 loads a 16 x 16 block as four 8 x 8 matrices. Returns the element of the block whose address a lane
// gives: with `rows_first` matrices 0 and 1 are those of rows 0-7 and 8-15, otherwise those of columns 0-7 and 8-15.
struct Element { int row, column; };

__device__ __forceinline__ Element ldmatrix_element(int lane, bool rows_first) {
    int first = lane >> 3 & 1, second = lane >> 4;
    return Element{(rows_first ? first : second) * 8 + lane % 8, (rows_first ? second : first) * 8};
}
