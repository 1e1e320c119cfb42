// What the lanes of a warp or a block do together. Not inlined, which would take g++ several times as long. Barriers are counted for races.hpp; the others order no access.
#pragma once
#include "memory.hpp"

namespace machine {

constexpr uint32_t FULL_MASK = 0xFFFFFFFFu;

inline void block_barrier(int place) {
    now[host::current].block_barriers++;
    host::wait_at(host::AT_BLOCK, place);
}

inline void warp_barrier(uint32_t mask, int place) {
    if (mask != FULL_MASK) fail_at("barrier of a part of a warp, which this host doesn't know", place);
    now[host::current].warp_barriers++;
    host::wait_at(host::AT_WARP, place);
}

// The halves of a barrier of the cluster.
inline void cluster_arrive(int place) {
    if (host::lanes[host::current].arrived != host::lanes[host::current].waited)
        fail_at("arrives at a barrier of the cluster without having waited for the last one", place);
    now[host::current].arrived++;
    host::cluster_arrive();
}

inline void cluster_wait(int place) {
    if (host::lanes[host::current].arrived == host::lanes[host::current].waited)
        fail_at("waits for a barrier of the cluster at which it hasn't arrived", place);
    host::cluster_wait(place);
    now[host::current].waited++;
}

inline bool block_barrier_or(bool predicate, int place) {
    static bool any_of[8];
    bool& any = any_of[host::cluster_rank()];
    any |= predicate;
    block_barrier(place);
    bool result = any;
    host::wait_at(host::AT_BLOCK, place);  // all have read it
    any = false;
    host::wait_at(host::AT_BLOCK, place);
    return result;
}

// Gives the lanes' values to `use`, which is called when all have given theirs.
template <class Use>
auto exchanged(uint64_t value, uint32_t mask, int place, Use use) {
    if (mask != FULL_MASK) fail_at("exchange in a part of a warp, which this host doesn't know", place);
    host::Exchange& warp = host::warp_exchange();
    warp.value[host::lane_of_warp()] = value;
    host::wait_at(host::AT_WARP, place);
    auto result = use(warp.value);
    host::wait_at(host::AT_WARP, place);
    return result;
}

// shfl: `from` is the lane that is read; lanes out of the warp read their own.
[[gnu::noinline]] inline uint32_t shuffle(uint32_t value, int from, uint32_t clamp, uint32_t expected, uint32_t mask, int place) {
    if (clamp != expected) fail_at("shuffle in a part of a warp, which this host doesn't know", place);
    int source = from >= 0 && from < host::WARP ? from : host::lane_of_warp();
    return exchanged(value, mask, place, [&](const uint64_t* all) { return uint32_t(all[source]); });
}

[[gnu::noinline]] inline uint32_t ballot(bool predicate, uint32_t mask, int place) {
    return exchanged(predicate, mask, place, [](const uint64_t* all) {
        uint32_t votes = 0;
        for (int lane = 0; lane < host::WARP; lane++) votes |= uint32_t(all[lane]) << lane;
        return votes;
    });
}

[[gnu::noinline]] inline uint32_t sum_of_warp(uint32_t value, uint32_t mask, int place) {
    return exchanged(value, mask, place, [](const uint64_t* all) {
        uint32_t sum = 0;
        for (int lane = 0; lane < host::WARP; lane++) sum += uint32_t(all[lane]);
        return sum;
    });
}

// ldmatrix.x4: the row that this lane gives the address of is read, by this lane as far as races go.
[[gnu::noinline]] inline void load_matrices(uint32_t (&out)[4], uint64_t address, bool transposed, int place) {
    uint32_t row[4];
    load<Shared>(address, row, place);
    host::ldmatrix_x4(out, host::shared_memory + address, transposed);
}

// mma.m16n8k16 with float32 sums; `bf16` or fp16 numbers.
[[gnu::noinline]] inline void multiply_matrices(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], bool bf16) {
    host::mma_m16n8k16(c, a, b, bf16 ? host::bf16_value : host::fp16_value);
}

}  // namespace machine
