// Runs the text of a CUDA kernel on the host, one block after another, every lane of a block as a fiber.
//
// A barrier is real: no lane goes past it before all lanes of the block (or warp) have reached it. Between barriers the
// lanes run one by one in an order drawn anew each time from `seed`, and some warps, drawn anew after each barrier of the
// block, only when all others wait, so that a kernel that lacks a barrier gives other bits for another seed. Shared memory
// starts as NaN bytes, and a canary behind it is checked after each block.
// The file is included before the kernel's text; g++ -std=c++20 -DXMC_HOST.
#pragma once
#undef _FORTIFY_SOURCE  // its longjmp refuses to change stacks
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
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
enum State { READY, AT_BLOCK, AT_WARP, DONE };

struct Lane {
    ucontext_t context;  // where it starts
    jmp_buf place;       // where it goes on: a swapcontext is two system calls, a jump none
    bool started = false;
    State state = READY;
    uint3 index{};
    std::vector<char> stack = std::vector<char>(STACK);
};

struct Exchange {  // what the lanes of a warp show each other
    uint64_t value[WARP];
    unsigned fragment[WARP][6];
    const void* address[WARP];
};

static jmp_buf scheduler;
static std::vector<Lane> lanes;
static std::vector<Exchange> exchanges;
static int current = 0;
static std::vector<unsigned char> shared_bytes;
static unsigned char* shared_memory = nullptr;  // 128-byte aligned
static void (*entry)() = nullptr;
static bool failed = false;

[[noreturn]] inline void fail(const char* what) {
    std::fprintf(stderr, "host run of a kernel: %s (block %u,%u thread %u)\n", what, blockIdx.x, blockIdx.y, threadIdx.x);
    std::abort();
}

inline void wait_at(State where) {
    lanes[current].state = where;
    if (!_setjmp(lanes[current].place)) _longjmp(scheduler, 1);
    threadIdx = lanes[current].index;
}

inline Exchange& warp_exchange() { return exchanges[current / WARP]; }
inline int lane_of_warp() { return current % WARP; }

inline void start_lane() {
    entry();
    lanes[current].state = DONE;
    _longjmp(scheduler, 1);
}

// Let the current lane run until it waits or is done.
inline void resume() {
    Lane& lane = lanes[current];
    if (_setjmp(scheduler)) return;
    if (lane.started) _longjmp(lane.place, 1);
    lane.started = true;
    setcontext(&lane.context);
}

// Let go of the lanes of [first, last) if every one that isn't done waits at `where`.
inline bool release(int first, int last, State where) {
    bool waiting = false;
    for (int lane = first; lane < last; lane++) {
        if (lanes[lane].state == READY || (lanes[lane].state != DONE && lanes[lane].state != where)) return false;
        waiting |= lanes[lane].state == where;
    }
    if (waiting)
        for (int lane = first; lane < last; lane++)
            if (lanes[lane].state == where) lanes[lane].state = READY;
    return waiting;
}

