// wgmma: matrix products of a warpgroup (four warps), whose operands tensor cores read from shared memory themselves.
//
// A product is started, closed as a group (wgmma.commit_group) and waited for (wgmma.wait_group). Until then its sums hold
// NaN, so that no result is seen before its time; and its operands are read twice, when it is started and when it is waited
// for, so that nobody may write to them meanwhile; registers of A may not change either. Lanes that wrote to shared memory
// before need fence.proxy.async (races.hpp). All threads of a warpgroup must start the same products.
#pragma once
#include <deque>
#include <map>
#include <tuple>

#include "memory.hpp"

namespace machine {

constexpr uint32_t IN_FLIGHT = 0x7FFBADADu;  // a NaN that no arithmetic makes

struct Sums {  // of products that are running
    std::vector<uint32_t*> registers;
    std::vector<float> values;
    int products = 0;
};

struct Product {
    int place, columns;
    bool a_along_k, b_along_k, a_in_registers, keep;  // keep: add to the sums, otherwise replace them
    uint64_t a, b;
    uint32_t a_registers[4];
    const uint32_t* a_places[4];        // where they are
    uint32_t* sums;                     // the first register, which names them
    std::vector<uint16_t> as_started;   // what the first lane of a warp found in the operands
};

struct Products {  // of a lane
    std::vector<Product> open;
    std::deque<std::vector<Product>> groups;
    std::map<uint32_t*, Sums> sums;
};

struct Warpgroup {  // what its threads have started: all must take part in the same products
    unsigned block = ~0u, started[128] = {}, returned = 0;
    std::vector<std::tuple<int, uint64_t, uint64_t, bool>> products;
};

static Products products[host::MOST_LANES];
static Warpgroup warpgroups[host::MOST_LANES / 128 + 1];

inline Warpgroup& warpgroup() {
    Warpgroup& group = warpgroups[host::current / 128];
    if (group.block != now[host::current].block) group = Warpgroup{now[host::current].block};
    return group;
}

inline int warp_of_group() { return host::current / host::WARP % 4; }
inline bool first_lane() { return host::lane_of_warp() == 0; }

// The warp's part of the operands: its 16 rows of A, and all of B.
template <class Use>
void each_number(const Product& it, Use use) {
    host::Operand a(it.a, it.a_along_k), b(it.b, it.b_along_k);
    for (int i = 0; i < 16 && !it.a_in_registers; i++)
        for (int k = 0; k < host::K_OF_PRODUCT; k++) use(a.address(16 * warp_of_group() + i, k));
    for (int i = 0; i < it.columns; i++)
        for (int k = 0; k < host::K_OF_PRODUCT; k++) use(b.address(i, k));
}

// Checks that the operands are in shared memory and that no access races with their reads; returns what they hold.
inline std::vector<uint16_t> read_operands(const Product& it) {
    std::vector<uint16_t> found;
    each_number(it, [&](uint32_t address) {
        uint16_t bits;
        std::memcpy(&bits, Shared::at(address, 2, it.place), 2);
        note_async_read(Shared::cell(address), now[host::current], it.place);
        found.push_back(bits);
    });
    return found;
}

inline void join_warpgroup(const Product& it) {
    Warpgroup& group = warpgroup();
    std::tuple<int, uint64_t, uint64_t, bool> mine{it.place, it.a_in_registers ? 0 : it.a, it.b, it.keep};
    unsigned number = group.started[host::current % 128]++;
    if (number == group.products.size()) group.products.push_back(mine);
    if (group.products[number] != mine) fail_at("the threads of a warpgroup start different products", it.place);
}

// The sums that a product starts from: those of registers, or of the products before it.
inline void hold_sums(const Product& it, uint32_t* const* registers) {
    auto& all = products[host::current].sums;
    bool running = all.count(it.sums);
    Sums& sums = all[it.sums];
    std::vector<uint32_t*> mine(registers, registers + it.columns / 2);
    if (running && sums.registers != mine) fail_at("registers of sums that other products have in part", it.place);
    for (uint32_t* each : mine) {
        if (running) continue;
        if (*each == IN_FLIGHT) fail_at("registers of sums that other products have in part", it.place);
        sums.registers.push_back(each);
        sums.values.push_back(as_float(*each));
        *each = IN_FLIGHT;
    }
    sums.products++;
}

[[gnu::noinline]] inline void start_product(Product it, uint32_t* const* registers) {
    if (blockDim.x % 128) fail_at("a product of a warpgroup that the block hasn't got", it.place);
    host::Operand a(it.a, it.a_along_k), b(it.b, it.b_along_k);
    const char* wrong = it.a_in_registers ? nullptr : a.fault(host::ROWS_OF_PRODUCT);
    if (wrong || (wrong = b.fault(it.columns))) fail_at(wrong, it.place);
    host::wait_at(host::AT_WARP, it.place);
    it.sums = registers[0];
    hold_sums(it, registers);
    join_warpgroup(it);
    if (first_lane()) {
        it.as_started = read_operands(it);
        if (warp_of_group() == 0) COUNT_WAVEFRONTS(it.place, (it.a_in_registers ? 0 : 16) + it.columns / 4);
    }
    products[host::current].open.push_back(std::move(it));
}

inline void close_products() {
    auto& mine = products[host::current];
    mine.groups.push_back(std::move(mine.open));
    mine.open.clear();
}

inline void rows_in_registers(float (&a_row)[2][host::K_OF_PRODUCT], const Product& it) {
    host::Exchange& warp = host::warp_exchange();
    std::copy(it.a_registers, it.a_registers + 4, warp.fragment[host::lane_of_warp()]);
    host::wait_at(host::AT_WARP, it.place);
    for (int r = 0; r < 2; r++)
        for (int k = 0; k < host::K_OF_PRODUCT; k++) {
            uint32_t pair = warp.fragment[host::lane_of_warp() / 4 * 4 + k % 8 / 2][r + 2 * (k / 8)];
            a_row[r][k] = host::bf16_value(k % 2 ? pair >> 16 : pair & 0xFFFFu);
        }
    host::wait_at(host::AT_WARP, it.place);
}

inline void finish_product(const Product& it) {
    auto& all = products[host::current].sums;
    Sums& sums = all[it.sums];
    for (uint32_t* each : sums.registers)
        if (*each != IN_FLIGHT) fail_at("a register of sums was written before their product was waited for", it.place);
    for (int i = 0; it.a_in_registers && i < 4; i++)
        if (*it.a_places[i] != it.a_registers[i])
            fail_at("a register of A was written before its product was waited for", it.place);
    if (first_lane() && read_operands(it) != it.as_started)
        fail_at("an operand was written before its product was waited for", it.place);
    float a_row[2][host::K_OF_PRODUCT];
    if (it.a_in_registers) rows_in_registers(a_row, it);
    else host::rows_of_a(a_row, host::Operand(it.a, it.a_along_k), host::shared_memory);
    if (!it.keep) std::fill(sums.values.begin(), sums.values.end(), 0.0f);
    host::add_products(sums.values.data(), it.columns, a_row, host::Operand(it.b, it.b_along_k), host::shared_memory);
    if (--sums.products) return;
    for (size_t i = 0; i < sums.values.size(); i++) *sums.registers[i] = as_bits(sums.values[i]);
    all.erase(it.sums);
}

// Waits until at most `number` of the lane's closed groups are left.
[[gnu::noinline]] inline void wait_for_products(size_t number, int place) {
    host::wait_at(host::AT_WARP, place);
    auto& groups = products[host::current].groups;
    for (; groups.size() > number; groups.pop_front())
        for (const Product& it : groups.front()) finish_product(it);
}

// When a lane returns.
inline void expect_no_products(int place) {
    if (!products[host::current].sums.empty()) fail_at("a product was started and never waited for", place);
    Warpgroup& group = warpgroup();
    if (++group.returned < 128) return;
    for (unsigned started : group.started)
        if (started != group.products.size()) fail_at("a warp took no part in a product of its warpgroup", place);
}

// When a lane starts, and before a launch.
inline void forget_products() { products[host::current] = {}; }
inline void forget_warpgroups() { std::fill(std::begin(warpgroups), std::end(warpgroups), Warpgroup{}); }

}  // namespace machine
