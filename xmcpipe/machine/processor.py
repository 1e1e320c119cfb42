"""What the processor multiplies by instructions of its own: of numbers of 16 bits, not all processors any.

Without such instructions torch takes up to a hundred times as long for a product of bfloat16 as for one of
float32 (results/README.md).
"""

from functools import cache
from pathlib import Path

# Linux's names of the instructions that multiply the type: one of them suffices.
INSTRUCTIONS = {
    "bfloat16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),  # the last on ARM
    "float16": frozenset({"avx512_fp16", "amx_fp16"}),
}
NAMES = {"bfloat16": "AVX512-BF16 or AMX", "float16": "AVX512-FP16 or AMX-FP16"}
CPUINFO = Path("/proc/cpuinfo")


def multiplies(dtype: str) -> bool:
    """Whether the processor multiplies `dtype`, "float32", "bfloat16" or "float16"."""
    return dtype == "float32" or bool(INSTRUCTIONS[dtype] & cpu_flags())


@cache
def cpu_flags() -> frozenset[str]:
    """The processor's extensions as Linux names them; none on another system."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):  # x86 and ARM
            return frozenset(value.split())
    return frozenset()
