"""The translator and the machine that it translates for: values, faults that it finds, instructions that it
doesn't know.
"""

import ctypes
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.cases.batch import banded
from tests.kernels.host.kernel import scalar_cell
from tests.kernels.ptx.kernel import library_of
from tests.kernels.ptx.parse import UnknownPtxError
from tests.kernels.ptx.translate import translate

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
HEAD = ".version 8.0\n.target sm_90\n.address_size 64\n"
THREADS, SHARED = 64, 256

# One entry that does, by its first argument, one thing that is right or wrong. Two warps, 256 bytes of shared
# memory.
DEEDS = """
.visible .entry deeds(
    .param .u32 deeds_param_0, .param .u64 deeds_param_1
)
{
    .reg .pred %p<4>;
    .reg .b32 %r<9>;
    .reg .b64 %rd<3>;
    ld.param.u32 %r0, [deeds_param_0];
    ld.param.u64 %rd0, [deeds_param_1];
    mov.u32 %r1, %tid.x;
    mov.u32 %r5, %ctaid.x;
    shl.b32 %r2, %r1, 2;
    xor.b32 %r3, %r2, 4;     // the neighbour's word
    xor.b32 %r4, %r2, 128;   // that of the other warp
    BRANCHES
    ret;
}
"""
STORE, LOAD = "st.shared.u32 [%r2], %r1;", "ld.shared.u32 %r6, [%r3];"
COPY = "shl.b32 %r7, %r1, 4; and.b32 %r7, %r7, 255; setp.lt.u32 %p1, %r1, 16;"
COPY += " @%p1 cp.async.cg.shared.global [%r7], [%rd0], 16;"  # 16 lanes copy 16 bytes each
CLOSE, WAIT = "cp.async.commit_group;", "cp.async.wait_group 0;"
LOAD_FAR = "ld.shared.u32 %r6, [%r4];"
# What is done, and what is reported of it.
CASES = {
    f"{STORE} bar.sync 0; {LOAD_FAR}": None,
    f"{STORE} bar.warp.sync -1; {LOAD}": None,
    f"{STORE} bar.warp.sync -1; {LOAD} bar.warp.sync -1; st.shared.u32 [%r2], %r1;": None,
    f"{STORE} {LOAD}": "race",
    f"{STORE} bar.warp.sync -1; {LOAD_FAR}": "race",
    f"{STORE} bar.warp.sync -1; {LOAD} st.shared.u32 [%r2], %r1;": "race",
    f"{STORE} shfl.sync.bfly.b32 %r7, %r1, 1, 31, -1; {LOAD}": "race of a read with a write",
    f"{STORE} vote.sync.ballot.b32 %r7, %p1, -1; {LOAD}": "race of a read with a write",
    "st.shared.u32 [8], %r1;": "race of two writes: `st.shared.u32",
    "st.shared.u32 [8], %r5;": "race of two writes",  # the same value, but by two warps
    "setp.lt.u32 %p1, %r1, 32; @%p1 st.shared.u32 [8], %r5;": None,
    "atom.shared.add.u32 %r7, [8], 1;": None,
    "atom.shared.add.u32 %r7, [8], 1; ld.shared.u32 %r6, [8];": "race",
    "st.shared.u32 [%r2+256], %r1;": "past the end of shared memory: `st.shared.u32 [%r2+256], %r1`",
    "st.shared.u32 [%r2+-4], %r1;": "past the end of shared memory",
    "ld.shared.v2.u32 {%r6, %r7}, [%r2];": "misaligned address",
    "setp.lt.u32 %p1, %r1, 7; @%p1 bar.sync 0;": None,  # the others are done
    "setp.lt.u32 %p1, %r1, 7; @%p1 bar.sync 0; @!%p1 bar.sync 0;": "lanes wait together at different instr",
    "setp.lt.u32 %p1, %r1, 7; @%p1 bar.sync 0; bar.warp.sync -1;": "lanes wait at different barriers",
    f"{COPY} {CLOSE} {WAIT}": None,
    f"{COPY} {CLOSE} {WAIT} bar.sync 0; {LOAD_FAR}": None,
    f"{COPY} {CLOSE} {WAIT} {LOAD}": "race",  # no barrier
    f"{COPY} {CLOSE} bar.sync 0; {LOAD} {WAIT}": "race",  # too late
    f"{LOAD} {COPY} {CLOSE} {WAIT}": "race",
    f"{COPY} {CLOSE}": "never waited for: `ret`",
    "cp.async.cg.shared.global [%r2+2], [%rd0], 16;": "misaligned address",
    "bar.warp.sync 7;": "barrier of a part of a warp",
    "st.global.u32 [%rd0], %r5;": "race of two writes",  # of two blocks, of two warps
    "setp.eq.u32 %p1, %r1, %r5; @%p1 st.global.u32 [%rd0], %r1;": "race of two writes",  # of two blocks
    "setp.eq.u32 %p1, %r1, 0; @%p1 div.u32 %r6, %r1, %r1;": "division by zero",
}
# The same for the two blocks of a cluster; %r4 is the thread's word in the other block.
ARRIVE, ENTER = "barrier.cluster.arrive.release.aligned;", "barrier.cluster.wait.acquire.aligned;"
SYNC, SEND = f"{ARRIVE} {ENTER}", "st.shared::cluster.u32 [%r4], %r1;"
CLUSTER_CASES = {
    f"{SYNC} {SEND} {SYNC} ld.shared.u32 %r6, [%r2];": None,
    f"{SYNC} ld.shared::cluster.u32 %r6, [%r4]; {SYNC}": None,
    f"{SYNC} {SEND} {SYNC} {LOAD} {ARRIVE} {ENTER} {SEND} {SYNC}": None,
    f"{ARRIVE} {STORE} {ENTER} {SEND} {SYNC}": "race of two writes",  # its block arrived before it stored
    f"{STORE} {SYNC} {SEND} {SYNC}": None,
    # Without the barrier of the cluster before the read, a barrier of the block or none.
    f"{SYNC} {SEND} ld.shared.u32 %r6, [%r2]; {SYNC}": "race of a",
    f"{SYNC} {SEND} bar.sync 0; ld.shared.u32 %r6, [%r2]; {SYNC}": "race of a",
    f"{SYNC} {SEND} {ARRIVE} ld.shared.u32 %r6, [%r2]; {ENTER}": "race of a",  # half a barrier
    # Without one between a read and the next write.
    f"{SYNC} {SEND} {SYNC} {LOAD} {SEND} {SYNC}": "race of a",
    f"{SEND} {SYNC}": "access to a block that may not have started",
    f"{SYNC} {SEND}": "that has ended|ends that others may still access|no barrier of the cluster behind",
    f"{SYNC} ld.shared::cluster.u32 %r6, [%r4];": "that has ended|ends that others may still access",
    ENTER: "waits for a barrier of the cluster at which it hasn't arrived",
    f"{ARRIVE} {ARRIVE}": "arrives at a barrier of the cluster without having waited",
    f"setp.eq.u32 %p1, %r5, 0; @%p1 bra SKIP; {SYNC} SKIP: bar.sync 0;": None,  # the other block is done
    f"{SYNC} mapa.shared::cluster.u32 %r4, %r2, 2;": "no such block in the cluster",
    f"{SYNC} st.shared::cluster.u32 [%r4+256], %r1; {SYNC}": "past the end of shared memory",
}


