"""The last features of every training document, float16, without dropout.

With a frozen encoder they are the embeddings artifact. Otherwise training writes them into a file as it
passes over the documents. A resumed training must see the file as the checkpoint saw it, although the killed
one went on writing. Therefore each document has three places in the file. The current place of each document
is part of the checkpoint, and no write touches it as long as the checkpoint is kept: new features go to a
place to which neither of the two kept checkpoints refers. So a killed training leaves nothing to undo. A
checkpoint also has a checksum of the features of each document, because its own do not cover the file.

N documents (rows of the shards), D features, B rows of a batch, P places.
"""

import os
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xmcpipe.data.embeddings import EmbeddingTable
from xmcpipe.data.shards.files import Int64s
from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.training.growth.ring import to_half

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
VALUE = np.dtype("<f2")
UNSEEN = 0  # the place of a document without features yet; the places are 1, 2 and 3
PLACES = 3


class DocumentFeatures(Protocol):
    """Features of the documents; a `State` (`updates.protocol`) of what a checkpoint must save."""

    @property
    def num_seen(self) -> int:
        """Number of documents that have features."""
        ...

    def seen(self, rows: Int64s) -> Bools:
        """Which of the documents `rows` have features."""
        ...

    def gather(self, rows: Int64s) -> Floats:
        """The features of documents that have some, float32 [len(rows), D]."""
        ...

    def keep(self, rows: Int64s, features_BD: Tensor) -> None:
        """Replace the features of the documents `rows`."""
        ...

    def flush(self) -> None:
        """Bring everything to the disk that a checkpoint refers to; call it before one is written."""
        ...

    def checkpointed(self) -> None:
        """Note that a checkpoint of this state exists."""
        ...

    def fault(self, file: TensorFile, prefix: str) -> str | None:
        """The fault of the features to which the checkpoint `file` refers; None if they are whole."""
        ...

    def tensors(self) -> dict[str, Tensor]: ...

    def facts(self) -> dict[str, Any]: ...

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None: ...


class FrozenFeatures:
    """The DocumentFeatures of a frozen encoder: its embeddings, of which `num_documents` are trained on."""

    def __init__(self, embeddings: EmbeddingTable, num_documents: int) -> None:
        self._embeddings, self.num_seen = embeddings, num_documents

    def seen(self, rows: Int64s) -> Bools:
        return np.ones(len(rows), np.bool_)

    def gather(self, rows: Int64s) -> Floats:
        return self._embeddings.gather(rows)

    def keep(self, rows: Int64s, features_BD: Tensor) -> None:
        """Do nothing: the features never change. The same for all that follows."""

    def flush(self) -> None:
        pass

    def checkpointed(self) -> None:
        pass

    def fault(self, file: TensorFile, prefix: str) -> str | None:
        return None

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def facts(self) -> dict[str, Any]:
        return {}

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        pass


class WrittenFeatures:
    """The DocumentFeatures in the file `path`, for `num_rows` documents.

    A file that a killed training left is used again: what counts is the place of each document.
    """

    def __init__(self, path: Path, num_rows: int, num_features: int) -> None:
        self._path, self._shape = path, (PLACES, num_rows, num_features)
        self._row_bytes = num_features * VALUE.itemsize
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.truncate(PLACES * num_rows * self._row_bytes)  # a sparse file, which grows as it is written
        self._place_N = np.full(num_rows, UNSEEN, np.uint8)
        self._saved_N = self._place_N.copy()  # places that the last checkpoint refers to
        self._earlier_N = self._place_N.copy()  # and the one before it
        self._checksum_N = np.zeros(num_rows, np.int64)  # crc32 of the features in the current place

    @property
    def num_seen(self) -> int:
        return int(np.count_nonzero(self._place_N))

    def seen(self, rows: Int64s) -> Bools:
        seen: Bools = self._place_N[rows] != UNSEEN
        return seen

    def gather(self, rows: Int64s) -> Floats:
        # Mapped for this call only: the pages of a map that stays would count as memory of the process.
        values_PND = np.memmap(self._path, VALUE, "r", shape=self._shape)
        values: Floats = values_PND[self._place_N[rows].astype(np.int64) - 1, rows].astype(np.float32)
        return values

    def keep(self, rows: Int64s, features_BD: Tensor) -> None:
        values_BD = to_half(features_BD).cpu().numpy()
        taken_2B = np.stack([self._saved_N[rows], self._earlier_N[rows]])
        places_B = np.where((taken_2B != 1).all(0), 1, np.where((taken_2B != 2).all(0), 2, 3))
        # Ordinary writes, not a writable map: on a full disk, a map ends the process with SIGBUS.
        with self._path.open("r+b") as file:
            for row, place, value_D in zip(rows, places_B, values_BD, strict=True):
                file.seek(((int(place) - 1) * self._shape[1] + int(row)) * self._row_bytes)
                content = np.ascontiguousarray(value_D, VALUE).tobytes()
                self._checksum_N[row] = zlib.crc32(content)
                file.write(content)
        self._place_N[rows] = places_B

    def flush(self) -> None:
        with self._path.open("rb") as file:
            os.fsync(file.fileno())

    def checkpointed(self) -> None:
        self._earlier_N[:] = self._saved_N
        self._saved_N[:] = self._place_N

    def fault(self, file: TensorFile, prefix: str) -> str | None:
        place_N, checksum_N = (file.read(f"{prefix}{name}").numpy() for name in ("places", "checksums"))
        values_PND = np.memmap(self._path, VALUE, "r", shape=self._shape)
        for row in np.flatnonzero(place_N != UNSEEN):
            if zlib.crc32(values_PND[place_N[row].astype(np.int64) - 1, row].tobytes()) != checksum_N[row]:
                return f"the features of document {row} in {self._path.name} were changed"
        return None

    def tensors(self) -> dict[str, Tensor]:
        arrays = {"places": self._place_N, "earlier": self._saved_N, "checksums": self._checksum_N}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def facts(self) -> dict[str, Any]:
        return {}

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        self._place_N[:] = file.read(f"{prefix}places").numpy()
        self._checksum_N[:] = file.read(f"{prefix}checksums").numpy()
        self._saved_N[:] = file.read(f"{prefix}earlier").numpy()
        self.checkpointed()
