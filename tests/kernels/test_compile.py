"""Every kernel, variant and architecture compiles, exports its entry, spills nothing and stays in its budget.

No GPU is needed. Cubins are cached for the user by the hash of their text, so that only changed kernels are
compiled again. Each kernel is compiled for every architecture, and each of its variants for one of them in
turn; XMCPIPE_COMPILE_ALL=1 compiles every variant for every architecture, which takes minutes.
"""

import os
import re

import pytest

from tests.kernels.cases.cubin import max_threads, parameter_bytes, sections
from xmcpipe.ops.nvrtc import compiler
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES, COMMON_ARCHITECTURES, KIB
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.source import folder, parameters
from xmcpipe.ops.nvrtc.variant import Kernel, Variant

MAX_STATIC_SHARED = 48 * KIB
EVERY_VARIANT = os.environ.get("XMCPIPE_COMPILE_ALL") == "1"
FORMAT_MACROS = ("WEIGHT", "FEATURE", "MOMENT")
JOBS = [(kernel, name) for kernel in KERNELS.values() for name in COMMON_ARCHITECTURES]


def chosen(kernel: Kernel, architecture: str) -> list[Variant]:
    """The defaults, each number format, and the other variants whose turn this architecture is."""
    variants, default = list(kernel.variants(architecture)), kernel.variant()
    turn, count = COMMON_ARCHITECTURES.index(architecture), len(COMMON_ARCHITECTURES)
    selected = []
    for i, variant in enumerate(variants):
        formats = {value for name, value in variant.macros if name in FORMAT_MACROS}
        others = [(name, value) for name, value in variant.macros if name not in FORMAT_MACROS]
        plain = len(formats) <= 1 and all(pair in default.macros for pair in others)
        if EVERY_VARIANT or plain or i == 0 or i % count == turn:
            selected.append(variant)
    return selected


def faults(variant: Variant, architecture: str) -> list[str]:
    """The errors in a variant's cubin."""
    entry, cubin = variant.kernel.entry, compiler.compile_kernel(variant, architecture)
    used = cubin.resources
    if f".text.{entry}" not in sections(cubin.code):
        return ["its entry is missing"]
    widths = [parameter.bytes for parameter in parameters(variant)]
    checks = {
        "spills": used.spill_stores == used.spill_loads == 0,
        "has a stack": used.stack == 0,
        f"uses more than {variant.max_registers} registers": used.registers <= variant.max_registers,
        "uses too much shared memory": used.shared <= min(MAX_STATIC_SHARED, ARCHITECTURES[architecture]),
        f"was not compiled for {variant.threads} threads": max_threads(cubin.code, entry) == variant.threads,
        f"has other parameters than {widths} bytes": parameter_bytes(cubin.code, entry) == widths,
    }
    return [f"{what}: {used}" for what, right in checks.items() if not right]


@pytest.mark.parametrize(("kernel", "architecture"), JOBS, ids=lambda each: getattr(each, "entry", each))
def test_every_variant_compiles_within_its_budget(
    kernel: Kernel, architecture: str, needs_nvrtc: None
) -> None:
    by_variant = {str(variant): faults(variant, architecture) for variant in chosen(kernel, architecture)}
    assert {name: errors for name, errors in by_variant.items() if errors} == {}


def test_every_entry_of_every_file_is_in_the_table() -> None:
    known = {(kernel.source, kernel.entry) for kernel in KERNELS.values()}
    entry = re.compile(r'^extern "C" __global__ void[^\n]*\n(\w+)\(', re.MULTILINE)
    files = list(folder().rglob("*.cu"))
    found = {(path.relative_to(folder()).as_posix(), path.read_text("utf-8")) for path in files}
    assert {(name, each) for name, text in found for each in entry.findall(text)} == known
