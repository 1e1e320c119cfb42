// Tensor cores through inline PTX: D = A B + D for a warp, 16 x 8 x 16, float32 sums (mma.sync, from sm_80 on).
//
// Each lane holds a fragment of each matrix. A register holds two neighbouring 16-bit numbers, the first in the low
// half. Lane i holds (PTX ISA, "Matrix fragments for mma.m16n8k16"):
//
//   A [16, 16]   a[0] = A[i/4][i%4*2 ..]      a[1] = A[i/4 + 8][i%4*2 ..]
//                a[2] = A[i/4][i%4*2 + 8 ..]  a[3] = A[i/4 + 8][i%4*2 + 8 ..]
//   B [16, 8]    b[0] = B[i%4*2 ..][i/4]      b[1] = B[i%4*2 + 8 ..][i/4]
//   C [16, 8]    c[0] = C[i/4][i%4*2]         c[1] = C[i/4][i%4*2 + 1]
//                c[2] = C[i/4 + 8][i%4*2]     c[3] = C[i/4 + 8][i%4*2 + 1]
//
// `ldmatrix_x4` loads four 8 x 8 matrices from shared memory. Lane i gives the address of row i%8 of matrix i/8, a
// multiple of 16 bytes; register m of lane i receives the elements (i/4, i%4*2 ..) of matrix m, or of its transpose.
#pragma once
#include "include/formats.cuh"

__device__ __forceinline__ void mma_16816(float* c, const u32* a, const u32* b, Bf16) {
#ifdef XMC_HOST
    host::mma_m16n8k16(c, a, b, host::bf16_value);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

__device__ __forceinline__ void mma_16816(float* c, const u32* a, const u32* b, Fp16) {
#ifdef XMC_HOST
    host::mma_m16n8k16(c, a, b, host::fp16_value);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

__device__ __forceinline__ void ldmatrix_x4(u32* out, const void* row) {
#ifdef XMC_HOST
    host::ldmatrix_x4(out, row, false);
#else
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(address) : "memory");
#endif
}

__device__ __forceinline__ void ldmatrix_x4_transposed(u32* out, const void* row) {
#ifdef XMC_HOST
    host::ldmatrix_x4(out, row, true);
#else
    u32 address = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(address) : "memory");
#endif
}
