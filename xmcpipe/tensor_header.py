"""Reads the header of a safetensors file of unknown origin, and checks it before a tensor is allocated.

A file (github.com/huggingface/safetensors) has three sections: the length of the header in 8 bytes,
little-endian; the header, JSON that maps each name to dtype, shape and byte range; the bytes.
"""

import stat
from pathlib import Path
from typing import Any, NamedTuple

from xmcpipe.json_file import parse_json_object

HEADER_BYTES = 1 << 25  # a tensor takes about 100 bytes
ITEM_BYTES = {
    **{"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4},
    **{"F16": 2, "BF16": 2, "I16": 2, "U16": 2, "F8_E4M3": 1, "I8": 1, "U8": 1, "BOOL": 1},
}


class TensorHeader(NamedTuple):
    """`entries`: dtype, shape and data_offsets by name; the bytes of the tensors begin at byte `data`."""

    entries: dict[str, dict[str, Any]]
    data: int


def read_tensor_header(path: Path) -> TensorHeader:
    """The header of the file `path`.

    Raises OSError for a file that can't be read, and ValueError, with the reason, unless the byte ranges have
    the sizes of their tensors and fill the file without overlap.
    """
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("it is not an ordinary file")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        # In a file of another format these 8 bytes can be any number, so check it before reading.
        if length > facts.st_size - 8:
            raise ValueError("its header is truncated")
        if length > HEADER_BYTES:
            raise ValueError(f"its header has {length:,} bytes, more than {HEADER_BYTES:,}")
        table = parse_json_object(file.read(length))
    table.pop("__metadata__", None)
    end = 0
    for begin, stop, name in sorted(_range(name, entry) for name, entry in table.items()):
        if begin != end:
            raise ValueError(f"the bytes of {name[:60]!r} begin at {begin}, expected {end}")
        end = stop
    if facts.st_size != 8 + length + end:
        raise ValueError(f"expected {8 + length + end} bytes, got {facts.st_size}")
    return TensorHeader(table, 8 + length)


def _range(name: str, entry: Any) -> tuple[int, int, str]:
    """The bytes [begin, end) of a tensor, after a check of its entry."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"{name[:60]!r} has no dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ValueError(f"{name[:60]!r} has the unknown dtype {str(dtype)[:20]!r}")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"shape and offsets of {name[:60]!r} are not whole numbers of 0 or more")
    size = ITEM_BYTES[dtype]
    for length in shape:
        size *= length
        if size > 1 << 62:
            raise ValueError(f"{name[:60]!r} has a shape of more than 2^62 bytes")
    if offsets[1] - offsets[0] != size:
        raise ValueError(f"expected {size} bytes for {name[:60]!r}, got {offsets[1] - offsets[0]}")
    return offsets[0], offsets[1], name


def _counts(values: Any) -> bool:
    """Whether `values` is a list of whole numbers of 0 or more."""
    return (
        isinstance(values, list)
        and len(values) <= 8
        and all(type(value) is int and 0 <= value < 1 << 62 for value in values)
    )
