// Copies of 16 bytes to shared memory that run meanwhile, for kernels/include/async_copy.cuh.
#pragma once

namespace host {

// Copies happen as late as they may, when a lane waits for them: a kernel that doesn't wait reads what was there before.
inline void copy_async(void* to, const void* from) {
    if (uintptr_t(to) % 16 || uintptr_t(from) % 16) fail("asynchronous copies need addresses aligned to 16 bytes");
    lanes[current].copies.back().push_back({to, from});
}

inline void close_copies() { lanes[current].copies.emplace_back(); }

inline void wait_for_copies(size_t number) {  // all batches but the last `number` closed ones
    auto& copies = lanes[current].copies;
    for (; copies.size() > number + 1; copies.pop_front())
        for (const Copy& copy : copies.front()) {
            if (copy.from) std::memcpy(copy.to, copy.from, 16);
            else std::memset(copy.to, 0, 16);
        }
}

}  // namespace host
