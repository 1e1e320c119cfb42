"""The counting of executions and memory accesses, and loops of code, on small pieces of code."""

import ctypes
import shutil

import numpy as np
import pytest

from tests.kernels.cases.batch import banded
from tests.kernels.counts.estimate import products_of, sass_executions
from tests.kernels.counts.loops import innermost, natural_loops
from tests.kernels.counts.run import Counts
from tests.kernels.ptx.kernel import library_of
from tests.kernels.ptx.parse import parse
from tests.kernels.sass.disassembly import Instruction

THREADS, TURNS = 64, 5
# Accesses, and the wavefronts of shared memory or sectors of global memory that a warp takes.
ACCESSES = {
    "st.shared.u32 [%r2], %r1;": 1,
    "st.shared.u32 [%r3], %r1;": 2,  # every second word
    "ld.shared.u32 %r6, [0];": 1,  # one word, served to all
    "ld.shared.v4.u32 {%r6, %r7, %r8, %r9}, [%r4];": 4,  # neighbours, eight lanes at a time
    "ld.shared.v4.u32 {%r6, %r7, %r8, %r9}, [%r5];": 32,  # 128 bytes apart: the same banks
    "st.global.u32 [%rd1], %r1;": 4,
    "ld.global.u32 %r6, [%rd2];": 32,
}
PTX = """.version 8.0
.target sm_90
.address_size 64
.visible .entry counted(
    .param .u64 counted_param_0
)
{
    .reg .pred %p<2>;
    .reg .b32 %r<12>;
    .reg .b64 %rd<6>;
    ld.param.u64 %rd0, [counted_param_0];
    mov.u32 %r1, %tid.x;
    shl.b32 %r2, %r1, 2;
    shl.b32 %r3, %r1, 3;
    shl.b32 %r4, %r1, 4;
    shl.b32 %r5, %r1, 7;
    mul.wide.u32 %rd3, %r1, 4;
    mul.wide.u32 %rd4, %r1, 32;
    add.s64 %rd1, %rd0, %rd3;
    add.s64 %rd2, %rd0, %rd4;
ACCESSES
    .loc 1 10 1
    mov.u32 %r10, 0;
TOP:
    .loc 1 11 1
    add.s32 %r10, %r10, 1;
    setp.lt.s32 %p0, %r10, 5;
    @%p0 bra TOP;
    .loc 1 12 1
    ret;
}
.file 1 "counted.cu"
"""
NESTED = [[1], [2], [3, 2], [4, 1], []]  # 1 - 3 are a loop around 2


@pytest.fixture(scope="module")
def counts() -> Counts:
    """Of one block of two warps."""
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    # A barrier between accesses: the counts are of them, races are tested elsewhere.
    accesses = "".join(f"    bar.sync 0;\n    {access}\n" for access in ACCESSES)
    ptx = PTX.replace("ACCESSES", f"{accesses}    bar.sync 0;")
    entry, memory = parse(ptx, "counted"), banded(np.zeros(32 * THREADS, np.uint8))
    library = library_of(ptx, "counted", counted=True)
    argument = ctypes.c_void_p(memory.ctypes.data)
    pointers = (ctypes.c_void_p * 1)(ctypes.addressof(argument))
    assert library.host_run((ctypes.c_int * 7)(1, 1, 1, THREADS, 128 * THREADS, 0, 1), pointers) == 1
    places = np.zeros((len(entry.instructions) + 1, 3), np.uint64)
    library.host_counts(len(places), ctypes.c_void_p(places.ctypes.data))
    executed, wavefronts, sectors = places.T.astype(np.float64)
    return Counts(entry, executed, wavefronts, sectors, shared_bytes=0, blocks=1)


def test_accesses_are_counted_by_banks_and_sectors(counts: Counts) -> None:
    work = {}
    for number, each in enumerate(counts.entry.instructions, 1):
        if each.text.startswith(("ld.shared", "st.shared", "ld.global", "st.global")):
            work[f"{each.text};"] = int(counts.wavefronts[number] + counts.sectors[number])
    assert work == {access: 2 * of_warp for access, of_warp in ACCESSES.items()}


def test_machine_code_counts_as_often_as_the_ptx_of_its_loop(counts: Counts) -> None:
    sass = [
        Instruction("MOV", "R0, RZ", None, (), "counted.cu:10"),
        Instruction("IADD3", "R0, R0, 0x1, RZ", None, (".L_x_0",), "counted.cu:11"),
        Instruction("ISETP.LT.AND", "P0, PT, R0, 0x5, PT, PT", None, (), "counted.cu:11"),
        Instruction("BRA.DIV", "UR4, `(.L_x_1)", None, (), "counted.cu:11"),
        Instruction("BRA", "`(.L_x_0)", "@P0", (), "counted.cu:11"),
        Instruction("EXIT", "", None, (), "counted.cu:12"),
        Instruction("WARPSYNC", "R1", None, (".L_x_1",), "counted.cu:11"),
        Instruction("BRA", "`(.L_x_0)", None, (), "counted.cu:11"),
    ]
    loop, once, never = 2 * TURNS, 2, 0
    assert sass_executions(counts, sass) == [once, loop, loop, loop, loop, once, never, never]


@pytest.mark.parametrize(
    ("opcode", "products"),
    [("HGMMA.64x128x16.F32.BF16", 16), ("HGMMA.64x8x16.F32.BF16", 1), ("HMMA.16816.F32", 1), ("FADD", 1)],
)
def test_a_product_of_a_warpgroup_is_many_of_a_warp(opcode: str, products: int) -> None:
    assert products_of(Instruction(opcode, "", None, (), "")) == products


def test_loops() -> None:
    loops = natural_loops(NESTED)
    assert [(loop.header, loop.body) for loop in loops] == [(1, {1, 2, 3}), (2, {2})]
    assert loops[1].parent is loops[0]
    headers = [loop.header if loop else None for loop in innermost(loops, len(NESTED))]
    assert headers == [None, 1, 2, 1, None]


def test_a_branch_back_into_a_loop_from_elsewhere_is_no_loop() -> None:
    assert natural_loops([[1, 2], [2], [1, 3], []]) == []
