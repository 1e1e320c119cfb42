"""Facts about a kernel from its cubin, an ELF file whose section .nv.info.ENTRY lists the entry's attributes.

NVIDIA doesn't document the attributes; `cuobjdump -elf` names them, and these two have the same encoding for
every architecture.
"""

import struct
from collections.abc import Iterator

PARAMETER, MAX_THREADS = 0x17, 0x05  # EIATTR_KPARAM_INFO, EIATTR_MAX_THREADS
HAS_PAYLOAD = 4  # EIFMT_SVAL: a 16-bit length and that many bytes follow


def sections(cubin: bytes) -> dict[str, bytes]:
    """The contents of each section, by its name."""
    (start,) = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names_at = struct.unpack_from("<HHH", cubin, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", cubin, start + i * size) for i in range(count)]
    names = cubin[headers[names_at][4] :]
    return {
        names[name : names.index(b"\0", name)].decode(): cubin[offset : offset + length]
        for name, _, _, _, offset, length in headers
    }


def _attributes(cubin: bytes, entry: str) -> Iterator[tuple[int, bytes]]:
    info, at = sections(cubin)[f".nv.info.{entry}"], 0
    while at < len(info):
        kind, attribute, length = struct.unpack_from("<BBH", info, at)
        length = length if kind == HAS_PAYLOAD else 0
        yield attribute, info[at + 4 : at + 4 + length]
        at += 4 + length


def parameter_bytes(cubin: bytes, entry: str) -> list[int]:
    """The width of each parameter of the entry, in order."""
    widths = {}
    for attribute, payload in _attributes(cubin, entry):
        if attribute == PARAMETER:
            _, ordinal, _, flags = struct.unpack("<IHHI", payload)
            widths[ordinal] = flags >> 18
    return [widths[ordinal] for ordinal in range(len(widths))]


def max_threads(cubin: bytes, entry: str) -> int:
    """The threads of a block that the entry was compiled for."""
    return next(
        int(struct.unpack_from("<I", payload)[0])
        for attribute, payload in _attributes(cubin, entry)
        if attribute == MAX_THREADS
    )
