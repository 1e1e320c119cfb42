"""The GPU architectures that the kernels compile for, and their limits of shared memory per block.

Source: the CUDA programming guide, "technical specifications per compute capability".
"""

from xmcpipe.errors import XmcpipeError

KIB = 1024
REGISTER_FILE, MAX_REGISTERS, REGISTER_STEP = 65_536, 255, 8

# Name -> largest shared memory of a block, static and dynamic together, in bytes.
ARCHITECTURES = {
    "sm_75": 64 * KIB,
    "sm_80": 163 * KIB,
    "sm_86": 99 * KIB,
    "sm_87": 163 * KIB,
    "sm_89": 99 * KIB,
    "sm_90": 227 * KIB,
    "sm_100": 227 * KIB,
    "sm_103": 227 * KIB,
    "sm_110": 227 * KIB,
    "sm_120": 99 * KIB,
    "sm_121": 99 * KIB,
}
# `--arch all` and the tests compile for these; the others are boards and later revisions of them.
COMMON_ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")


def number_of(architecture: str) -> int:
    """The number of an architecture: 90 for "sm_90"."""
    return int(architecture.removeprefix("sm_"))


def require_architecture(name: str) -> str:
    """Return `name` if the kernels compile for it. Raises XmcpipeError that lists the architectures."""
    if name not in ARCHITECTURES:
        raise XmcpipeError(f"unknown architecture {name!r}", f"known: {', '.join(ARCHITECTURES)}")
    return name