def entry_of(cases: Iterable[str], head: str = "", prologue: str = "") -> ctypes.CDLL:
    """The entry of all cases."""
    branches = prologue
    for number, deed in enumerate(cases):
        branches += f"    setp.ne.u32 %p0, %r0, {number};\n    @%p0 bra NEXT_{number};\n"
        deed = deed.replace("SKIP:", f"SKIP_{number}:\n").replace("bra SKIP;", f"bra SKIP_{number};")
        branches += "".join(f"    {part};\n" for part in deed.split(";") if part.strip())
        branches += f"    ret;\nNEXT_{number}:\n"
    return library_of(HEAD + DEEDS.replace("BRANCHES", branches).replace(")\n{", f"){head}\n{{", 1), "deeds")


@pytest.fixture(scope="module")
def deeds() -> ctypes.CDLL:
    """The entry of CASES."""
    return entry_of(CASES)


@pytest.fixture(scope="module")
def cluster_deeds() -> ctypes.CDLL:
    """The entry of CLUSTER_CASES, in clusters of two blocks."""
    other = "    mov.u32 %r7, %cluster_ctarank;\n    xor.b32 %r7, %r7, 1;\n"
    other += "    mapa.shared::cluster.u32 %r4, %r2, %r7;\n"
    return entry_of(CLUSTER_CASES, "\n.explicitcluster\n.reqnctapercluster 2, 1, 1", other)


