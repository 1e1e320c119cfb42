// The CUDA functions that kernels call, on the host: number formats, matrix instructions, warps, barriers, bits.
//
// Lanes of a warp exchange values through `host::warp_exchange`, with a barrier of the warp before and after reading.
#pragma once

namespace host {

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

// D = A B + C of mma.sync.m16n8k16, with PTX's layout of fragments over the lanes; `value` decodes 16 bits.
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

// ldmatrix.x4: lane i provides the address of row i % 8 of matrix i / 8; each lane gets two neighbours of each matrix.
inline void ldmatrix_x4(unsigned* out, const void* row, bool transposed) {
    Exchange& warp = warp_exchange();
    int lane = lane_of_warp();
    if (uintptr_t(row) % 16) fail("ldmatrix needs rows aligned to 16 bytes");
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
