// Number formats, 16-byte accesses and the names that every kernel uses.
//
// The dialect: no headers, no templates in entries. An entry is `extern "C"` and is specialised by macros with whole
// numbers as values, so that the same text compiles under NVRTC, nvcc and, for tests, g++ (XMC_HOST). `#include`
// paths are relative to kernels/. WEIGHT and FEATURE choose a number format: 0 float32, 1 bfloat16, 2 float16; WEIGHT
// has 3 besides, numbers of 8 bits.
// Offsets into weights are 64 bits, because L x K passes 2^31.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifndef WEIGHT
#define WEIGHT 1
#endif
#ifndef FEATURE
#define FEATURE 1
#endif

#ifndef DYNAMIC_ALIGNMENT
#define DYNAMIC_ALIGNMENT 128  // bytes
#endif
#ifdef XMC_HOST
#define DYNAMIC_SHARED(name) unsigned char* name = host::shared_memory
#else
#define DYNAMIC_SHARED(name) extern __shared__ __align__(DYNAMIC_ALIGNMENT) unsigned char name[]
#endif

#define WARP_SIZE 32
#define FULL_WARP 0xFFFFFFFFu

struct Bf16 { u16 bits; };
struct Fp16 { u16 bits; };
struct E4m3 { u8 bits; };

#if WEIGHT == 0
typedef float weight_t;
#elif WEIGHT == 1
typedef Bf16 weight_t;
#elif WEIGHT == 2
typedef Fp16 weight_t;
#elif WEIGHT == 3
typedef E4m3 weight_t;
#else
#error "unknown WEIGHT: expected 0 (float32), 1 (bfloat16), 2 (float16) or 3 (E4M3)"
#endif

// What tensor cores multiply where weights, features and gradients have one format of 16 bits. Weights of 8 bits are
// decoded to bfloat16.
#if WEIGHT == 2
typedef Fp16 half_t;
#else
typedef Bf16 half_t;
#endif

#if FEATURE == 0
typedef float feature_t;
#elif FEATURE == 1
typedef Bf16 feature_t;
#elif FEATURE == 2
typedef Fp16 feature_t;
#else
#error "unknown FEATURE: expected 0 (float32), 1 (bfloat16) or 2 (float16)"
#endif

// ---- one number to float32 and back -------------------------------------------------------------------------------

__device__ __forceinline__ float to_float(float value) { return value; }

__device__ __forceinline__ float to_float(Bf16 value) { return __uint_as_float((u32)value.bits << 16); }

__device__ __forceinline__ float to_float(Fp16 value) {
#ifdef XMC_HOST
    return host::fp16_value(value.bits);
#else
    float out;
    asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"(value.bits));
    return out;
#endif
}

// Round to nearest, ties to even.
__device__ __forceinline__ void from_float(float value, float& out) { out = value; }

__device__ __forceinline__ void from_float(float value, Bf16& out) {
    u32 bits = __float_as_uint(value);
    out.bits = (value != value) ? (u16)0x7FC0 : (u16)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

__device__ __forceinline__ void from_float(float value, Fp16& out) {
#ifdef XMC_HOST
    out.bits = (u16)host::fp16_bits(value);
#else
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(value));
#endif
}

// ---- eight neighbouring numbers (an octet) by 16-byte accesses; addresses are multiples of 16 bytes -----------------

__device__ __forceinline__ void load8(const float* from, float* out) {
    float4 low = *(const float4*)from, high = *(const float4*)(from + 4);
    out[0] = low.x; out[1] = low.y; out[2] = low.z; out[3] = low.w;
    out[4] = high.x; out[5] = high.y; out[6] = high.z; out[7] = high.w;
}

template <class Half>
__device__ __forceinline__ void load8(const Half* from, float* out) {
    uint4 bits = *(const uint4*)from;
    u32 word[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 8; i++) {
        Half half;
        half.bits = (u16)(word[i / 2] >> (16 * (i % 2)));
        out[i] = to_float(half);
    }
}

__device__ __forceinline__ void load8(const u16* from, u32* out) {
    uint4 bits = *(const uint4*)from;
    u32 word[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 8; i++) out[i] = (word[i / 2] >> (16 * (i % 2))) & 0xFFFFu;
}

