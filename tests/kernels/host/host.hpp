// Runs the text of a CUDA kernel on the host, one cluster of blocks after another (usually a cluster is one block), every
// lane as a fiber.
//
// A barrier is real: no lane passes it before all lanes of the block (or warp) have reached it. Between barriers the
// lanes run one by one, in a random order drawn from `seed` each time. After each barrier of the block some warps are
// drawn that run only when all others wait. So a kernel that lacks a barrier gives other bits for another seed. Shared
// memory starts as NaN bytes, and a canary behind it is checked after each block. Static shared memory is one for all
// blocks: kernels in clusters have none. cluster.hpp has what blocks of a cluster do together, copies.hpp copies
// that run meanwhile.
//
// The file is included before the kernel's text: g++ -std=c++20 -DXMC_HOST. intrinsics.hpp has the functions that CUDA
// defines; this file has the rest: types, lanes, barriers, blocks.
#pragma once
#undef _FORTIFY_SOURCE  // its longjmp refuses to switch stacks
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __shared__ static
#define __constant__ static const
#define __align__(n) alignas(n)

struct uint3 { unsigned x, y, z; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct dim3 { unsigned x, y, z; };

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;

namespace host {

constexpr int WARP = 32;
constexpr size_t STACK = 128 * 1024, CANARY = 256;
constexpr int MOST_LANES = 2048;  // of a cluster
enum State { READY, AT_BLOCK, AT_WARP, AT_CLUSTER, DONE };

struct Copy {  // 16 bytes to shared memory; zeros if `from` is null
    void* to;
    const void* from;
};

struct RemoteStore {  // to another block's shared memory
    void* to;
    unsigned char bytes[16];
    int count;
};

struct Lane {
    ucontext_t context;  // entry, with a stack of its own
    jmp_buf place;       // where it resumes: a swapcontext takes two system calls, a jump none
    bool started = false;
    State state = READY;
    int waits_at = 0;    // the instruction at which it waits, 0 if unknown
    uint3 index{};
    unsigned arrived = 0, waited = 0;      // halves of barriers of the cluster
    std::vector<RemoteStore> remote;       // that the others don't see yet
    std::deque<std::vector<Copy>> copies;  // batches of asynchronous copies; the last one is still open
    // Not filled: only what a kernel uses of it is in memory, and a process of tests loads hundreds of kernels.
    std::unique_ptr<char[]> stack{new char[STACK]};
};

struct Exchange {  // values that the lanes of a warp pass to each other
    uint64_t value[WARP];
    unsigned fragment[WARP][6];
    const void* address[WARP];
};

static jmp_buf scheduler;
static std::vector<Lane> lanes;
static std::vector<Exchange> exchanges;
static int current = 0;
static std::vector<std::vector<unsigned char>> shared_bytes;  // of each block of the cluster
static std::vector<unsigned char*> shared_memories;           // 128-byte aligned
static unsigned char* shared_memory = nullptr;                // of the current lane's block
static int cluster_size = 1, cluster_number = 0;
static void (*entry)() = nullptr;
static char failure[512] = "";

inline void report(const char* what) {
    if (*failure) return;
    std::snprintf(failure, sizeof failure, "%s (block %u,%u,%u thread %u)", what, blockIdx.x, blockIdx.y, blockIdx.z,
                  threadIdx.x);
}

// Called by a lane.
[[noreturn]] inline void fail(const char* what) {
    report(what);
    lanes[current].state = DONE;
    _longjmp(scheduler, 1);
}

inline void wait_at(State where, int place = 0) {
    lanes[current].state = where;
    lanes[current].waits_at = place;
    if (!_setjmp(lanes[current].place)) _longjmp(scheduler, 1);
    threadIdx = lanes[current].index;
}

inline int cluster_rank() { return current / int(blockDim.x); }  // of the current lane's block

// Makes a lane the one that runs.
inline void choose(int lane) {
    current = lane;
    threadIdx = lanes[lane].index;
    unsigned block = unsigned(cluster_number * cluster_size + cluster_rank());
    blockIdx = {block % gridDim.x, block / gridDim.x % gridDim.y, block / gridDim.x / gridDim.y};
    shared_memory = shared_memories[cluster_rank()];
}

inline Exchange& warp_exchange() { return exchanges[current / WARP]; }
inline int lane_of_warp() { return current % WARP; }

inline void start_lane() {
    entry();
    for (const auto& batch : lanes[current].copies)
        if (!batch.empty()) fail("a copy was started and never waited for");
    if (!lanes[current].remote.empty()) fail("a store to another block has no barrier of the cluster behind it");
    lanes[current].state = DONE;
    _longjmp(scheduler, 1);
}

// Run the current lane until it waits or is done.
inline void resume() {
    Lane& lane = lanes[current];
    if (_setjmp(scheduler)) return;
    if (lane.started) _longjmp(lane.place, 1);
    lane.started = true;
    setcontext(&lane.context);
}

// Release the lanes of [first, last) if each of them either is done or waits at `where`.
inline bool release(int first, int last, State where) {
    bool waiting = false;
    for (int lane = first; lane < last; lane++) {
        if (lanes[lane].state == READY || (lanes[lane].state != DONE && lanes[lane].state != where)) return false;
        waiting |= lanes[lane].state == where;
    }
    int place = -1;
    for (int lane = first; waiting && lane < last; lane++) {
        if (lanes[lane].state != where) continue;
        if (place >= 0 && lanes[lane].waits_at != place) report("lanes wait together at different instructions");
        place = lanes[lane].waits_at;
        lanes[lane].state = READY;
    }
    return waiting;
}

// Release the lanes that wait for a barrier of the cluster, if all that aren't done have arrived at it.
inline bool release_cluster() {
    unsigned arrived = ~0u;
    for (const Lane& lane : lanes)
        if (lane.state != DONE) arrived = std::min(arrived, lane.arrived);
    bool released = false;
    for (Lane& lane : lanes) {
        if (lane.state != AT_CLUSTER || lane.waited >= arrived) continue;
        lane.waited++;
        lane.state = READY;
        released = true;
    }
    return released;
}

inline void make_ready(int lane) {
    Lane& it = lanes[lane];
    it.state = READY;
    it.started = false;
    it.arrived = it.waited = 0;
    it.copies.assign(1, {});
    it.remote.clear();
    it.index = {unsigned(lane) % blockDim.x, 0, 0};
    getcontext(&it.context);
    it.context.uc_stack.ss_sp = it.stack.get();
    it.context.uc_stack.ss_size = STACK;
    it.context.uc_link = nullptr;
    makecontext(&it.context, start_lane, 0);
}

// Release all lanes that need not wait any longer; a barrier of a block or of the cluster draws who is asleep.
inline bool release_all(unsigned& asleep, std::mt19937& order_of) {
    int count = int(lanes.size()), threads = int(blockDim.x);
    bool of_block = release_cluster();
    for (int first = 0; first < count; first += threads) of_block |= release(first, first + threads, AT_BLOCK);
    if (of_block) asleep = order_of();
    bool released = of_block;
    for (int block = 0; block < count; block += threads)
        for (int first = block; first < block + threads; first += WARP)
            released |= release(first, std::min(first + WARP, block + threads), AT_WARP);
    return released;
}

inline void run_cluster(std::mt19937& order_of) {
    int count = int(lanes.size());
    for (auto& bytes : shared_bytes) std::fill(bytes.begin(), bytes.end(), 0xFF);
    for (int lane = 0; lane < count; lane++) make_ready(lane);
    std::vector<int> order(count);
    for (int lane = 0; lane < count; lane++) order[lane] = lane;
    unsigned asleep = order_of();  // bitmask of warps that run only when the others can't, so lag a whole phase
    for (;;) {
        std::shuffle(order.begin(), order.end(), order_of);
        bool ran = false, alive = false;
        for (int lane : order) {
            if (lanes[lane].state != READY || asleep >> lane / WARP % 32 & 1u) continue;
            ran = true;
            choose(lane);
            resume();
            if (*failure) return;
        }
        for (int lane = 0; lane < count; lane++) alive |= lanes[lane].state != DONE;
        if (!alive) break;
        bool released = release_all(asleep, order_of);
        if (!ran && !released && !asleep) report("lanes wait at different barriers");
        if (*failure) return;
        if (!ran && !released) asleep = 0;
    }
    for (const auto& bytes : shared_bytes)
        for (size_t i = bytes.size() - CANARY; i < bytes.size(); i++)
            if (bytes[i] != 0xFF) report("shared memory written past its end");
}

template <class... A>
struct Call {
    static inline void (*kernel)(A...) = nullptr;
    static inline std::tuple<A...> arguments;
    static void go() { std::apply(kernel, arguments); }
};

template <class... A, size_t... I>
std::tuple<A...> unpack(void** pointers, std::index_sequence<I...>) {
    return std::tuple<A...>(*static_cast<A*>(pointers[I])...);
}

// Makes the lanes and the shared memory of a cluster of blocks.
inline void make_cluster(int blocks, int threads, size_t bytes) {
    cluster_size = blocks;
    shared_bytes.assign(blocks, std::vector<unsigned char>(bytes + 128 + CANARY, 0xFF));
    shared_memories.clear();
    for (auto& memory : shared_bytes) {
        unsigned char* aligned = memory.data() + (128 - uintptr_t(memory.data()) % 128) % 128;
        memory.resize(size_t(aligned - memory.data()) + bytes + CANARY);
        shared_memories.push_back(aligned);
    }
    lanes = std::vector<Lane>(blocks * threads);
    exchanges.resize(blocks * ((threads + WARP - 1) / WARP));
}

// `shape`: grid x, y, z, threads, dynamic shared bytes, seed of the lanes' order, blocks of a cluster; pointers[i] points
// at argument i. Returns the number of arguments, -1 after a fault.
template <class... A>
int launch(void (*kernel)(A...), const int* shape, void** pointers) {
    gridDim = {unsigned(shape[0]), unsigned(shape[1]), unsigned(shape[2])};
    blockDim = {unsigned(shape[3]), 1, 1};
    make_cluster(shape[6], shape[3], size_t(shape[4]));
    Call<A...>::kernel = kernel;
    Call<A...>::arguments = unpack<A...>(pointers, std::index_sequence_for<A...>{});
    entry = Call<A...>::go;
    *failure = 0;
    if (shape[0] % cluster_size || shape[3] * cluster_size > MOST_LANES) report("a cluster that the grid can't have");
    std::mt19937 order_of{unsigned(shape[5])};
    std::vector<int> clusters(size_t(shape[0]) * shape[1] * shape[2] / cluster_size);
    for (size_t i = 0; i < clusters.size(); i++) clusters[i] = int(i);
    std::shuffle(clusters.begin(), clusters.end(), order_of);  // they may run in any order
    for (int number : clusters) {
        if (*failure) return -1;
        cluster_number = number;
        run_cluster(order_of);
    }
    return *failure ? -1 : int(sizeof...(A));
}

}  // namespace host

extern "C" const char* host_failure() { return host::failure; }

#include "cluster.hpp"
#include "copies.hpp"
#include "intrinsics.hpp"
#include "warpgroups.hpp"