def run(
    library: ctypes.CDLL, *arguments: "ctypes.Array[ctypes.c_char] | ctypes.c_void_p", cluster: int = 1
) -> str | None:
    """Launch two blocks; the report of a fault, if there is one."""
    library.host_failure.restype = ctypes.c_char_p
    pointers = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(each) for each in arguments])
    count = library.host_run((ctypes.c_int * 7)(2, 1, 1, THREADS, SHARED, 1, cluster), pointers)
    return None if count == len(arguments) else library.host_failure().decode()


@pytest.mark.parametrize("deed", CASES)
def test_faults_are_reported(deeds: ctypes.CDLL, deed: str) -> None:
    memory = banded(np.zeros(4, np.uint32))
    report = run(deeds, scalar_cell(np.uint32([*CASES].index(deed))), ctypes.c_void_p(memory.ctypes.data))
    expected = CASES[deed]
    if expected is None:
        assert report is None
    else:
        assert report is not None
        assert expected in report


@pytest.mark.parametrize("deed", CLUSTER_CASES)
def test_faults_between_blocks_of_a_cluster_are_reported(cluster_deeds: ctypes.CDLL, deed: str) -> None:
    number, expected = scalar_cell(np.uint32([*CLUSTER_CASES].index(deed))), CLUSTER_CASES[deed]
    report = run(cluster_deeds, number, ctypes.c_void_p(None), cluster=2)
    if expected is None:
        assert report is None
    else:
        assert report is not None
        assert re.search(expected, report)


