// PTX arithmetic that C++ has no operator for.
#pragma once
#include <cfenv>

namespace machine {

// Registers hold bits: an f32 is read and written through these.
inline float as_float(uint32_t bits) { float value; std::memcpy(&value, &bits, 4); return value; }
inline uint32_t as_bits(float value) { uint32_t bits; std::memcpy(&bits, &value, 4); return bits; }

inline float saturated(float v) { return v > 1.0f ? 1.0f : v > 0.0f ? v : 0.0f; }  // NaN becomes 0

inline uint32_t to_unsigned(float v) {  // toward zero, clamped; NaN becomes 0
    return v >= 4294967296.0f ? 0xFFFFFFFFu : v > 0.0f ? uint32_t(v) : 0u;
}

// The mode of rounding holds in these functions alone: not inlined, so that no other operation moves into them.
[[gnu::noinline]] inline float fma_down(volatile float a, volatile float b, volatile float c) {
    std::fesetround(FE_DOWNWARD);
    volatile float result = std::fma(a, b, c);
    std::fesetround(FE_TONEAREST);
    return result;
}

[[gnu::noinline]] inline float add_toward_zero(volatile float a, volatile float b) {
    std::fesetround(FE_TOWARDZERO);
    volatile float result = a + b;
    std::fesetround(FE_TONEAREST);
    return result;
}

inline float exp2_flushed(float v) {  // subnormal operands and results are 0
    if (std::fpclassify(v) == FP_SUBNORMAL) v = 0.0f;
    float result = std::exp2(v);
    return std::fpclassify(result) == FP_SUBNORMAL ? 0.0f : result;
}

inline uint32_t f16_of_e4m3(uint32_t code) {  // of the lower eight bits
    int exponent = int(code >> 3) & 15, fraction = int(code) & 7;
    uint32_t sign = code << 8 & 0x8000u;
    if (exponent == 15 && fraction == 7) return sign | 0x7FFFu;
    return sign | host::fp16_bits(exponent ? std::ldexp(float(8 + fraction), exponent - 10) : std::ldexp(float(fraction), -9));
}

template <class T> T divisor(T value) {
    if (!value) host::fail("division by zero");
    return value;
}

// b with the `length` lowest bits of a at `position`.
inline uint32_t with_field(uint32_t a, uint32_t b, uint32_t position, uint32_t length) {
    position &= 255, length &= 255;
    uint64_t mask = position < 32 ? ((length < 32 ? 1ull << length : 1ull << 32) - 1) << position : 0;
    return uint32_t((b & ~mask) | ((uint64_t(a) << (position & 31)) & mask));
}

}  // namespace machine
