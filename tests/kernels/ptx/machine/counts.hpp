// Counts what a launch executes, by instruction: how often, and the work of its memory accesses. Compiled with
// -DXMC_COUNT only; `tests/kernels/counts` reads it.
//
// The lanes of a warp run one by one here, together on a GPU. So the n-th executions of an instruction by the lanes of a
// warp are taken as one execution.
//   - Shared memory: a wavefront serves each of 32 banks of four bytes once. 16-byte accesses take the lanes by eight,
//     8-byte accesses by sixteen; equal words are served together.
//   - Global memory: different sectors of 32 bytes.
#pragma once
#include <array>
#include <set>
#include <unordered_map>

#ifndef XMC_COUNT
#define COUNT(place)
#define COUNT_ACCESS(place, address, bytes, shared)
#define COUNT_WAVEFRONTS(place, number)
#define FINISH_COUNTS()
#else
#define COUNT(place) machine::count(place)
#define COUNT_ACCESS(place, address, bytes, shared) machine::count_access(place, address, bytes, shared)
#define COUNT_WAVEFRONTS(place, number) machine::totals[place].wavefronts += uint64_t(number)
#define FINISH_COUNTS() machine::finish_counts()

namespace machine {

using ByLane = std::array<uint32_t, host::MOST_LANES>;

struct Totals { uint64_t executed = 0, wavefronts = 0, sectors = 0; };  // of warps

struct WarpAccess {
    uint64_t address[host::WARP];
    uint32_t lanes = 0;
    int place, bytes;
    bool shared;
};

static std::unordered_map<int, Totals> totals;
static std::unordered_map<int, ByLane> executed, accessed;
static std::unordered_map<uint64_t, WarpAccess> accesses;

[[gnu::noinline]] inline void count(int place) { executed[place][host::current]++; }

[[gnu::noinline]] inline void count_access(int place, uint64_t address, int bytes, bool shared) {
    uint64_t number = accessed[place][host::current]++, warp = host::current / host::WARP;
    WarpAccess& access = accesses[uint64_t(place) << 40 | warp << 32 | number];
    access.address[host::lane_of_warp()] = address;
    access.lanes |= 1u << host::lane_of_warp();
    access.place = place, access.bytes = bytes, access.shared = shared;
}

inline int wavefronts(const WarpAccess& access) {
    int together = access.bytes > 4 ? 4 * host::WARP / access.bytes : host::WARP, sum = 0;
    for (int first = 0; first < host::WARP; first += together) {
        std::set<uint64_t> bank[host::WARP];
        for (int lane = first; lane < first + together; lane++)
            for (int byte = 0; access.lanes >> lane & 1u && byte < access.bytes; byte += 4) {
                uint64_t word = (access.address[lane] + byte) / 4;
                bank[word % host::WARP].insert(word);
            }
        size_t most = 0;
        for (const auto& words : bank) most = std::max(most, words.size());
        sum += int(most);
    }
    return sum;
}

inline int sectors(const WarpAccess& access) {
    std::set<uint64_t> touched;
    for (int lane = 0; lane < host::WARP; lane++)
        if (access.lanes >> lane & 1u) touched.insert(access.address[lane] / 32);
    return int(touched.size());
}

// After a block: adds what its warps executed.
inline void finish_counts() {
    for (auto& [place, by_lane] : executed)
        for (int first = 0; first < host::MOST_LANES; first += host::WARP)
            totals[place].executed += *std::max_element(&by_lane[first], &by_lane[first] + host::WARP);
    for (const auto& [_, access] : accesses) {
        if (access.shared) totals[access.place].wavefronts += wavefronts(access);
        else totals[access.place].sectors += sectors(access);
    }
    executed.clear(), accessed.clear(), accesses.clear();
}

}  // namespace machine

// Three numbers for each place: executions by warps, wavefronts, sectors. Forgets them.
extern "C" void host_counts(int places, uint64_t* out) {
    for (int place = 0; place < places; place++) {
        const machine::Totals& total = machine::totals[place];
        out[3 * place] = total.executed, out[3 * place + 1] = total.wavefronts, out[3 * place + 2] = total.sectors;
    }
    machine::totals.clear();
}
#endif
