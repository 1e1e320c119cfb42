// The words' part of the scores of a range of labels:
//
//   score[b, l] = sum_k weight[l, k] * t[b, index[l, k]]        over the k whose word is in the batch
//
// BY_LABEL 1 writes it to out [labels, stride] (0 in the padding), where ffi_scores with INITIAL 1 adds the rest.
// BY_LABEL 0 adds it to the scores out [B, labels].
//
// t is given as values_UB [words of the batch, stride], 0 in the padding; `place` has the row of each word, and `held` a
// bit of each word. The naive version gives a thread one score: it would look up the place of every connection, for
// every row of the batch. Here a label's lanes first list its connections whose word is in the batch
// (include/words.cuh), then each lane adds the products of its eight rows, 32 bytes of a word's values at a time.
//
// Bound by reading values from L2; README.md, "Cycle counts", has the counts.
//
// Grid: x blocks walk the tiles of TILE labels; y is the block of ROWS rows of the batch.
#include "include/words.cuh"

#ifndef BY_LABEL
#define BY_LABEL 1
#endif
#if BY_LABEL != 0 && BY_LABEL != 1
#error "unknown BY_LABEL: expected 0 (added to scores [B, labels]) or 1 (written to [labels, stride])"
#endif

// Adds the products of a list to the sums of the lane's rows; `weight` is the label's row, `column` the lane's rows of
// the word at place 0.
__device__ __forceinline__ void add_list(const u32* list, int total, const weight_t* weight, const float* column,
                                         int stride, float* sum) {
#pragma unroll 4
    for (int n = 0; n < total; n++) {
        u32 entry = list[n];
        float w = to_float(weight[position_of(entry)]), value[8];
        load8(column + (i64)place_of(entry) * stride, value);
#pragma unroll
        for (int i = 0; i < 8; i++) sum[i] += w * value[i];
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
ffi_word_scores(const weight_t* __restrict__ weight_LK, const u16* __restrict__ index_LK, const u32* __restrict__ held,
                const int* __restrict__ place, const float* __restrict__ values_UB, float* out, i64 begin, i64 end,
                int batch, int stride, int fan_in) {
    __shared__ uint4 held_bits[HELD_VECTORS];
    __shared__ u32 lists[TILE][LIST];
    int lane = threadIdx.x % GROUP, slot = threadIdx.x / GROUP, row = blockIdx.y * ROWS + 8 * lane;
    const u32* bits = stage_held(held, held_bits);
    for (i64 tile = begin + (i64)blockIdx.x * TILE; tile < end; tile += (i64)gridDim.x * TILE) {
        i64 label = tile + slot;
        bool exists = label < end;
        const u16* index = exists ? index_LK + label * fan_in : nullptr;
        float sum[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
        int found = 0;
        for (int k0 = 0; k0 < fan_in; k0 += PIECE) {
            int total = list_piece(bits, place, index, k0, fan_in, lane, lists[slot]);
            found += total;
            if (row < stride) add_list(lists[slot], total, weight_LK + label * fan_in, values_UB + row, stride, sum);
        }
#if BY_LABEL
        if (exists && row < stride) store8(out + (label - begin) * stride + row, sum);
#else
        if (found)
#pragma unroll
            for (int i = 0; i < 8; i++)
                if (row + i < batch) out[(row + i) * (end - begin) + label - begin] += sum[i];
#endif
    }
}
