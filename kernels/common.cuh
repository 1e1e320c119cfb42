// What every kernel shares: number formats, wide loads, random words, stochastic rounding.
//
// The dialect: no headers and no templates in entries (`extern "C"`, specialised by macros), so that the text compiles
// alike under NVRTC, nvcc and, for tests, g++ (XMC_HOST). WEIGHT and FEATURE choose a format: 0 float32, 1 bfloat16,
// 2 float16. Offsets into weights are 64 bits: L x K passes 2^31.
#pragma once

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

#ifdef XMC_HOST
#define DYNAMIC_SHARED(name) unsigned char* name = host::shared_memory
#else
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
#endif

#define WARP_SIZE 32
#define FULL_WARP 0xFFFFFFFFu

struct Bf16 { u16 bits; };
struct Fp16 { u16 bits; };

#if WEIGHT == 0
typedef float weight_t;
#elif WEIGHT == 1
typedef Bf16 weight_t;
#else
typedef Fp16 weight_t;
#endif

#if FEATURE == 0
typedef float feature_t;
#elif FEATURE == 1
typedef Bf16 feature_t;
#else
typedef Fp16 feature_t;
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

// ---- eight neighbours by 16-byte accesses (addresses aligned to 16 bytes) -------------------------------------------

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

// ---- Philox4x32-10 (Salmon et al., 2011), word for word that of ops/philox.py ---------------------------------------

struct Words { u32 x[4]; };

__device__ __forceinline__ Words philox(u32 c0, u32 c1, u32 c2, u32 c3, u64 seed) {
    u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u32 high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        u32 high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

// ---- stochastic rounding: up or down with the odds of the part cut off, by 16 random bits (ops/rounding.py) ----------

// The four words that round the eight places 8 * block .. 8 * block + 7 of a label, at an optimizer step.
__device__ __forceinline__ Words rounding_words(u64 label, u32 block, i64 step, u64 seed) {
    return philox((u32)label, (u32)(label >> 32), block, 0x80000000u + (u32)step, seed);
}

__device__ __forceinline__ u32 rounding_bits(const Words& words, int place) {
    return (words.x[place / 2] >> (16 * (place % 2))) & 0xFFFFu;
}

__device__ __forceinline__ void round_randomly(float value, u32, float& out) { out = value; }

__device__ __forceinline__ void round_randomly(float value, u32 random, Bf16& out) {
    u32 bits = __float_as_uint(value), sign = bits & 0x80000000u, magnitude = bits & 0x7FFFFFFFu;
    magnitude = (magnitude + random) >> 16;
    if (magnitude > 0x7F7Fu) magnitude = (value != value) ? 0x7FC0u : 0x7F7Fu;
    out.bits = (u16)(magnitude | (sign >> 16));
}

__device__ __forceinline__ void round_randomly(float value, u32 random, Fp16& out) {
    u32 bits = __float_as_uint(value), sign = bits & 0x80000000u, magnitude = bits & 0x7FFFFFFFu;
    float size = __uint_as_float(magnitude);
    if (size < 6.103515625e-05f)  // below 2^-14 the steps of float16 are all 2^-24
        size = (float)(u32)(size * 16777216.0f + (float)random * 1.52587890625e-05f) * 5.9604644775390625e-08f;
    else
        size = __uint_as_float((magnitude + (random & 0x1FFFu)) & ~0x1FFFu);
    if (size > 65504.0f) size = 65504.0f;
    from_float(value != value ? value : __uint_as_float(__float_as_uint(size) | sign), out);
}

// ---- one connection's SGD step, as torch.optim.SGD ------------------------------------------------------------------

struct Sgd {
    float scale;         // what the gradient of the loss's sum is multiplied by
    float rate;
    float weight_decay;
    float momentum;      // 0: none is kept
};

// The new weight, unrounded; `velocity` is the momentum before and after (unused without momentum).
__device__ __forceinline__ float sgd(const Sgd& by, float weight, float gradient, float& velocity) {
    float change = by.scale * gradient + by.weight_decay * weight;
    if (by.momentum != 0.0f) change = velocity = by.momentum * velocity + change;
    return weight - by.rate * change;
}

// The same where momentum is kept, whatever its factor: at 0 the momentum is the last change, as in torch.
__device__ __forceinline__ float sgd_with_momentum(const Sgd& by, float weight, float gradient, float& velocity) {
    velocity = by.momentum * velocity + (by.scale * gradient + by.weight_decay * weight);
    return weight - by.rate * velocity;
}

// ---- losses over all labels: value and gradient of a score (modeling/losses.py) --------------------------------------

#ifndef LOSS
#define LOSS 0  // 0 none, 1 squared hinge, 2 binary cross entropy with logits
#endif

#ifdef XMC_HOST
__device__ __forceinline__ float fast_exp(float v) { return std::exp(v); }
__device__ __forceinline__ float fast_log1p(float v) { return std::log1p(v); }
#else
__device__ __forceinline__ float fast_exp(float v) { return expf(v); }
__device__ __forceinline__ float fast_log1p(float v) { return log1pf(v); }
#endif

__device__ __forceinline__ float loss_gradient(float score, bool positive, float& loss) {
#if LOSS == 1
    float slack = positive ? 1.0f - score : 1.0f + score;
    slack = slack < 0.0f ? 0.0f : slack;  // fmaxf would make NaN 0, and hide it
    loss = slack * slack;
    return positive ? -2.0f * slack : 2.0f * slack;
#else
    float small = fast_exp(-fabsf(score));  // no overflow on either side
    float share = score >= 0.0f ? 1.0f / (1.0f + small) : small / (1.0f + small);
    loss = fmaxf(score, 0.0f) + fast_log1p(small) - (positive ? score : 0.0f);
    return positive ? share - 1.0f : share;
#endif
}

// The positives of a batch are (row, label) pairs sorted by label: where those of labels >= `label` begin.
__device__ __forceinline__ int first_positive(const i64* labels, int count, i64 label) {
    int low = 0, high = count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (labels[middle] < label) low = middle + 1;
        else high = middle;
    }
    return low;
}
