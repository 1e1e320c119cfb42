// Finds accesses of two lanes to the same bytes, at least one of them a write, that no barrier orders.
//
// CUDA orders the accesses of two lanes by barriers alone: __syncthreads orders all lanes of the block, __syncwarp those
// of the warp. Shuffles, ballots and matrix products order nothing, though the lanes of this host wait for each other
// there. Blocks of a cluster are ordered by barriers of the cluster (barrier.cluster.arrive, wait), other blocks of a launch
// aren't at all.
//
// So a lane's time is the number of block barriers and of warp barriers that it has passed, and an access is before
// another if
//   - both are by the same lane,
//   - or the block has passed a barrier between them,
//   - or both are by one warp, which has passed a barrier between them,
//   - or both are by one cluster, and after the first its lane has arrived at a barrier for which the other has waited
//     before the second.
// A cell of two bytes keeps its last write, and the reads since then: any two accesses that conflict are compared,
// however the lanes ran. Two atomic operations never conflict, and neither do the lanes of a warp that write the same
// value by one instruction.
//
// Tensor cores that read shared memory themselves (wgmma) see what a lane has written only if that lane has executed
// fence.proxy.async before the barrier between the two.
#pragma once
#include <memory>
#include <unordered_map>

#include "counts.hpp"

namespace machine {

constexpr size_t CELL = 2, PAGE = 2048;  // bytes of a cell, cells of a page

struct Place { const char *instruction, *source; };  // an instruction, and the line it was compiled from
static const Place* places = nullptr;

struct Moment {  // when and by whom
    unsigned block = 0, lane = 0, block_barriers = 0, warp_barriers = 0, arrived = 0, waited = 0;
    unsigned fences = 0;  // fence.proxy.async, executed so far
    unsigned warp() const { return lane / host::WARP; }
    unsigned cluster() const { return block / unsigned(host::cluster_size); }
};

struct Cell {
    Moment write, read;            // the last of each; `place` 0: none yet
    int write_place = 0, read_place = 0;
    bool write_atomic = false, read_by_warps = false, read_by_blocks = false, read_by_clusters = false;  // more than one
    unsigned read_arrived = 0;     // the most of the blocks that read
    unsigned readers = 0;          // lanes of the warp that have read since its last barrier
};

static std::vector<std::vector<Cell>> shared_cells;  // of each block of the cluster
static std::unordered_map<uintptr_t, std::unique_ptr<Cell[]>> global_cells;
static Moment now[host::MOST_LANES];  // of each lane
static std::vector<Moment> fences[host::MOST_LANES];  // of each lane: when it executed fence.proxy.async

inline bool before(const Moment& earlier, const Moment& later) {
    if (earlier.cluster() == later.cluster() && earlier.arrived < later.waited) return true;
    if (earlier.block != later.block) return false;
    if (earlier.lane == later.lane || earlier.block_barriers != later.block_barriers) return true;
    return earlier.warp() == later.warp() && earlier.warp_barriers != later.warp_barriers;
}

inline bool reads_before(const Cell& cell, const Moment& later) {
    if (!cell.read_place) return true;
    if (cell.read_by_clusters || cell.read.cluster() != later.cluster()) return false;
    if (cell.read_arrived < later.waited) return true;
    if (cell.read_by_blocks || cell.read.block != later.block) return false;
    if (cell.read.block_barriers != later.block_barriers) return true;
    if (cell.read_by_warps || cell.read.warp() != later.warp()) return false;
    return cell.read.warp_barriers != later.warp_barriers || !(cell.readers & ~(1u << later.lane % host::WARP));
}

[[noreturn]] inline void fail_at(const char* what, int place, int other = 0) {
    char text[400];
    std::snprintf(text, sizeof text, "%s: `%s` of %s%s%s", what, places[place].instruction, places[place].source,
                  other ? ", and " : "", other ? places[other].source : "");
    host::fail(text);
}

inline void note_read(Cell& cell, const Moment& moment, int place) {
    if (cell.write_place && !before(cell.write, moment)) fail_at("race of a read with a write", place, cell.write_place);
    bool same_cluster = cell.read_place && cell.read.cluster() == moment.cluster();
    cell.read_by_clusters |= cell.read_place && !same_cluster;
    if (same_cluster && cell.read_arrived < moment.waited) {  // this one stands for all before it
        cell.read_by_blocks = cell.read_by_warps = false;
        cell.readers = cell.read_arrived = 0;
        cell.read = moment;
    }
    cell.read_arrived = std::max(cell.read_arrived, moment.arrived);
    bool same_block = cell.read_place && cell.read.block == moment.block;
    bool same_phase = same_block && cell.read.block_barriers == moment.block_barriers;
    bool same_warp = same_phase && cell.read.warp() == moment.warp();
    cell.read_by_blocks |= cell.read_place && !same_block;
    cell.read_by_warps = same_phase && (cell.read_by_warps || !same_warp);
    if (!same_warp || cell.read.warp_barriers != moment.warp_barriers) cell.readers = 0;
    cell.readers |= 1u << moment.lane % host::WARP;
    cell.read = moment;
    cell.read_place = place;
}

inline void fence_async() {
    fences[host::current].push_back(now[host::current]);
    now[host::current].fences++;
}

// A read by the tensor cores: `moment` is when a lane of the warp whose product it is starts the product, or has waited for
// it. All lanes of that warp wait for it, so it stands for none of them alone.
inline void note_async_read(Cell& cell, const Moment& moment, int place) {
    const Moment& write = cell.write;
    unsigned writer = write.block % unsigned(host::cluster_size) * blockDim.x + write.lane;
    bool ordered = cell.write_place && before(write, moment);
    if (ordered && (fences[writer].size() <= write.fences || !before(fences[writer][write.fences], moment)))
        fail_at("no fence.proxy.async between a write and a product that reads it", place, cell.write_place);
    unsigned mine = cell.readers & 1u << moment.lane % host::WARP;
    note_read(cell, moment, place);
    cell.readers &= ~(1u << moment.lane % host::WARP) | mine;
}

// `same`: the bytes hold this value already.
inline void note_write(Cell& cell, const Moment& moment, int place, bool atomic, bool same) {
    bool one_value = same && cell.write_place == place && cell.write.block == moment.block &&
                     cell.write.warp() == moment.warp();
    bool ordered = before(cell.write, moment) || (atomic && cell.write_atomic) || one_value;
    if (cell.write_place && !ordered) fail_at("race of two writes", place, cell.write_place);
    if (!reads_before(cell, moment)) fail_at("race of a write with a read", place, cell.read_place);
    cell.write = moment;
    cell.write_place = place;
    cell.write_atomic = atomic;
    cell.read_place = 0;
    cell.read_by_clusters = cell.read_by_blocks = cell.read_by_warps = false;
    cell.readers = cell.read_arrived = 0;
}

inline Cell& global_cell(uintptr_t address) {
    static uintptr_t last = 0;
    static Cell* page = nullptr;
    uintptr_t number = address / (CELL * PAGE);
    if (number != last || global_cells.empty()) {
        auto& slot = global_cells[number];
        if (!slot) slot.reset(new Cell[PAGE]);
        page = slot.get();
        last = number;
    }
    return page[address / CELL % PAGE];
}

static unsigned running_cluster = ~0u;
static int remote_place[8];        // of the last access to a block's shared memory by another one, 0: none
static unsigned remote_arrived[8]; // how often its lane had arrived

inline void forget_accesses() {
    global_cells.clear();
    running_cluster = ~0u;
}

// Called by each lane when it starts; a new cluster finds shared memory unused.
inline void start_lane() {
    unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    now[host::current] = Moment{block, threadIdx.x};
    fences[host::current].clear();
    if (now[host::current].cluster() != running_cluster) {
        for (auto& cells : shared_cells) std::fill(cells.begin(), cells.end(), Cell{});
        std::fill(remote_place, remote_place + 8, 0);
        FINISH_COUNTS();
    }
    running_cluster = now[host::current].cluster();
}

}  // namespace machine