A, B, C = np.uint32(0x80000005), np.uint32(37), np.uint32(0x12345678)
X, Y, Z = (np.float32(number) for number in (1.7, -3.3e-3, 1e9))
BITS = np.array([X, Y, Z]).view(np.uint32)
SIGNED_A = int(A) - 2**32
COPIES = """
    @%p3 st.global.u32 [%rd2], 1; @%p3 cp.async.ca.shared.global [0], [%rd2], 16, 4; cp.async.commit_group;
    @%p3 st.global.u32 [%rd2], 7; @%p3 cp.async.ca.shared.global [0], [%rd2], 16, 4; cp.async.commit_group;
""".replace("\n", " ")
COMPUTED = {
    "add.s32 %r9, %r0, %r2;": (int(A) + int(C)) % 2**32,
    "mul.hi.u32 %r9, %r0, %r2;": int(A) * int(C) >> 32,
    "mul.hi.s32 %r9, %r0, %r2;": (SIGNED_A * int(C) >> 32) % 2**32,
    "mad.lo.s32 %r9, %r0, %r2, %r1;": (int(A) * int(C) + int(B)) % 2**32,
    "shl.b32 %r9, %r2, %r1;": 0,  # by 37
    "shr.u32 %r9, %r2, 4;": int(C) >> 4,
    "shr.s32 %r9, %r0, %r1;": 2**32 - 1,
    "shr.s32 %r9, %r0, 1;": (SIGNED_A >> 1) % 2**32,
    "div.s32 %r9, %r0, %r1;": -(-SIGNED_A // int(B)) % 2**32,  # toward zero
    "max.s32 %r9, %r0, %r1;": int(B),
    "max.u32 %r9, %r0, %r1;": int(A),
    "not.b32 %r9, %r0;": ~int(A) % 2**32,
    "neg.s32 %r9, %r1;": 2**32 - int(B),
    "popc.b32 %r9, %r2;": int(C).bit_count(),
    "bfi.b32 %r9, %r1, %r2, 8, 4;": (int(C) & ~0xF00) | (int(B) & 15) << 8,
    "setp.lt.s32 %p0, %r0, %r1; selp.b32 %r9, 1, 2, %p0;": 1,
    "setp.lt.u32 %p0, %r0, %r1; selp.b32 %r9, 1, 2, %p0;": 2,
    "mul.wide.s32 %rd0, %r0, %r1; shr.u64 %rd0, %rd0, 32; cvt.u32.u64 %r9, %rd0;": (SIGNED_A * int(B) >> 32)
    % 2**32,
    "cvt.s64.s32 %rd0, %r0; shr.s64 %rd0, %rd0, 32; cvt.u32.u64 %r9, %rd0;": 2**32 - 1,
    "mov.b64 %rd0, {%r0, %r2}; mov.b64 {_, %r9}, %rd0;": int(C),
    "cvt.u16.u32 %rs0, %r2; mov.b32 %r9, {%rs0, %rs0};": 0x56785678,
    "add.f32 %f3, %f0, %f1; mov.b32 %r9, %f3;": int((X + Y).view(np.uint32)),
    "fma.rn.f32 %f3, %f0, %f1, %f2; mov.b32 %r9, %f3;": int(
        np.float32(float(X) * float(Y) + float(Z)).view(np.uint32)
    ),
    "add.rz.f32 %f3, 0f3F800000, 0f33C00000; mov.b32 %r9, %f3;": 0x3F800000,  # 1 + 0.75 ulp, rounded down
    "add.f32 %f3, 0f3F800000, 0f33C00000; mov.b32 %r9, %f3;": 0x3F800001,
    "fma.rm.f32 %f3, 0f3F800000, 0f3F800000, 0f33C00000; mov.b32 %r9, %f3;": 0x3F800000,
    "setp.ltu.f32 %p0, 0f7FC00000, %f0; selp.b32 %r9, 1, 2, %p0;": 1,  # NaN
    "setp.lt.f32 %p0, 0f7FC00000, %f0; selp.b32 %r9, 1, 2, %p0;": 2,
    "cvt.rn.f16.f32 %rs0, %f0; cvt.u32.u16 %r9, %rs0;": int(X.astype(np.float16).view(np.uint16)),
    "cvt.u16.u32 %rs0, %r2; cvt.rn.f16x2.e4m3x2 %r9, %rs0;": 0x4B005C00,  # of 0x56 and 0x78: 14 and 256
    "cvt.rn.f32.s32 %f3, %r0; mov.b32 %r9, %f3;": int(np.float32(SIGNED_A).view(np.uint32)),
    "cvt.rzi.u32.f32 %r9, %f1;": 0,  # negative
    "cvt.rzi.u32.f32 %r9, %f2;": 10**9,
    "cvt.sat.f32.f32 %f3, %f0; mov.b32 %r9, %f3;": 0x3F800000,
    # Lane 0 has no lane below.
    "mov.u32 %r8, %tid.x; shfl.sync.up.b32 %r9|%p0, %r8, 3, 0, -1; @%p0 mov.u32 %r9, 7;": 0,
    "mov.u32 %r8, %tid.x; shfl.sync.idx.b32 %r9, %r8, 33, 31, -1;": 1,
    "mov.u32 %r8, %tid.x; setp.gt.u32 %p0, %r8, 29; vote.sync.ballot.b32 %r9, %p0, -1;": 0xC0000000,
    "redux.sync.add.s32 %r9, %r1, -1;": 32 * int(B),
    # Two copies of 1 and of 7 to one word: the first is waited for, then the second.
    f"{COPIES} cp.async.wait_group 1; @%p3 ld.shared.u32 %r9, [0];": 1,
    f"{COPIES} cp.async.wait_group 0; @%p3 ld.shared.u32 %r9, [0];": 7,
    f"{COPIES} cp.async.wait_all; @%p3 ld.shared.u32 %r9, [4];": 0,  # past what the source has
}


VALUES = """
.visible .entry values(
    .param .u64 values_param_0, .param .u64 values_param_1
)
{
    .reg .pred %p<4>; .reg .b16 %rs<2>; .reg .b32 %r<12>; .reg .f32 %f<4>; .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [values_param_0];
    ld.param.u64 %rd2, [values_param_1];
    mov.u32 %r10, %tid.x;
    mov.u32 %r11, %ctaid.x;
    or.b32 %r10, %r10, %r11;
    setp.eq.u32 %p3, %r10, 0;
BODY
    ret;
}
"""


def test_values() -> None:
    """Each instruction in a launch of its own lines; thread 0 of block 0 writes what it has got."""
    lines = ""
    for number, code in enumerate(COMPUTED):
        lines += "".join(f"    {part};\n" for part in code.split(";") if part.strip())
        lines += f"    @%p3 st.global.u32 [%rd1+{4 * number}], %r9;\n"
    inputs = "".join(f"    mov.u32 %r{number}, {value};\n" for number, value in enumerate((A, B, C)))
    inputs += "".join(f"    mov.f32 %f{number}, 0f{bits:08X};\n" for number, bits in enumerate(BITS))
    ptx = HEAD + VALUES.replace("BODY", inputs + lines)
    out = banded(np.zeros(len(COMPUTED), np.uint32))
    scratch = banded(np.zeros(4, np.uint32))
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (out, scratch)]
    assert run(library_of(ptx, "values"), *pointers) is None
    assert dict(zip(COMPUTED, out.tolist(), strict=True)) == COMPUTED


