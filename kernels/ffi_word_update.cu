// The update of the weights of words of a range of labels, in place, by plain SGD:
//
//   d = sum_b g[b, l] * t[b, index[l, k]],   weight[l, k] -= rate[word] * d        for the k whose word is in the batch
//
// g is the gradient of the scores, gradient_LB [labels, stride], and t is given as values_UB [words of the batch,
// stride]; both are 0 in the padding. Weights of 16 bits are stored by stochastic rounding, a function of seed, step,
// label and position, so that a weight gets the same bits in any chunks. Weights whose word is not in the batch are
// neither read nor written.
//
// The naive version gives a lane one connection: most lanes of a warp would find nothing to do, and each of the others
// would read a row of values alone. Here a label's lanes first list its connections whose word is in the batch
// (include/words.cuh). Then they take GROUP of them at a time: each lane adds up the products of its rows, eight of
// each ROWS, and after GROUP - 1 exchanges (include/lane_sums.cuh) lane j has the sum of connection j, which it updates.
// So the Philox calls of GROUP connections run in as many lanes at once.
//
// Bound by reading values from L2; README.md, "Cycle counts", has the counts.
//
// Grid: blocks walk the tiles of TILE labels. gradient_LB starts at label `begin`, all else at label 0.
#include "include/words.cuh"
#include "include/lane_sums.cuh"
#include "include/philox.cuh"

#define BATCH (GROUP < 4 ? GROUP : 4)  // connections whose values are loaded at once: more would not fit in registers

// The gradients of the connections list[0 .. count), at most GROUP; lane j receives that of number j, and any number if
// there is no such connection. `gradient` is the label's row, read only if there are any. All lanes of the warp take part.
__device__ __forceinline__ float gradient_of(const u32* list, int count, const float* gradient, const float* values_UB,
                                             int stride, int lane) {
    float partial[GROUP];
#pragma unroll
    for (int j = 0; j < GROUP; j++) partial[j] = 0.0f;
#pragma unroll 1  // two would not fit in registers
    for (int row = 8 * lane; count > 0 && row < stride; row += ROWS) {
        float g[8];
        load8(gradient + row, g);
#pragma unroll
        for (int j0 = 0; j0 < GROUP; j0 += BATCH)
            if (j0 < count)
#pragma unroll
                for (int j = j0; j < j0 + BATCH; j++) {
                    // No branch, so that no load waits for another: past the end the last connection is read again.
                    float value[8];
                    load8(values_UB + (i64)place_of(list[min(j, count - 1)]) * stride + row, value);
#pragma unroll
                    for (int i = 0; i < 8; i++) partial[j] += g[i] * value[i];
                }
    }
    return reduce_over_lanes(partial, lane);
}

// Subtracts `change` from a weight. `label` is the label's global number; with the position k it chooses the random
// bits.
__device__ __forceinline__ void subtract(weight_t* weight, float change, u64 label, int k, i64 step, u64 seed) {
#if WEIGHT == 0
    u32 random = 0;  // float32 isn't rounded
#else
    Words words = rounding_words(label, (u32)k / 8, step, seed);
    u32 low = k & 2 ? words.x[1] : words.x[0], high = k & 2 ? words.x[3] : words.x[2];  // indexed without memory
    u32 random = (k & 4 ? high : low) >> (16 * (k & 1)) & 0xFFFFu;
#endif
    round_stochastically(to_float(*weight) - change, random, *weight);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
ffi_word_update(weight_t* weight_LK, const u16* __restrict__ index_LK, const u32* __restrict__ held,
                const int* __restrict__ place, const float* __restrict__ values_UB, const float* __restrict__ rate_U,
                const float* __restrict__ gradient_LB, const i64* __restrict__ step, u64 seed, i64 first_label,
                i64 begin, i64 end, int stride, int fan_in) {
    __shared__ uint4 held_bits[HELD_VECTORS];
    __shared__ u32 lists[TILE][LIST];
    int lane = threadIdx.x % GROUP, slot = threadIdx.x / GROUP;
    i64 now = *step;
    const u32* bits = stage_held(held, held_bits);
    for (i64 tile = begin + (i64)blockIdx.x * TILE; tile < end; tile += (i64)gridDim.x * TILE) {
        i64 label = tile + slot;
        const u16* index = label < end ? index_LK + label * fan_in : nullptr;
        const float* gradient = gradient_LB + (label - begin) * stride;
#pragma unroll 1
        for (int k0 = 0; k0 < fan_in; k0 += PIECE) {
            const u32* list = lists[slot];
            int total = list_piece(bits, place, index, k0, fan_in, lane, lists[slot]);
            // The labels of a warp have lists of different lengths, but exchange together: the longest one decides.
#pragma unroll 1
            for (int first = 0; __ballot_sync(FULL_WARP, first < total); first += GROUP) {
                float d = gradient_of(list + first, total - first, gradient, values_UB, stride, lane);
                if (first + lane < total) {
                    u32 entry = list[first + lane];
                    int k = position_of(entry);
                    subtract(weight_LK + label * fan_in + k, rate_U[place_of(entry)] * d, (u64)(first_label + label), k,
                             now, seed);
                }
            }
        }
    }
}
