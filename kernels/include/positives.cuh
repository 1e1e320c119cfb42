// The positives of a batch, (row, label) pairs sorted by label, as a bitmask of each tile of labels.
#pragma once
#include "include/formats.cuh"

struct Positives {
    const i64 *rows, *labels;
    int count;
};

// The number of pairs with a label below `label`, of which at least `low`. Called by one warp. Few pairs lie between a
// block's tiles, so the next 32 are tried first; then 32 pairs at equal distances, three rounds for 32,768 pairs.
__device__ __forceinline__ int count_pairs_below(const Positives& positives, i64 label, int low) {
    int lane = threadIdx.x % WARP_SIZE, high = positives.count;  // the result is one of low .. high
    for (bool near = true; low < high; near = false) {
        int pace = near ? 1 : (high - low + WARP_SIZE - 1) / WARP_SIZE, probe = low + lane * pace;
        int below = __popc(__ballot_sync(FULL_WARP, probe < high && positives.labels[probe] < label));
        if (below < WARP_SIZE) high = min(high, low + below * pace);
        if (below) low += (below - 1) * pace + 1;
    }
    return low;
}

// The 32 pairs from number `first` on, one per lane; past the end of the list a pair of a label that doesn't exist.
struct PairWindow { i64 label, row; };

__device__ __forceinline__ PairWindow load_pairs(const Positives& positives, int first) {
    int i = first + threadIdx.x % WARP_SIZE;
    bool exists = i < positives.count;
    return PairWindow{exists ? positives.labels[i] : 0x7FFFFFFFFFFFFFFFLL, exists ? positives.rows[i] : 0};
}

// Sets bit `row` - `row0` of `bits`[label - begin] for each positive pair of the LABELS labels from `begin` on, of the
// rows row0 .. row0 + 32 * WORDS - 1. Pairs of other labels are skipped, so a list may be padded with labels that don't
// exist. Called by one warp; `passed` is the number of pairs below an earlier tile, and the number below `begin` is
// returned.
template <int LABELS, int WORDS>
__device__ __forceinline__ int set_positive_bits(u32* bits, const Positives& positives, i64 begin, int row0,
                                                 int passed) {
    int lane = threadIdx.x % WARP_SIZE;
    for (int i = lane; i < LABELS * WORDS; i += WARP_SIZE) bits[i] = 0u;
    int below = count_pairs_below(positives, begin, passed);
    __syncwarp();  // all bits are zero before any is set
    for (int i = below + lane; i < positives.count; i += WARP_SIZE) {
        i64 label = positives.labels[i] - begin, row = positives.rows[i] - row0;
        if (label >= LABELS) break;
        if (row < 0 || row >= 32 * WORDS) continue;
        atomicOr(&bits[(int)label * WORDS + (int)(row / 32)], 1u << (row % 32));
    }
    return below;
}

// The same, if `window` has the pairs from `passed` on. They are searched alone, unless the tile's pairs may go on behind
// them.
template <int LABELS, int WORDS>
__device__ __forceinline__ int set_positive_bits_of(u32* bits, const Positives& positives, const PairWindow& window,
                                                    i64 begin, int row0, int passed) {
    int lane = threadIdx.x % WARP_SIZE;
    i64 label = window.label - begin, row = window.row - row0;
    u32 below = __ballot_sync(FULL_WARP, label < 0), behind = __ballot_sync(FULL_WARP, label >= LABELS);
    if (!behind) return set_positive_bits<LABELS, WORDS>(bits, positives, begin, row0, passed);
    for (int i = lane; i < LABELS * WORDS; i += WARP_SIZE) bits[i] = 0u;
    __syncwarp();  // all bits are zero before any is set
    if (label >= 0 && label < LABELS && row >= 0 && row < 32 * WORDS)
        atomicOr(&bits[(int)label * WORDS + (int)(row / 32)], 1u << (row % 32));
    return passed + __popc(below);
}
