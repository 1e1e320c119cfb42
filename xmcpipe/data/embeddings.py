"""The embeddings of one split: a safetensors file with the tensor `embedding`, float16 [N, E].

Rows are written in blocks, into a file of the final size that survives a killed process: a record next to it
says how many rows are on disk. A reader maps the file into memory, so that a row costs one read of 2 * E
bytes and a split of any size needs no memory. NumPy only: training reads these files too.

N documents of a split, E width of an embedding.
"""

import json
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json
from xmcpipe.tensor_header import read_tensor_header

Embeddings = npt.NDArray[np.float16]
NAME, VALUE = "embedding", np.dtype("<f2")


def embeddings_path(folder: Path, split: str) -> Path:
    """The file of a split in an embeddings artifact."""
    return folder / f"{split}.safetensors"


class EmbeddingWriter:
    """Writes `rows` embeddings of `width` to `path`; a second writer continues where a first was killed.

    `done` is the number of rows that are on disk, from the first on.
    """

    def __init__(self, path: Path, rows: int, width: int) -> None:
        self.path, self.done = path, 0
        self._record = path.with_suffix(".json")
        self._header, self._row_bytes = _header(rows, width), width * VALUE.itemsize
        self._size = len(self._header) + rows * self._row_bytes
        if not self._continue():
            with path.open("wb") as file:
                file.write(self._header)
                file.truncate(self._size)
            self._note(0)

    def write(self, block: Embeddings) -> None:
        """Append the next rows, float16 [any, E]; they are on disk when this returns."""
        # Ordinary writes, not a writable map: on a full disk, a map ends the process with SIGBUS.
        with self.path.open("r+b") as file:
            file.seek(len(self._header) + self.done * self._row_bytes)
            file.write(np.ascontiguousarray(block, VALUE).data)
            file.flush()
            os.fsync(file.fileno())
        self._note(self.done + len(block))

    def _continue(self) -> bool:
        """Whether an earlier writer left a file of this shape; `done` is then its number of rows."""
        try:
            record = parse_json(self._record.read_text())
            with self.path.open("rb") as file:
                same = file.read(len(self._header)) == self._header
            if same and self.path.stat().st_size == self._size:
                self.done = int(record["done"])
                return True
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no file yet, or one that was cut off: begin again
        return False

    def _note(self, done: int) -> None:
        # Renamed, so that a kill leaves the old record or the new one; and after the rows, never before them.
        temporary = self._record.with_suffix(".json.part")
        temporary.write_text(json.dumps({"done": done}))
        temporary.rename(self._record)
        self.done = done


class EmbeddingTable:
    """The embeddings of one split, or of several end to end, in the order of `Shards` of the same splits.

    Raises XmcpipeError as `read_embeddings` does.
    """

    def __init__(self, folder: Path, *splits: str) -> None:
        self._parts = [read_embeddings(embeddings_path(folder, split)) for split in splits]
        self._first_row = np.cumsum([0, *map(len, self._parts)])
        self.width = self._parts[0].shape[1]

    def __len__(self) -> int:
        return int(self._first_row[-1])

    def gather(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The embeddings of `rows`, int64 [B]: float32 [B, E]."""
        values = np.empty((len(rows), self.width), np.float32)
        part_of_row = np.searchsorted(self._first_row, rows, side="right") - 1
        for number in np.unique(part_of_row):
            here = part_of_row == number
            values[here] = self._parts[number][rows[here] - self._first_row[number]]
        return values


def read_embeddings(path: Path) -> Embeddings:
    """The embeddings of a split, float16 [N, E], mapped into memory and read-only.

    Raises XmcpipeError for a file that is missing, truncated or of another format.
    """
    try:
        entries, data = read_tensor_header(path)
        rows, width = entries[NAME]["shape"]
        if entries[NAME]["dtype"] != "F16" or len(entries) != 1:
            raise ValueError(f"expected float16 values of {rows} x {width}")
        if rows * width == 0:
            return np.zeros((rows, width), np.float16)  # an empty range of a file can't be mapped
        return np.memmap(path, VALUE, "r", offset=data, shape=(rows, width))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise XmcpipeError(
            f"{path} can't be read as embeddings: {error}", "run `xmcpipe embed` again"
        ) from error


def _header(rows: int, width: int) -> bytes:
    """The length of the header and the header, padded so that the values start at a multiple of 8 bytes."""
    end = rows * width * VALUE.itemsize
    table = {NAME: {"dtype": "F16", "shape": [rows, width], "data_offsets": [0, end]}}
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