__device__ __forceinline__ void store8(float* to, const float* in) {
    *(float4*)to = float4{in[0], in[1], in[2], in[3]};
    *(float4*)(to + 4) = float4{in[4], in[5], in[6], in[7]};
}

template <class Half>
__device__ __forceinline__ void store8(Half* to, const Half* in) {
    u32 word[4];
#pragma unroll
    for (int i = 0; i < 4; i++) word[i] = (u32)in[2 * i].bits | ((u32)in[2 * i + 1].bits << 16);
    *(uint4*)to = uint4{word[0], word[1], word[2], word[3]};
}

// Halfword i of a packed array of 16-bit numbers.
__device__ __forceinline__ u32 halfword(const u32* words, int i) {
    return words[i / 2] >> (16 * (i % 2)) & 0xFFFFu;
}

// ---- weights of 8 bits ----------------------------------------------------------------------------------------------
//
// E4M3 numbers (4 bits of exponent, 3 of fraction, no infinity) of 64 times the weight, as xmcpipe/ops/rounding.py
// defines them. Every weight is a number of bfloat16 and of float16 too: what is decoded is exact. NaN (the codes 0x7F and
// 0xFF) stays NaN. Eight neighbours are read and written by 8 bytes, so that K may be any multiple of 8; the kernels of
// groups copy 16 of them by 16 bytes (group/tiles.cuh).

#define E4M3_SCALE 64.0f
#define E4M3_NAN 0x7Fu

// The weight of a code: exponent and fraction, moved to the place of float32's, are the number times 2^(7 - 127).
__device__ __forceinline__ float e4m3_weight(u32 code) {
    float scale = __uint_as_float((127u + 120u - 6u) << 23);  // 2^120, and 1 / 64
    float weight = __uint_as_float((code & 0x80u) << 24 | (code & 0x7Fu) << 20) * scale;
    return (code & 0x7Fu) == E4M3_NAN ? __uint_as_float(0x7FC00000u) : weight;
}

// The weights of two codes, the first in the low byte of `codes`, which has 16 bits.
__device__ __forceinline__ float2 e4m3_pair(u32 codes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    u32 halves;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"((u16)codes));
    float low = to_float(Fp16{(u16)halves}), high = to_float(Fp16{(u16)(halves >> 16)});
    return float2{low * (1.0f / E4M3_SCALE), high * (1.0f / E4M3_SCALE)};
#else
    return float2{e4m3_weight(codes & 0xFFu), e4m3_weight(codes >> 8)};
#endif
}

__device__ __forceinline__ float to_float(E4m3 value) { return e4m3_weight(value.bits); }

__device__ __forceinline__ void load8(const E4m3* from, float* out) {
    uint2 codes = *(const uint2*)from;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float2 pair = e4m3_pair((i < 2 ? codes.x : codes.y) >> 16 * (i % 2) & 0xFFFFu);
        out[2 * i] = pair.x;
        out[2 * i + 1] = pair.y;
    }
}

__device__ __forceinline__ void store8(E4m3* to, const E4m3* in) {
    u32 word[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 8; i++) word[i / 4] |= (u32)in[i].bits << 8 * (i % 4);
    *(uint2*)to = uint2{word[0], word[1]};
}

// Four weights as bfloat16 numbers: the upper halves of their float32 bits, since the lower ones are 0.
__device__ __forceinline__ uint2 e4m3_halves(u32 codes) {
    float2 low = e4m3_pair(codes & 0xFFFFu), high = e4m3_pair(codes >> 16);
    return uint2{__float_as_uint(low.x) >> 16 | (__float_as_uint(low.y) & 0xFFFF0000u),
                 __float_as_uint(high.x) >> 16 | (__float_as_uint(high.y) & 0xFFFF0000u)};
}

// Eight weights as they are stored in 8 or 16 bits.
#if WEIGHT == 3
typedef uint2 stored_octet_t;
#else
typedef uint4 stored_octet_t;
#endif

__device__ __forceinline__ uint4 halves_of(uint4 stored) { return stored; }

__device__ __forceinline__ uint4 halves_of(uint2 codes) {
    uint2 low = e4m3_halves(codes.x), high = e4m3_halves(codes.y);
    return uint4{low.x, low.y, high.x, high.y};
}
