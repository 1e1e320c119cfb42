"""The GPU architectures that the kernels compile for, and what one block may use of each.

From the CUDA programming guide, "technical specifications per compute capability".
"""

from xmcpipe.errors import XmcpipeError

KIB = 1024
REGISTER_FILE, MAX_REGISTERS, REGISTER_STEP = 65_536, 255, 8

# Name -> bytes of shared memory, static and dynamic.
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
# What `--arch all` means and the tests try; the rest are boards and later revisions of these.
COMMON_ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")


def number_of(architecture: str) -> int:
    """90 for "sm_90"."""
    return int(architecture.removeprefix("sm_"))


def require_architecture(name: str) -> str:
    """`name` if it is an architecture the kernels compile for. Raises XmcpipeError that names those."""
    if name not in ARCHITECTURES:
        raise XmcpipeError(f"there is no architecture {name!r}", f"known: {', '.join(ARCHITECTURES)}")
    return name
