// Tensor cores of a warpgroup through inline PTX: D = A B + D for four warps, 64 x N x 16, float32 sums (wgmma, sm_90a).
//
// The tensor cores read A and B from shared memory themselves. All arrays here have lines of 128 bytes, 64 numbers, whose
// 16-byte pieces are exchanged by the line's number as step/layout.cuh draws it; eight lines are the 1,024 bytes of wgmma's
// 128-byte swizzle. An operand lies in one of two ways:
//
//   ALONG k    a line is a row of A or a column of B, and 16 of its numbers are those of a product
//   ACROSS k   a line is one k, and its 64 numbers are 64 rows of A or columns of B; those from 64 on are elsewhere
//
// Lane i of warp w of the warpgroup has N / 2 sums, for each 8 columns j:
//
//   sum[4 j]       D[16 w + i / 4][8 j + i % 4 * 2]          sum[4 j + 1]   the column behind
//   sum[4 j + 2]   D[16 w + i / 4 + 8][8 j + i % 4 * 2]      sum[4 j + 3]   the column behind
//
// What threads have written to shared memory is seen by the tensor cores if each of them calls `show_to_tensor_cores`
// before the barrier between. `multiply_64` returns when its products are done: while a warpgroup waits, those of the other
// run.
#pragma once
#include "include/formats.cuh"

#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#error "wgmma needs sm_90a"
#endif

#define WARPGROUP 128       // threads
#define LINE_BYTES 128
#define PATTERN_BYTES 1024  // of eight lines

#define ALONG 0             // as the instruction's flags say it
#define ACROSS 1
// From the 16 numbers of a product along k to the next 16, in units of 16 bytes.
#define STEP_OF(LIES) ((LIES) == ALONG ? 2 : 2 * PATTERN_BYTES / 16)

__device__ __forceinline__ void show_to_tensor_cores() {
#ifndef XMC_HOST
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// The descriptor of an operand whose first line is at `start`. If it lies ACROSS, rows of A or columns of B from 64 on begin
// `further` bytes behind.
__device__ __forceinline__ u64 operand_at(const void* start, int further = PATTERN_BYTES) {
#ifdef XMC_HOST
    u64 address = (u64)((const unsigned char*)start - host::shared_memory);
#else
    u64 address = (u32)__cvta_generic_to_shared(start);
#endif
    return 1ull << 62 | (u64)(PATTERN_BYTES / 16) << 32 | (u64)(further / 16) << 16 | (address / 16 & 0x3FFF);
}

#define SUMS_16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define SUMS_32 SUMS_16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define SUMS_64 SUMS_32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47" \
                        ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define OF_8(c, i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), \
                   "+f"(c[i + 4]), "+f"(c[i + 5]), "+f"(c[i + 6]), "+f"(c[i + 7])
#define OF_16(c, i) OF_8(c, i), OF_8(c, i + 8)
#define OF_32(c, i) OF_16(c, i), OF_16(c, i + 16)
#define OF_64(c, i) OF_32(c, i), OF_32(c, i + 32)

// The assembly of four products; what is in quotes are the numbers of its operands behind the sums.
#define PRODUCT(N, SUMS, A_LIES, B_LIES) \
    "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" SUMS "}, a, b, 1, 1, 1, " A_LIES ", " B_LIES ";\n"
#define FURTHER(A_STEP, B_STEP) "add.s64 a, a, " A_STEP "; add.s64 b, b, " B_STEP ";\n"
#define FOUR_PRODUCTS(N, SUMS, A, B, A_LIES, B_LIES, A_STEP, B_STEP)                                          \
    "{ .reg .b64 a, b;\n"                                                                                     \
    "mov.b64 a, " A "; mov.b64 b, " B ";\n"                                                                   \
    "wgmma.fence.sync.aligned;\n"                                                                             \
    PRODUCT(N, SUMS, A_LIES, B_LIES) FURTHER(A_STEP, B_STEP) PRODUCT(N, SUMS, A_LIES, B_LIES)                 \
    FURTHER(A_STEP, B_STEP) PRODUCT(N, SUMS, A_LIES, B_LIES) FURTHER(A_STEP, B_STEP)                          \
    PRODUCT(N, SUMS, A_LIES, B_LIES)                                                                          \
    "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0; }\n"

#define MULTIPLY_BY(N, COUNT, ...)                                                                            \
    template <int A_LIES, int B_LIES>                                                                         \
    __device__ __forceinline__ void multiply_64(float (&sum)[COUNT], u64 a, u64 b) {                          \
        asm volatile(FOUR_PRODUCTS(N, SUMS_##COUNT, __VA_ARGS__)                                              \
                     : OF_##COUNT(sum, 0)                                                                     \
                     : "l"(a), "l"(b), "n"(A_LIES), "n"(B_LIES), "n"(STEP_OF(A_LIES)), "n"(STEP_OF(B_LIES))   \
                     : "memory");                                                                             \
    }

// sum += A B over 64 numbers along k. A has 64 rows, B twice as many columns as a thread has sums. All threads of the
// warpgroup take part. The caller has given each sum a value: ptxas finds no registers for those without (13.5 spills).
#ifdef XMC_HOST
template <int A_LIES, int B_LIES, int COUNT>
__device__ __forceinline__ void multiply_64(float (&sum)[COUNT], u64 a, u64 b) {
    for (int k = 0; k < 4; k++)
        host::multiply_warpgroup(sum, 2 * COUNT, a + k * STEP_OF(A_LIES), A_LIES == ALONG, b + k * STEP_OF(B_LIES),
                                 B_LIES == ALONG);
}
#else
MULTIPLY_BY(32, 16, "%16", "%17", "%18", "%19", "%20", "%21")
MULTIPLY_BY(64, 32, "%32", "%33", "%34", "%35", "%36", "%37")
MULTIPLY_BY(128, 64, "%64", "%65", "%66", "%67", "%68", "%69")
#endif