inline void run_block(std::mt19937& order_of) {
    int count = int(blockDim.x);
    std::fill(shared_bytes.begin(), shared_bytes.end(), 0xFF);
    for (int lane = 0; lane < count; lane++) {
        Lane& it = lanes[lane];
        it.state = READY;
        it.started = false;
        it.index = {unsigned(lane), 0, 0};
        getcontext(&it.context);
        it.context.uc_stack.ss_sp = it.stack.data();
        it.context.uc_stack.ss_size = it.stack.size();
        it.context.uc_link = nullptr;
        makecontext(&it.context, start_lane, 0);
    }
    std::vector<int> order(count);
    for (int lane = 0; lane < count; lane++) order[lane] = lane;
    unsigned asleep = order_of();  // warps that only run when the others can't: they lag a whole phase behind
    for (;;) {
        std::shuffle(order.begin(), order.end(), order_of);
        bool ran = false, alive = false;
        for (int lane : order) {
            if (lanes[lane].state != READY || asleep >> lane / WARP % 32 & 1u) continue;
            ran = true;
            current = lane;
            threadIdx = lanes[lane].index;
            resume();
        }
        for (int lane = 0; lane < count; lane++) alive |= lanes[lane].state != DONE;
        if (!alive) break;
        bool released = release(0, count, AT_BLOCK);
        if (released) asleep = order_of();
        for (int first = 0; first < count; first += WARP)
            released |= release(first, std::min(first + WARP, count), AT_WARP);
        if (!ran && !released && !asleep) fail("lanes wait at different barriers");
        if (!ran && !released) asleep = 0;
    }
    for (size_t i = shared_bytes.size() - CANARY; i < shared_bytes.size(); i++)
        if (shared_bytes[i] != 0xFF) fail("shared memory written past its end");
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

// launch: grid x, y, z, threads, dynamic shared bytes, seed of the lanes' order; pointers[i] points at argument i.
template <class... A>
int launch(void (*kernel)(A...), const int* shape, void** pointers) {
    gridDim = {unsigned(shape[0]), unsigned(shape[1]), unsigned(shape[2])};
    blockDim = {unsigned(shape[3]), 1, 1};
    shared_bytes.assign(size_t(shape[4]) + 128 + CANARY, 0xFF);
    shared_memory = shared_bytes.data();
    shared_memory += (128 - uintptr_t(shared_memory) % 128) % 128;
    shared_bytes.resize(size_t(shared_memory - shared_bytes.data()) + size_t(shape[4]) + CANARY);
    lanes = std::vector<Lane>(shape[3]);
    exchanges.resize((shape[3] + WARP - 1) / WARP);
    Call<A...>::kernel = kernel;
    Call<A...>::arguments = unpack<A...>(pointers, std::index_sequence_for<A...>{});
    entry = Call<A...>::go;
    std::mt19937 order_of{unsigned(shape[5])};
    std::vector<unsigned> blocks(size_t(shape[0]) * shape[1] * shape[2]);
    for (size_t i = 0; i < blocks.size(); i++) blocks[i] = unsigned(i);
    std::shuffle(blocks.begin(), blocks.end(), order_of);  // blocks may run in any order
    for (unsigned block : blocks) {
        blockIdx = {block % gridDim.x, block / gridDim.x % gridDim.y, block / gridDim.x / gridDim.y};
        run_block(order_of);
    }
    return sizeof...(A);
}

inline float bf16_value(unsigned bits) {
    uint32_t wide = bits << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

inline float fp16_value(unsigned bits) {
    int exponent = int(bits >> 10) & 31, fraction = int(bits) & 1023;
    float sign = bits & 0x8000 ? -1.0f : 1.0f;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? std::ldexp(float(fraction + 1024), exponent - 25) : std::ldexp(float(fraction), -24));
}

inline unsigned fp16_bits(float value) {  // round to nearest, ties to even
    unsigned sign = std::signbit(value) ? 0x8000u : 0u;
    double magnitude = std::fabs(double(value));
    if (std::isnan(value)) return sign | 0x7E00u;
    if (magnitude >= 65520.0) return sign | 0x7C00u;
    int exponent = magnitude == 0.0 ? -14 : std::max(std::ilogb(magnitude), -14);
    double steps = std::nearbyint(std::ldexp(magnitude, 10 - exponent));
    return sign | (steps >= 1024.0 ? unsigned((exponent + 15) * 1024 + int(steps) - 1024) : unsigned(steps));
}

// D = A B + C of mma.sync.m16n8k16, the fragments laid out over the lanes as PTX says; `value` decodes 16 bits.
inline void mma_m16n8k16(float* c, const unsigned* a, const unsigned* b, float (*value)(unsigned)) {
    Exchange& warp = warp_exchange();
    int lane = lane_of_warp();
    std::copy(a, a + 4, warp.fragment[lane]);
    std::copy(b, b + 2, warp.fragment[lane] + 4);
    wait_at(AT_WARP);
    auto half = [&](unsigned pair, int odd) { return value(odd ? pair >> 16 : pair & 0xFFFFu); };
    for (int i = 0; i < 4; i++) {
        int row = lane / 4 + 8 * (i / 2), column = lane % 4 * 2 + i % 2;
        float sum = 0.0f;
        for (int k = 0; k < 16; k++) {
            unsigned left = warp.fragment[row % 8 * 4 + k % 8 / 2][row / 8 + 2 * (k / 8)];
            unsigned right = warp.fragment[column * 4 + k % 8 / 2][4 + k / 8];
            sum += half(left, k & 1) * half(right, k & 1);
        }
        c[i] += sum;
    }
    wait_at(AT_WARP);
}

// ldmatrix.x4: lane i gives the address of row i % 8 of matrix i / 8; each lane gets two neighbours of each matrix.
inline void ldmatrix_x4(unsigned* out, const void* row, bool transposed) {
    Exchange& warp = warp_exchange();
    int lane = lane_of_warp();
    if (uintptr_t(row) % 16) fail("ldmatrix wants rows aligned to 16 bytes");
    warp.address[lane] = row;
    wait_at(AT_WARP);
    for (int matrix = 0; matrix < 4; matrix++) {
        auto element = [&](int r, int c) {
            if (transposed) std::swap(r, c);
            return unsigned(static_cast<const uint16_t*>(warp.address[8 * matrix + r])[c]);
        };
        int r = lane / 4, c = lane % 4 * 2;
        out[matrix] = element(r, c) | element(r, c + 1) << 16;
    }
    wait_at(AT_WARP);
}

template <class T>
T shuffle(T mine, int from) {
    Exchange& warp = warp_exchange();
    uint64_t bits = 0;
    std::memcpy(&bits, &mine, sizeof(T));
    warp.value[lane_of_warp()] = bits;
    wait_at(AT_WARP);
    bits = warp.value[from];
    wait_at(AT_WARP);
    T theirs;
    std::memcpy(&theirs, &bits, sizeof(T));
    return theirs;
}

}  // namespace host

