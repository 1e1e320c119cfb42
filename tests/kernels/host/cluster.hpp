// What the blocks of a cluster do together, for kernels/include/cluster.cuh: barriers in two halves, and stores to the
// shared memory of another block.
//
// A store arrives as late as it may, when the lane that made it arrives at the next barrier of the cluster: who reads it
// without that barrier finds what was there before.
#pragma once

namespace host {

inline void cluster_arrive() {
    Lane& lane = lanes[current];
    if (lane.arrived != lane.waited) fail("arrives at a barrier of the cluster without having waited for the last one");
    for (const RemoteStore& store : lane.remote) std::memcpy(store.to, store.bytes, store.count);
    lane.remote.clear();
    lane.arrived++;
}

inline void cluster_wait(int place = 0) {
    Lane& lane = lanes[current];
    if (lane.arrived == lane.waited) fail("waits for a barrier of the cluster at which it hasn't arrived");
    wait_at(AT_CLUSTER, place);
}

// The place in block `rank` of the cluster that `own` is in this block.
inline unsigned char* in_block(const void* own, int rank) {
    if (rank < 0 || rank >= cluster_size) fail("no such block in the cluster");
    return shared_memories[rank] + (static_cast<const unsigned char*>(own) - shared_memory);
}

inline void store_remote(unsigned char* to, const void* from, int count) {
    if (uintptr_t(to) % count) fail("misaligned store to another block");
    if (!lanes[current].waited) fail("another block may not have started yet");
    RemoteStore store{to, {}, count};
    std::memcpy(store.bytes, from, count);
    lanes[current].remote.push_back(store);
}

}  // namespace host
