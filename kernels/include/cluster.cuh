// Blocks that run together and reach each other's shared memory: thread-block clusters, from sm_90 on.
//
// Neighbouring blocks of the grid form a cluster of CLUSTER blocks. A block may write to another one's shared memory, if
//   - that block has started: a barrier of the cluster comes before the first such access;
//   - it hasn't ended: a barrier of the cluster comes after the last one;
//   - it doesn't use the place meanwhile: barriers before and after.
// A barrier has two halves. What a thread did before it arrives is seen by those that have waited. Between the halves a
// thread may do what no other block depends on. With CLUSTER 1 nothing of this is compiled.
#pragma once
#include "include/formats.cuh"

#ifndef CLUSTER
#define CLUSTER 1  // blocks of a cluster
#endif
#if CLUSTER != 1 && CLUSTER != 2 && CLUSTER != 4 && CLUSTER != 8
#error "unknown CLUSTER: expected 1, 2, 4 or 8 blocks"
#endif
#if CLUSTER > 1 && defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#error "clusters need sm_90"
#endif
#if CLUSTER > 1
#define IN_CLUSTERS __cluster_dims__(CLUSTER, 1, 1)
#else
#define IN_CLUSTERS
#endif

// The number of this block within its cluster. It is read anew each time, so that no register holds it.
__device__ __forceinline__ int cluster_rank() {
#if CLUSTER == 1
    return 0;
#elif defined(XMC_HOST)
    return host::cluster_rank();
#else
    u32 rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return (int)rank;
#endif
}

__device__ __forceinline__ void cluster_arrive() {
#if CLUSTER > 1 && defined(XMC_HOST)
    host::cluster_arrive();
#elif CLUSTER > 1
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}

__device__ __forceinline__ void cluster_wait() {
#if CLUSTER > 1 && defined(XMC_HOST)
    host::cluster_wait();
#elif CLUSTER > 1
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

// Both halves.
__device__ __forceinline__ void cluster_sync() {
    cluster_arrive();
    cluster_wait();
}

#if CLUSTER > 1
// A place in the shared memory of block `rank` of the cluster: where `own` is in this block's.
struct Remote {
#ifdef XMC_HOST
    unsigned char* address;
#else
    u32 address;
#endif
};

__device__ __forceinline__ Remote in_block(const void* own, int rank) {
#ifdef XMC_HOST
    return Remote{host::in_block(own, rank)};
#else
    Remote remote;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(remote.address) : "r"((u32)__cvta_generic_to_shared(own)), "r"(rank));
    return remote;
#endif
}

__device__ __forceinline__ void store_remote(Remote to, float value) {
#ifdef XMC_HOST
    host::store_remote(to.address, &value, 4);
#else
    asm volatile("st.shared::cluster.f32 [%0], %1;" :: "r"(to.address), "f"(value) : "memory");
#endif
}

// Eight numbers; the place is a multiple of 16 bytes.
__device__ __forceinline__ void store8_remote(Remote to, const float* in) {
#ifdef XMC_HOST
    host::store_remote(to.address, in, 16);
    host::store_remote(to.address + 16, in + 4, 16);
#else
    asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};"
                 :: "r"(to.address), "f"(in[0]), "f"(in[1]), "f"(in[2]), "f"(in[3]) : "memory");
    asm volatile("st.shared::cluster.v4.f32 [%0+16], {%1, %2, %3, %4};"
                 :: "r"(to.address), "f"(in[4]), "f"(in[5]), "f"(in[6]), "f"(in[7]) : "memory");
#endif
}
#endif
