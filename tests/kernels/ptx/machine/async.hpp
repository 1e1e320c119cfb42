// cp.async: copies from global to shared memory that a lane starts, closes as groups, and waits for.
//
// The bytes arrive as late as they may, when the lane waits for their group: who reads them before finds what was there.
// Yet a copy may also be done at once. So for races it writes twice: when it is started and when it is waited for.
#pragma once
#include <deque>

#include "memory.hpp"

namespace machine {

struct Copy {
    uint64_t to;
    int count, place;
    unsigned char bytes[16];
};

struct Copies {  // of a lane
    std::vector<Copy> open;                // of the group that isn't closed yet
    std::deque<std::vector<Copy>> groups;  // closed, not waited for
};

static Copies copies[host::MOST_LANES];

inline void note_copy(const Copy& copy) {
    for (int i = 0; i < copy.count; i += int(CELL))
        note_write(Shared::cell(copy.to + i), now[host::current], copy.place, false, false);
}

// `read` bytes of the source are read; the others of the `count` become 0.
[[gnu::noinline]] inline void start_copy(uint64_t to, uint64_t from, int count, uint32_t read, int place) {
    Copy copy{to, count, place, {}};
    checked<Shared>(to, count, place);
    if (from % count) fail_at("misaligned address", place);
    for (uint32_t i = 0; i < read; i += CELL) note_read(Global::cell(from + i), now[host::current], place);
    std::memcpy(copy.bytes, reinterpret_cast<const void*>(from), std::min(read, uint32_t(count)));
    note_copy(copy);
    copies[host::current].open.push_back(copy);
}

inline void close_copies() {
    copies[host::current].groups.push_back(std::move(copies[host::current].open));
    copies[host::current].open.clear();
}

// Waits until at most `number` of the lane's closed groups are left.
[[gnu::noinline]] inline void wait_for_copies(size_t number) {
    auto& groups = copies[host::current].groups;
    for (; groups.size() > number; groups.pop_front())
        for (const Copy& copy : groups.front()) {
            note_copy(copy);
            std::memcpy(host::shared_memory + copy.to, copy.bytes, copy.count);
        }
}

// When a lane returns: the block's shared memory may belong to another block when the copy arrives.
inline void expect_no_copies(int place) {
    if (!copies[host::current].open.empty()) fail_at("a copy was started and never waited for", place);
    for (const auto& group : copies[host::current].groups)
        if (!group.empty()) fail_at("a copy was started and never waited for", place);
}

inline void forget_copies() { copies[host::current] = {}; }

}  // namespace machine
