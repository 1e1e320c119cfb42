"""Products of a warpgroup (wgmma) on the machine: values, and the faults that it finds."""

import ctypes
import re
import shutil
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from tests.kernels.cases.batch import banded
from tests.kernels.host.kernel import scalar_cell
from tests.kernels.ptx.kernel import library_of
from tests.kernels.ptx.parse import UnknownPtxError
from tests.kernels.ptx.translate import translate

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
HEAD = ".version 8.0\n.target sm_90a\n.address_size 64\n"
THREADS, SHARED, ROWS, K = 128, 32_768, 64, 16
SWIZZLE_128 = 1 << 62
FENCE, CLOSE, WAIT = (
    "fence.proxy.async;",
    "wgmma.commit_group.sync.aligned;",
    "wgmma.wait_group.sync.aligned 0;",
)
ORDER = "wgmma.fence.sync.aligned;"


def descriptor(start: int, stride: int = 1024, leading: int = 0) -> int:
    return SWIZZLE_128 | stride >> 4 << 32 | leading >> 4 << 16 | start >> 4


def product(columns: int, a: str, keep: int = 1, along: str = "0, 0", b: str = "%rd2") -> str:
    sums = ", ".join(f"%f{i}" for i in range(columns // 2))
    shape = f"wgmma.mma_async.sync.aligned.m64n{columns}k16.f32.bf16.bf16"
    return f"{shape} {{{sums}}}, {a}, {b}, {keep}, 1, 1, {along};"


def branches(cases: Iterable[str]) -> str:
    """The code of all cases, of which the one whose number is in %r0 runs."""
    text = ""
    for number, case in enumerate(cases):
        text += f"    setp.ne.u32 %p0, %r0, {number};\n    @%p0 bra NEXT_{number};\n"
        case = case.replace("SKIP:", f"SKIP_{number}:\n").replace("bra SKIP;", f"bra SKIP_{number};")
        text += "".join(f"    {part};\n" for part in case.split(";") if part.strip())
        text += f"    ret;\nNEXT_{number}:\n"
    return text


def run(library: ctypes.CDLL, *arguments: Any) -> str | None:
    """Launch one block of a warpgroup; the report of a fault, if there is one."""
    library.host_failure.restype = ctypes.c_char_p
    pointers = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(each) for each in arguments])
    count = library.host_run((ctypes.c_int * 7)(1, 1, 1, THREADS, SHARED, 1, 1), pointers)
    return None if count == len(arguments) else library.host_failure().decode()


# Values

# Copies an image of shared memory, multiplies by the case of its first argument, and writes numbers of each
# thread.
VALUES = """
.visible .entry values(
    .param .u32 values_param_0, .param .u64 values_param_1,
    .param .u64 values_param_2, .param .u64 values_param_3
)
{
    .reg .pred %p<2>; .reg .b32 %r<12>; .reg .f32 %f<64>; .reg .b64 %rd<9>;
    ld.param.u32 %r0, [values_param_0];
    ld.param.u64 %rd0, [values_param_1];
    ld.param.u64 %rd3, [values_param_2];
    ld.param.u64 %rd6, [values_param_3];
    ld.global.u64 %rd1, [%rd3];
    ld.global.u64 %rd2, [%rd3+8];
    mov.u32 %r1, %tid.x;
    shl.b32 %r2, %r1, 4;
COPY:
    cvt.u64.u32 %rd4, %r2;
    add.s64 %rd4, %rd4, %rd0;
    ld.global.v4.u32 {%r3, %r4, %r5, %r6}, [%rd4];
    st.shared.v4.u32 [%r2], {%r3, %r4, %r5, %r6};
    add.s32 %r2, %r2, 2048;
    setp.lt.u32 %p0, %r2, 32768;
    @%p0 bra COPY;
    fence.proxy.async.shared::cta;
    bar.sync 0;
    BRANCHES
    ret;
}
"""
STEPS, NUMBERS = 4, 64  # products along k; numbers that each thread writes
# Columns of B, and whether A and B are stored along k.
SIZES = [(8, True, True), (32, True, True), (64, True, False), (128, False, False), (96, False, True)]


def written(count: int) -> str:
    """The first sums of each thread, to its place."""
    lines = f"mul.lo.u32 %r7, %r1, {4 * NUMBERS}; cvt.u64.u32 %rd7, %r7; add.s64 %rd6, %rd6, %rd7;"
    return lines + "".join(f"st.global.f32 [%rd6+{4 * i}], %f{i};" for i in range(count))