inline void __syncthreads() { host::wait_at(host::AT_BLOCK); }
inline void __syncwarp(unsigned = 0xFFFFFFFFu) { host::wait_at(host::AT_WARP); }
template <class T> T __shfl_sync(unsigned, T value, int from) { return host::shuffle(value, from & 31); }
template <class T> T __shfl_xor_sync(unsigned, T value, int mask) { return host::shuffle(value, host::lane_of_warp() ^ mask); }
template <class T> T __shfl_up_sync(unsigned, T value, int by) {
    int from = host::lane_of_warp() - by;
    return host::shuffle(value, from < 0 ? host::lane_of_warp() : from);
}
inline unsigned __ballot_sync(unsigned, int predicate) {
    host::Exchange& warp = host::warp_exchange();
    unsigned votes = 0;
    warp.value[host::lane_of_warp()] = predicate != 0;
    host::wait_at(host::AT_WARP);
    for (int lane = 0; lane < 32; lane++) votes |= unsigned(warp.value[lane]) << lane;
    host::wait_at(host::AT_WARP);
    return votes;
}
inline unsigned __reduce_add_sync(unsigned, unsigned value) {
    host::Exchange& warp = host::warp_exchange();
    unsigned sum = 0;
    warp.value[host::lane_of_warp()] = value;
    host::wait_at(host::AT_WARP);
    for (int lane = 0; lane < 32; lane++) sum += unsigned(warp.value[lane]);
    host::wait_at(host::AT_WARP);
    return sum;
}
inline int __syncthreads_or(int predicate) {
    static int any = 0;
    any |= predicate != 0;
    host::wait_at(host::AT_BLOCK);
    int result = any;
    host::wait_at(host::AT_BLOCK);
    any = 0;
    host::wait_at(host::AT_BLOCK);
    return result;
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __clz(int bits) { return bits ? __builtin_clz(unsigned(bits)) : 32; }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline unsigned __float_as_uint(float v) { unsigned b; std::memcpy(&b, &v, 4); return b; }
inline float __uint_as_float(unsigned b) { float v; std::memcpy(&v, &b, 4); return v; }
inline int __float_as_int(float v) { return int(__float_as_uint(v)); }
inline float __int_as_float(int b) { return __uint_as_float(unsigned(b)); }
template <class T> T __ldg(const T* place) { return *place; }
template <class T> T atomicAdd(T* place, T value) { T before = *place; *place = before + value; return before; }
template <class T> T atomicMax(T* place, T value) { T before = *place; *place = std::max(before, value); return before; }
template <class T> T atomicOr(T* place, T value) { T before = *place; *place = before | value; return before; }
using std::min;
using std::max;
