// Shared and global memory of a launch: each access is aligned, within shared memory, and ordered (races.hpp).
#pragma once
#include "races.hpp"

namespace machine {

static unsigned shared_size = 0;

// Shared memory has addresses from 0 on, global memory those of the host.
struct Shared {
    static constexpr bool IS_SHARED = true;
    static unsigned char* at(uint64_t address, int bytes, int place) {
        if (address + bytes > shared_size || address > shared_size) fail_at("past the end of shared memory", place);
        return host::shared_memory + address;
    }
    static Cell& cell(uint64_t address) { return shared_cells[host::cluster_rank()][address / CELL]; }
};

// The shared memory of all blocks of a cluster (shared::cluster): rank + 1 above an address, or 0 for the lane's own block.
struct Cluster {
    static constexpr bool IS_SHARED = true;
    static constexpr int SHIFT = 24;
    static uint64_t own(uint64_t address) { return address & ((1u << SHIFT) - 1); }
    static int rank(uint64_t address) {
        return address >> SHIFT ? int(address >> SHIFT) - 1 : host::cluster_rank();
    }
    static unsigned char* at(uint64_t address, int bytes, int place) {
        int block = rank(address), threads = int(blockDim.x);
        if (own(address) + bytes > shared_size) fail_at("past the end of shared memory", place);
        if (block != host::cluster_rank()) {
            const Moment& moment = now[host::current];
            if (!moment.waited) fail_at("access to a block that may not have started", place);
            for (int lane = block * threads; lane < (block + 1) * threads; lane++)
                if (host::lanes[lane].state == host::DONE) fail_at("access to a block that has ended", place);
            remote_arrived[block] = std::max(remote_place[block] ? remote_arrived[block] : 0, moment.arrived);
            remote_place[block] = place;
        }
        return host::shared_memories[block] + own(address);
    }
    static Cell& cell(uint64_t address) { return shared_cells[rank(address)][own(address) / CELL]; }
};

// mapa: the address in block `rank` of what is at `address` in the lane's own block.
inline uint32_t in_block(uint32_t address, uint32_t rank, int place) {
    if (rank >= unsigned(host::cluster_size)) fail_at("no such block in the cluster", place);
    return uint32_t(Cluster::own(address)) | (rank + 1) << Cluster::SHIFT;
}

// When a lane returns: its block ends, and so may nobody access it later, or without order.
inline void expect_no_visits(int place) {
    int rank = host::cluster_rank();
    if (remote_place[rank] && remote_arrived[rank] >= now[host::current].waited)
        fail_at("a block ends that others may still access", place, remote_place[rank]);
}

struct Global {
    static constexpr bool IS_SHARED = false;
    static unsigned char* at(uint64_t address, int, int) { return reinterpret_cast<unsigned char*>(address); }
    static Cell& cell(uint64_t address) { return global_cell(address); }
};

template <class Space>
[[gnu::noinline]]
unsigned char* checked(uint64_t address, int bytes, int place) {
    if (address % bytes) fail_at("misaligned address", place);
    COUNT_ACCESS(place, address, bytes, Space::IS_SHARED);
    return Space::at(address, bytes, place);
}

template <class Space, class T, int NUMBER>
[[gnu::noinline]]
void load(uint64_t address, T (&out)[NUMBER], int place) {
    unsigned char* from = checked<Space>(address, sizeof out, place);
    const Moment& moment = now[host::current];
    for (size_t i = 0; i < sizeof out; i += CELL) note_read(Space::cell(address + i), moment, place);
    std::memcpy(out, from, sizeof out);
}

template <class Space, class T, int NUMBER>
[[gnu::noinline]]
void store(uint64_t address, const T (&in)[NUMBER], int place) {
    unsigned char* to = checked<Space>(address, sizeof in, place);
    const Moment& moment = now[host::current];
    const unsigned char* bytes = reinterpret_cast<const unsigned char*>(in);
    for (size_t i = 0; i < sizeof in; i += CELL)
        note_write(Space::cell(address + i), moment, place, false, !std::memcmp(to + i, bytes + i, CELL));
    std::memcpy(to, in, sizeof in);
}

// An atomic operation: the place of a 32-bit word, which the caller reads and writes.
template <class Space>
[[gnu::noinline]]
uint32_t& atomic(uint64_t address, int place) {
    unsigned char* word = checked<Space>(address, 4, place);
    for (size_t i = 0; i < 4; i += CELL) note_write(Space::cell(address + i), now[host::current], place, true, false);
    return *reinterpret_cast<uint32_t*>(word);
}

// Before a launch: shared memory of each of a cluster's `blocks` has `bytes`, no access has been made.
inline void start_launch(unsigned bytes, int blocks) {
    shared_size = bytes;
    shared_cells.assign(blocks, std::vector<Cell>(bytes / CELL + 1));
    forget_accesses();
}

}  // namespace machine