def multiplied(columns: int, a_along_k: bool, b_along_k: bool) -> str:
    """Products along k, whose sums are taken before they are waited for and behind it."""
    step = {True: 32 >> 4, False: 2 * 1024 >> 4}  # of 16 numbers along k, in 16 bytes
    lines = ORDER
    for number in range(STEPS):
        lines += product(columns, "%rd1", int(number > 0), f"{int(not a_along_k)}, {int(not b_along_k)}")
        lines += f"add.s64 %rd1, %rd1, {step[a_along_k]}; add.s64 %rd2, %rd2, {step[b_along_k]};"
    early = "".join(f"mov.f32 %f{columns // 2 + i}, %f{i};" for i in range(columns // 2) if columns <= 32)
    return f"{lines} {CLOSE} {early} {WAIT} {written(columns if early else columns // 2)}"


# Each thread's pairs of A are twice its number, in all four registers.
IN_REGISTERS = "cvt.rn.f32.u32 %f10, %r1; mov.b32 %r7, %f10; shr.u32 %r8, %r7, 16; or.b32 %r7, %r7, %r8;"
IN_REGISTERS += f"{ORDER} {product(8, '{%r7, %r7, %r7, %r7}', 0, '0')} {CLOSE} {WAIT} {written(4)}"
VALUE_CASES = [*(multiplied(*sizes) for sizes in SIZES), IN_REGISTERS]


@pytest.fixture(scope="module")
def values() -> ctypes.CDLL:
    return library_of(HEAD + VALUES.replace("BRANCHES", branches(VALUE_CASES)), "values")


def image_of(matrix: np.ndarray[Any, Any], along_k: bool, leading: int = 0) -> np.ndarray[Any, Any]:
    """A matrix [i, k] of whole numbers as bfloat16, as 16-byte pieces exchanged within each 1,024 bytes."""
    image = np.zeros(SHARED // 2, np.uint16)
    bits = (matrix.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    for (i, k), number in np.ndenumerate(bits):
        brick, line, column = (i // 8 * 1024, i % 8, k) if along_k else (k // 8 * 1024, k % 8, i % 64)
        brick += 0 if along_k else i // 64 * leading
        image[(brick + line * 128 + (column // 8 ^ line) * 16) // 2 + column % 8] = number
    return image


def numbers_of(
    library: ctypes.CDLL, case: int, image: np.ndarray[Any, Any], *descriptors: int
) -> np.ndarray[Any, Any]:
    """What each thread writes."""
    shared, operands = banded(image), banded(np.array(descriptors, np.uint64))
    out = banded(np.zeros((THREADS, NUMBERS), np.float32))
    places = [ctypes.c_void_p(array.ctypes.data) for array in (shared, operands, out)]
    assert run(library, scalar_cell(np.uint32(case)), *places) is None
    return out


@pytest.mark.parametrize("sizes", SIZES)
def test_sums_are_those_of_float64_once_waited_for(
    values: ctypes.CDLL, sizes: tuple[int, bool, bool]
) -> None:
    columns, a_along_k, b_along_k = sizes
    random, leading = np.random.default_rng(columns), 8192
    a, b = (random.integers(-8, 9, (size, K * STEPS)) for size in (ROWS, columns))
    image = np.concatenate([image_of(a, a_along_k)[: leading // 2], image_of(b, b_along_k, leading)])
    operands = (descriptor(start, leading=leading) for start in (0, leading))
    out = numbers_of(values, SIZES.index(sizes), image[: SHARED // 2], *operands)
    thread, place = np.ogrid[:THREADS, : columns // 2]
    row = thread // 32 * 16 + thread % 32 // 4 + place % 4 // 2 * 8
    column = place // 4 * 8 + thread % 4 * 2 + place % 2
    expected = a.astype(np.float64) @ b.T.astype(np.float64)
    np.testing.assert_array_equal(out[:, : columns // 2], expected[row, column])
    if columns <= 32:
        assert np.isnan(out[:, columns // 2 : columns]).all(), "seen before they were waited for"


def test_a_matrix_in_registers(values: ctypes.CDLL) -> None:
    """Lane i has columns i % 4 * 2 and 8 behind, of rows i / 4 and 8 below, of its warp's 16."""
    b = np.arange(8 * K).reshape(8, K) % 7 - 3
    out = numbers_of(values, len(SIZES), image_of(b, True), 0, descriptor(0))
    row, k = np.ogrid[:ROWS, :K]
    a = row // 16 * 32 + row % 8 * 4 + k % 8 // 2  # the thread that has it
    thread, place = np.ogrid[:THREADS, :4]
    found = (a @ b.T)[thread // 32 * 16 + thread % 32 // 4 + place // 2 * 8, thread % 4 * 2 + place % 2]
    np.testing.assert_array_equal(out[:, :4], found)


# Faults

# By its argument, the entry does one thing that is right or wrong. %rd1 is a matrix A of 8 KB at 1,024, %rd2
# a matrix B of 1 KB at 0; %r2 is a thread's word in B.
DEEDS = f"""
.visible .entry deeds(
    .param .u32 deeds_param_0
)
{{
    .reg .pred %p<3>; .reg .b32 %r<9>; .reg .f32 %f<8>; .reg .b64 %rd<4>;
    ld.param.u32 %r0, [deeds_param_0];
    mov.u64 %rd1, {descriptor(1024)};
    mov.u64 %rd2, {descriptor(0)};
    mov.u32 %r1, %tid.x;
    shl.b32 %r2, %r1, 2;
    BRANCHES
    ret;
}}
"""
STORE, SYNC, START = "st.shared.u32 [%r2], %r1;", "bar.sync 0;", ORDER + product(8, "%rd1", 0)
MULTIPLY = f"{START} {CLOSE} {WAIT}"
LATER = START.replace("%f0, %f1, %f2, %f3", "%f4, %f5, %f6, %f7")
PARTLY = START.replace("%f0, %f1, %f2, %f3", "%f2, %f3, %f4, %f5")
OF_REGISTERS = ORDER + product(8, "{%r3, %r4, %r5, %r6}", 0, "0")
OVERWRITTEN = "an operand was written before its product was waited for"
NO_FENCE = r"no fence\.proxy\.async between a write and a product that reads it: `wgmma\.mma_async"
CASES = {
    f"{STORE} {FENCE} {SYNC} {MULTIPLY}": None,
    f"{STORE} {FENCE} {SYNC} {MULTIPLY} {SYNC} {STORE} {FENCE} {SYNC} {MULTIPLY}": None,
    f"{MULTIPLY} {SYNC} {STORE}": None,
    f"{START} {START} {CLOSE} {WAIT}": None,
    f"{START} {CLOSE} {LATER} {CLOSE} wgmma.wait_group.sync.aligned 1; mov.f32 %f0, %f1; {WAIT}": None,
    f"{STORE} {SYNC} {MULTIPLY}": NO_FENCE,
    f"{STORE} {SYNC} {FENCE} {MULTIPLY}": NO_FENCE,  # too late
    f"{FENCE} {STORE} {SYNC} {MULTIPLY}": NO_FENCE,  # too early
    f"{STORE} {FENCE} {SYNC} {STORE} {SYNC} {MULTIPLY}": NO_FENCE,  # only of the first
    f"setp.lt.u32 %p1, %r1, 64; {STORE} @%p1 {FENCE} {SYNC} {MULTIPLY}": NO_FENCE,  # of half the threads
    f"{STORE} {FENCE} {MULTIPLY}": "race of a",  # no barrier
    f"{MULTIPLY} {STORE}": "race of a",  # another warp may still read
    f"{START} {CLOSE} {STORE} {WAIT}": f"{OVERWRITTEN}|race of a",
    # By the warp that reads it, or by the same thread.
    f"add.s32 %r3, %r2, 1024; {START} {CLOSE} st.shared.u32 [%r3], %r1; {WAIT}": "race of a",
    f"setp.eq.u32 %p1, %r1, 0; {START} {CLOSE} @%p1 st.shared.u32 [1024], %r0; {FENCE} {WAIT}": OVERWRITTEN,
    f"{START} {CLOSE}": "a product was started and never waited for: `ret`",
    f"{START} {WAIT}": "a product was started and never waited for",  # never closed
    f"{START} {CLOSE} wgmma.wait_group.sync.aligned 1;": "a product was started and never waited for",
    f"{START} {CLOSE} mov.f32 %f1, 0f00000000; {WAIT}": "a register of sums was written before",
    f"{OF_REGISTERS} {CLOSE} {WAIT} mov.u32 %r3, 7;": None,
    f"{OF_REGISTERS} {CLOSE} mov.u32 %r3, 7; {WAIT}": "a register of A was written before its product",
    f"{START} {PARTLY} {CLOSE} {WAIT}": "registers of sums that other products have in part",
    f"setp.lt.u32 %p1, %r1, 32; @%p1 bra SKIP; {MULTIPLY} SKIP: {SYNC}": "a warp took no part in a product",
    f"setp.lt.u32 %p1, %r1, 32; @%p1 add.s64 %rd1, %rd1, 2; {MULTIPLY}": "start different products",
    f"setp.eq.u32 %p1, %r1, 7; @%p1 add.s64 %rd1, %rd1, 2; {MULTIPLY}": "start different products",
    f"setp.ne.u32 %p1, %r1, 7; {START.replace('0, 1, 1', '%p1, 1, 1', 1)} {CLOSE} {WAIT}": "start different",
    f"setp.lt.u32 %p1, %r1, 7; @%p1 bra SKIP; {MULTIPLY} SKIP: bar.warp.sync -1;": "lanes wait",
    f"add.s64 %rd1, %rd1, 1; {MULTIPLY}": r"first row isn't 32 \(along k\) or 128 bytes",
    f"add.s64 %rd1, %rd1, 8; {MULTIPLY}": "starts in the middle of its swizzle's 1,024 bytes",
    f"add.s64 %rd1, %rd1, {24_576 >> 4}; {MULTIPLY}": "past the end of shared memory: `wgmma",
    f"add.s64 %rd1, %rd1, {512 >> 4 << 32}; {MULTIPLY}": "bricks don't begin at multiples of 1,024",
    f"mov.u64 %rd1, {descriptor(1024) & ~SWIZZLE_128}; {MULTIPLY}": "without the 128-byte swizzle",
}


@pytest.fixture(scope="module")
def deeds() -> ctypes.CDLL:
    return library_of(HEAD + DEEDS.replace("BRANCHES", branches(CASES)), "deeds")


@pytest.mark.parametrize("deed", CASES)
def test_faults_are_reported(deeds: ctypes.CDLL, deed: str) -> None:
    report, expected = run(deeds, scalar_cell(np.uint32([*CASES].index(deed)))), CASES[deed]
    if expected is None:
        assert report is None
    else:
        assert report is not None
        assert re.search(expected, report), report


@pytest.mark.parametrize(("alignment", "expected"), [(1024, None), (512, "starts in the middle")])
def test_shared_memory_is_aligned_as_it_asks_for_and_no_more(alignment: int, expected: str | None) -> None:
    place = "mov.u32 %r3, dynamic; shr.u32 %r3, %r3, 4; cvt.u64.u32 %rd3, %r3; add.s64 %rd1, %rd1, %rd3;"
    lines = "".join(f"    {part};\n" for part in f"{place} {MULTIPLY}".split(";") if part.strip())
    declared = f".extern .shared .align {alignment} .b8 dynamic[];\n"
    report = run(
        library_of(HEAD + declared + DEEDS.replace("BRANCHES", lines), "deeds"), scalar_cell(np.uint32(0))
    )
    assert report is None if expected is None else report and expected in report


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (product(8, "%rd1"), "no wgmma.fence in the same straight piece"),
        (f"{ORDER} mov.f32 %f3, 0f00000000; {product(8, '%rd1')}", "between a use of the sums"),
        (f"{MULTIPLY} st.shared.f32 [%r2], %f3; {product(8, '%rd1')}", "between a use of the sums"),
        (OF_REGISTERS.replace(";", "; mov.u32 %r5, 1;", 1), "between a use of the sums or of A"),
        (f"@%p1 {MULTIPLY}", "choice of threads"),
        (f"{ORDER} @%p1 {product(8, '%rd1')}", "choice of threads"),
        (f"{START} @%p1 {CLOSE} {WAIT}", "choice of threads"),
        (f"{START} {CLOSE} @%p1 {WAIT}", "choice of threads"),
        (f"{ORDER} NEXT: {product(8, '%rd1')}", "no wgmma.fence in the same straight piece"),
        (ORDER + product(16, "%rd1").replace("n16", "n8"), "unknown instruction"),  # too many sums
        (ORDER + product(8, "%rd1").replace("1, 1, 0, 0", "-1, 1, 0, 0"), "unknown instruction"),
        (ORDER + product(8, "%rd1").replace("bf16.bf16", "f16.f16"), "unknown instruction"),
    ],
)
def test_what_is_wrong_in_any_run_is_named_at_translation(code: str, what: str) -> None:
    lines = "".join(f"    {part};\n" for part in code.replace("NEXT:", "NEXT:\n").split(";") if part.strip())
    ptx = HEAD + DEEDS.replace("BRANCHES", lines)
    with pytest.raises(UnknownPtxError, match=what):
        translate(ptx, "deeds")
