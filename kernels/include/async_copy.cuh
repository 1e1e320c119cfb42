// Copies from global to shared memory that run while the threads compute (cp.async, from sm_80 on).
//
// A thread starts copies, then closes them as a batch; batches end in their order. What a thread has copied is visible
// to the others after it has waited and a barrier has followed.
#pragma once
#include "include/formats.cuh"

// Starts to copy 16 bytes; both addresses are multiples of 16. If the source doesn't exist, zeros are written and
// nothing is read. CACHED 1 is for what other blocks of the multiprocessor, or later tiles, read again: it stays in L1.
template <int CACHED>
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool exists) {
#ifdef XMC_HOST
    host::copy_async(shared, exists ? global : nullptr);
#else
    u32 to = (u32)__cvta_generic_to_shared(shared), bytes = exists ? 16 : 0;
    if (CACHED)
        asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" :: "r"(to), "l"(global), "r"(bytes) : "memory");
    else
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(to), "l"(global), "r"(bytes) : "memory");
#endif
}

// Closes the batch of the copies that this thread has started since the last one; it may be empty.
__device__ __forceinline__ void close_copies() {
#ifdef XMC_HOST
    host::close_copies();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most NUMBER of this thread's batches are still running.
template <int NUMBER>
__device__ __forceinline__ void wait_for_copies() {
#ifdef XMC_HOST
    host::wait_for_copies(NUMBER);
#else
    asm volatile("cp.async.wait_group %0;" :: "n"(NUMBER) : "memory");
#endif
}