@pytest.mark.parametrize(
    "code",
    [
        "tanh.approx.f32 %f0, %f0;",
        "add.sat.s32 %r0, %r0, %r0;",  # a modifier that no rule has
        "add.s32 %r0, %r0;",
        "bar.sync 1;",
        "ld.global.u8 %r0, [%rd0];",
        "ld.u32 %r0, [%rd0];",
        "mov.u32 %r0, %clock;",
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f0}, {%r0}, {%r0}, {%f0};",
    ],
)
def test_what_the_translator_does_not_know_is_named(code: str) -> None:
    body = f".reg .f32 %f<1>; .reg .b32 %r<1>; .reg .b64 %rd<1>;\n    .loc 1 12 3\n    {code}\n"
    ptx = f'{HEAD}.visible .entry some(\n)\n{{\n{body}}}\n.file 1 "some.cu"\n'
    with pytest.raises(UnknownPtxError) as raised:
        translate(ptx, "some")
    assert code.split()[0] in str(raised.value)
    assert "some.cu:12" in str(raised.value)


def test_a_missing_entry_is_named() -> None:
    with pytest.raises(UnknownPtxError, match="without an entry other"):
        translate(HEAD, "other")


def test_no_path_of_this_machine_is_in_a_report(deeds: ctypes.CDLL) -> None:
    number = next(number for number, report in enumerate(CASES.values()) if report)
    report = run(deeds, scalar_cell(np.uint32(number)), ctypes.c_void_p(None))
    assert report is not None
    assert str(Path.cwd()) not in report
