"""Tensors to and from safetensors files in small pieces, so that a layer of gigabytes is never held twice.

The format (github.com/huggingface/safetensors) is simple: the header's length in 8 bytes, little-endian; the
header, JSON that maps each name to dtype, shape and the range of its bytes; the bytes. Its own library makes
a bytes object of every tensor to write it, and maps the whole file into memory to read it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xmcpipe.errors import XmcpipeError

PIECE_BYTES = 1 << 24
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
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors`, from any device, to `path`: beside it first, synced, and renamed once."""
    # The widest elements first: each tensor then starts at a multiple of its element's size.
    ordered = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    table, begin = {}, 0
    for name in ordered:
        tensor, end = tensors[name], begin + tensors[name].nbytes
        table[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
        begin = end
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name in ordered:
            for piece in _pieces(tensors[name].detach()):
                file.write(piece.cpu().view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)


class TensorFile:
    """A safetensors file, whose tensors are read one by one.

    `names` are those in it. Raises XmcpipeError for a file that is cut off or isn't safetensors.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                # Looked at before it is read: a file of another kind may ask for any length.
                if length > path.stat().st_size - 8:
                    raise ValueError("its header is cut off")
                table: dict[str, dict[str, Any]] = json.loads(file.read(length))
            table.pop("__metadata__", None)
            self._table = {name: _checked(entry) for name, entry in table.items()}
            self._data = 8 + length
            end = self._data + max((entry["data_offsets"][1] for entry in table.values()), default=0)
            if path.stat().st_size != end:
                raise ValueError(f"it has {path.stat().st_size} bytes, {end} were wanted")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise XmcpipeError(
                f"{path} can't be read as safetensors: {error}", "run the stage again"
            ) from error
        self.names = self._table.keys()

    def read(self, name: str, device: torch.device | str = "cpu") -> Tensor:
        """The tensor called `name`, on `device`."""
        entry = self._table[name]
        tensor = torch.empty(entry["shape"], dtype=DTYPES[entry["dtype"]], device=device)
        self.read_into(name, tensor)
        return tensor

    @torch.no_grad()
    def read_into(self, name: str, tensor: Tensor) -> None:
        """Fill `tensor` (contiguous, on any device, of any dtype) in place.

        Raises XmcpipeError where the file's has another shape.
        """
        entry = self._table[name]
        if entry["shape"] != list(tensor.shape):
            raise XmcpipeError(
                f"{self._path}: {name} has shape {entry['shape']}, {list(tensor.shape)} was wanted",
                "run the stage again",
            )
        assert tensor.is_contiguous(), "else its pieces are copies"
        dtype = DTYPES[entry["dtype"]]
        with self._path.open("rb") as file:
            file.seek(self._data + entry["data_offsets"][0])
            for piece in _pieces(tensor):
                host = torch.empty(len(piece), dtype=dtype)
                file.readinto(host.view(torch.uint8).numpy().data)
                piece.copy_(host)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """All tensors of `path`. Raises XmcpipeError as TensorFile."""
    file = TensorFile(path)
    return {name: file.read(name, device) for name in file.names}


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    """The elements of a tensor in order, some at a time: views of it where it is contiguous."""
    flat, step = tensor.reshape(-1), PIECE_BYTES // tensor.element_size()
    for begin in range(0, len(flat), step):
        yield flat[begin : begin + step]


def _checked(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry, whose bytes are as many as its shape says."""
    begin, end = entry["data_offsets"]
    size = DTYPES[entry["dtype"]].itemsize
    for length in entry["shape"]:
        size *= length
    if end - begin != size:
        raise ValueError(f"a tensor of {size} bytes has {end - begin}")
    return entry
