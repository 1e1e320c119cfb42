// Matrix products of warpgroups (wgmma m64nNk16, float32 sums of bfloat16 numbers), as PTX ISA lays their operands out.
//
// An operand in shared memory has a descriptor: where it starts, and how far its bricks of 8 rows of 128 bytes are apart.
// The hardware exchanges the 16-byte pieces of each row by the row's number in its 1,024 bytes (the 128-byte swizzle,
// the only one known here).
#pragma once

namespace host {

constexpr int K_OF_PRODUCT = 16, ROWS_OF_PRODUCT = 64, PATTERN = 1024;

// Of an operand [i, k]; i is a row of A or a column of B. `k_first`: neighbours along k are neighbours in memory, so a row of
// a brick is an i; otherwise those along i, 64 of them a row, and it is a k.
struct Operand {
    uint32_t start, leading, stride, base;
    unsigned swizzle;
    bool k_first;

    Operand(uint64_t descriptor, bool along_k)
        : start(bytes(descriptor)), leading(bytes(descriptor >> 16)), stride(bytes(descriptor >> 32)),
          base(unsigned(descriptor >> 49) & 7), swizzle(unsigned(descriptor >> 62)), k_first(along_k) {}

    static uint32_t bytes(uint64_t field) { return uint32_t(field & 0x3FFF) << 4; }

    // What is wrong with the descriptor of an operand with i up to `extent`; null if nothing is.
    const char* fault(int extent) const {
        if (swizzle != 1 || base) return "a descriptor without the 128-byte swizzle, which this host doesn't know";
        if (start % PATTERN >= 128) return "a descriptor that starts in the middle of its swizzle's 1,024 bytes";
        if (k_first ? start % 32 : start % 128) return "a descriptor whose first row isn't 32 (along k) or 128 bytes";
        bool bricks_along_i = !k_first && extent > 64;
        if (stride % PATTERN || !stride || (bricks_along_i && (leading % PATTERN || !leading)))
            return "a descriptor whose bricks don't begin at multiples of 1,024 bytes";
        return nullptr;
    }

    uint32_t address(int i, int k) const {
        uint32_t plain = k_first ? start + i / 8 * stride + i % 8 * 128 + 2 * k
                                 : start + i / 64 * leading + k / 8 * stride + k % 8 * 128 + i % 64 * 2;
        return plain ^ (plain >> 7 & 7) << 4;
    }
};

inline float number_at(const unsigned char* shared, uint32_t address) {
    uint16_t bits;
    std::memcpy(&bits, shared + address, 2);
    return bf16_value(bits);
}

// The sums of the current lane: sums[4 j + i] has row lane / 4 + 8 (i / 2) of its warp's 16 and column 8 j + lane % 4 * 2 +
// i % 2. `a_row[r]` has the 16 numbers of A of its row r.
inline void add_products(float* sums, int columns, const float (&a_row)[2][K_OF_PRODUCT], const Operand& b,
                         const unsigned char* shared) {
    for (int column = 0; column < columns / 4; column++) {
        int i = column / 2 * 8 + lane_of_warp() % 4 * 2 + column % 2;
        float* sum = sums + column / 2 * 4 + column % 2;
        float added[2] = {0.0f, 0.0f};
        for (int k = 0; k < K_OF_PRODUCT; k++) {
            float right = number_at(shared, b.address(i, k));
            for (int r = 0; r < 2; r++) added[r] += a_row[r][k] * right;
        }
        sum[0] += added[0], sum[2] += added[1];
    }
}

// Row r of the current lane's two rows of A.
inline int row_of_lane(int r) { return current % int(blockDim.x) / WARP % 4 * 16 + lane_of_warp() / 4 + 8 * r; }

inline void rows_of_a(float (&a_row)[2][K_OF_PRODUCT], const Operand& a, const unsigned char* shared) {
    for (int r = 0; r < 2; r++)
        for (int k = 0; k < K_OF_PRODUCT; k++) a_row[r][k] = number_at(shared, a.address(row_of_lane(r), k));
}

// For kernels/step/wgmma.cuh: a product at once, with both operands in shared memory.
inline void multiply_warpgroup(float* sums, int columns, uint64_t a, bool a_along_k, uint64_t b, bool b_along_k) {
    Operand left(a, a_along_k), right(b, b_along_k);
    if (const char* wrong = left.fault(ROWS_OF_PRODUCT)) fail(wrong);
    if (const char* wrong = right.fault(columns)) fail(wrong);
    float a_row[2][K_OF_PRODUCT];
    rows_of_a(a_row, left, shared_memory);
    add_products(sums, columns, a_row, right, shared_memory);
}

}  // namespace host
