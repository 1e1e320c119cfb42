// Shared and global memory of a launch: each access is aligned, within shared memory, and ordered (races.hpp).
#pragma once
#include "races.hpp"

namespace machine {

static unsigned shared_size = 0;

// Shared memory has addresses from 0 on, global memory those of the host.
struct Shared {
    static constexpr bool IS_SHARED = true;
    static unsigned char* at(uint64_t address, int bytes, int place) {
        if (address + bytes > shared_size || address > shared_size) fail_at("past the end of shared memory", place);
        return host::shared_memory + address;
    }
    static Cell& cell(uint64_t address) { return shared_cells[address / CELL]; }
};

struct Global {
    static constexpr bool IS_SHARED = false;
    static unsigned char* at(uint64_t address, int, int) { return reinterpret_cast<unsigned char*>(address); }
    static Cell& cell(uint64_t address) { return global_cell(address); }
};

template <class Space>
[[gnu::noinline]]
unsigned char* checked(uint64_t address, int bytes, int place) {
    if (address % bytes) fail_at("misaligned address", place);
    COUNT_ACCESS(place, address, bytes, Space::IS_SHARED);
    return Space::at(address, bytes, place);
}

template <class Space, class T, int NUMBER>
[[gnu::noinline]]
void load(uint64_t address, T (&out)[NUMBER], int place) {
    unsigned char* from = checked<Space>(address, sizeof out, place);
    const Moment& moment = now[host::current];
    for (size_t i = 0; i < sizeof out; i += CELL) note_read(Space::cell(address + i), moment, place);
    std::memcpy(out, from, sizeof out);
}

template <class Space, class T, int NUMBER>
[[gnu::noinline]]
void store(uint64_t address, const T (&in)[NUMBER], int place) {
    unsigned char* to = checked<Space>(address, sizeof in, place);
    const Moment& moment = now[host::current];
    const unsigned char* bytes = reinterpret_cast<const unsigned char*>(in);
    for (size_t i = 0; i < sizeof in; i += CELL)
        note_write(Space::cell(address + i), moment, place, false, !std::memcmp(to + i, bytes + i, CELL));
    std::memcpy(to, in, sizeof in);
}

// An atomic operation: the place of a 32-bit word, which the caller reads and writes.
template <class Space>
[[gnu::noinline]]
uint32_t& atomic(uint64_t address, int place) {
    unsigned char* word = checked<Space>(address, 4, place);
    for (size_t i = 0; i < 4; i += CELL) note_write(Space::cell(address + i), now[host::current], place, true, false);
    return *reinterpret_cast<uint32_t*>(word);
}

// Before a launch: shared memory has `bytes`, no access has been made.
inline void start_launch(unsigned bytes) {
    shared_size = bytes;
    shared_cells.assign(bytes / CELL + 1, Cell{});
    forget_accesses();
}

}  // namespace machine
