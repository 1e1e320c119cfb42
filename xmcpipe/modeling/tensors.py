"""Writes and reads safetensors files in small pieces, so that memory never holds a large layer twice.

A file (github.com/huggingface/safetensors) has three sections: the length of the header in 8 bytes,
little-endian; the header, JSON that maps each name to dtype, shape and byte range; the bytes. The library
copies every tensor into a bytes object to write it, and maps the whole file into memory to read it. This
module copies PIECE_BYTES at a time.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xmcpipe.errors import XmcpipeError
from xmcpipe.ops.rounding import FLOAT8
from xmcpipe.tensor_header import read_tensor_header

PIECE_BYTES = 1 << 24  # 16 MiB
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "U64": torch.uint64,
    "I32": torch.int32,
    "U32": torch.uint32,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F8_E4M3": FLOAT8,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> str:
    """Write `tensors`, from any device, to `path`: to a temporary file that is synced and then renamed.

    `metadata` goes into the header, for other libraries. Returns the sha256 of the file, 64 hex digits,
    computed from the bytes in memory.
    """
    # The widest elements come first, so that each tensor starts at a multiple of its element's size.
    ordered = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    table: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    begin = 0
    for name in ordered:
        tensor, end = tensors[name], begin + tensors[name].nbytes
        table[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
        begin = end
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)  # the tensors begin at a multiple of 8 bytes
    start = len(header).to_bytes(8, "little") + header
    digest = hashlib.sha256(start)
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        file.write(start)
        for name in ordered:
            for piece in _pieces(tensors[name].detach()):
                content = piece.cpu().view(torch.uint8).numpy().data
                digest.update(content)
                file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    return digest.hexdigest()


class TensorFile:
    """A safetensors file, whose tensors are read one by one.

    `names` are the names of its tensors, `bytes` is its size. Raises XmcpipeError for a file that
    is truncated or of another format.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._table, self._data = read_tensor_header(path)
        except (OSError, ValueError) as error:
            raise XmcpipeError(
                f"{path} can't be read as safetensors: {error}", "run the stage again"
            ) from error
        self.names = self._table.keys()
        self.bytes = path.stat().st_size

    def read(self, name: str, device: torch.device | str = "cpu") -> Tensor:
        """The tensor called `name`, on `device`. Raises XmcpipeError if the file has none."""
        entry = self._entry(name)
        tensor = torch.empty(entry["shape"], dtype=DTYPES[entry["dtype"]], device=device)
        self.read_into(name, tensor)
        return tensor

    @torch.no_grad()
    def read_into(self, name: str, tensor: Tensor) -> None:
        """Fill `tensor` (contiguous, on any device, of any dtype) in place.

        Raises XmcpipeError if the file has no such tensor, one of another shape, or integers of another type.
        """
        entry = self._entry(name)
        if entry["shape"] != list(tensor.shape):
            raise XmcpipeError(
                f"{self._path}: {name}: expected shape {list(tensor.shape)}, got {entry['shape']}",
                "run the stage again",
            )
        assert tensor.is_contiguous(), "otherwise its pieces are copies"
        dtype = DTYPES[entry["dtype"]]
        # Floats of 16 bits and more may change their width. Another integer type, or none, would change the
        # values, and so would 8 bits, which hold scaled ones.
        wide = FLOAT8 not in (dtype, tensor.dtype) and dtype.is_floating_point and tensor.is_floating_point()
        if dtype != tensor.dtype and not wide:
            raise XmcpipeError(
                f"{self._path}: {name}: expected {NAMES[tensor.dtype]}, got {entry['dtype']}",
                "run the stage again",
            )
        with self._path.open("rb") as file:
            file.seek(self._data + entry["data_offsets"][0])
            for piece in _pieces(tensor):
                host = torch.empty(len(piece), dtype=dtype)
                if file.readinto(host.view(torch.uint8).numpy().data) != host.nbytes:
                    raise XmcpipeError(f"{self._path}: {name}: the file has shrunk", "run the stage again")
                piece.copy_(host)

    def shape(self, name: str) -> list[int]:
        """The shape of the tensor called `name`. Raises XmcpipeError if the file has none."""
        shape: list[int] = self._entry(name)["shape"]
        return shape

    def _entry(self, name: str) -> dict[str, Any]:
        if name not in self._table:
            raise XmcpipeError(
                f"{self._path}: expected a tensor {name}, got none: another version of xmcpipe wrote it",
                "delete the file's folder, and run the stage again",
            )
        return self._table[name]


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """All tensors of `path`. Raises XmcpipeError as TensorFile does."""
    file = TensorFile(path)
    return {name: file.read(name, device) for name in file.names}


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    """The elements of a tensor in order, PIECE_BYTES at a time; views if the tensor is contiguous."""
    flat, step = tensor.reshape(-1), PIECE_BYTES // tensor.element_size()
    for begin in range(0, len(flat), step):
        yield flat[begin : begin + step]
