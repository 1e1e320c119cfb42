"""The last batches before a rewiring: the documents, the features that the head read, and their positives.

R batches, B rows of a batch, D features, N rows that are in use, P positive pairs.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from xmcpipe.data.shards.files import Int64s
from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.ops.layer import Positives

LARGEST = torch.finfo(torch.float16).max


def to_half(features: Tensor) -> Tensor:
    """The features in float16; those out of its range are clamped."""
    return features.detach().float().clamp(-LARGEST, LARGEST).half()


class Kept(NamedTuple):
    """The kept batches. A row number counts all rows of the ring: slot * B + row in the batch."""

    features: Tensor
    """float16 [R * B, D], a view."""
    rows: Tensor
    """int64 [N], ascending: the rows that are in use."""
    documents: Tensor
    """int64 [R * B]: the row of the shards whose document it is, of each row in use."""
    pairs: Positives
    """Row numbers and labels, int64 [P] each, in the order of the labels."""


class Ring:
    """Keeps the last `window` batches of at most `batch_size` rows, on `device`.

    `features_RBD`, float16, has a slot for each batch; a new batch replaces the oldest.
    """

    def __init__(self, window: int, batch_size: int, num_features: int, device: torch.device) -> None:
        size = (window, batch_size, num_features)
        self.features_RBD = torch.zeros(size, dtype=torch.float16, device=device)
        self.documents_RB = torch.zeros(size[:2], dtype=torch.int64)  # on the host, where shards are read
        self._positives: list[Positives] = []  # of each slot in use, int32: row in the batch, label
        self._num_rows: list[int] = []  # of each slot in use
        self._next = 0

    def keep(self, rows: Int64s, features_BD: Tensor, positives: Positives) -> None:
        """Keep the batch of the documents `rows`; `features_BD` may have any float dtype."""
        slot, num_rows = self._next, len(features_BD)
        self.features_RBD[slot, :num_rows] = to_half(features_BD)
        self.documents_RB[slot, :num_rows] = torch.from_numpy(rows)
        pairs = Positives(positives.rows.int(), positives.labels.int())
        if slot == len(self._positives):
            self._positives.append(pairs)
            self._num_rows.append(num_rows)
        else:
            self._positives[slot], self._num_rows[slot] = pairs, num_rows
        self._next = (slot + 1) % len(self.features_RBD)

    def contents(self) -> Kept:
        """All kept batches."""
        _, batch_size, num_features = self.features_RBD.shape
        device = self.features_RBD.device
        first_rows = [slot * batch_size for slot in range(len(self._num_rows))]
        sizes = zip(first_rows, self._num_rows, strict=True)
        rows = [torch.arange(first, first + size, device=device) for first, size in sizes]
        in_slots = zip(first_rows, self._positives, strict=True)
        pairs = Positives.of(
            torch.cat([positives.rows.long() + first for first, positives in in_slots]),
            torch.cat([positives.labels.long() for positives in self._positives]),
        )
        documents = self.documents_RB.view(-1)
        return Kept(self.features_RBD.view(-1, num_features), torch.cat(rows), documents, pairs)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint saves; see `updates.protocol.State`."""
        pairs = {
            f"{name}.{slot}": tensor
            for slot, positives in enumerate(self._positives)
            for name, tensor in (("rows", positives.rows), ("labels", positives.labels))
        }
        return {"features": self.features_RBD, "documents": self.documents_RB, **pairs}

    def facts(self) -> dict[str, Any]:
        """The rest of the state, in JSON types."""
        return {"num_rows": self._num_rows, "next": self._next}

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        """Read both back."""
        file.read_into(f"{prefix}features", self.features_RBD)
        file.read_into(f"{prefix}documents", self.documents_RB)
        self._num_rows, self._next = list(facts["num_rows"]), int(facts["next"])
        device = self.features_RBD.device
        self._positives = [
            Positives(file.read(f"{prefix}rows.{slot}", device), file.read(f"{prefix}labels.{slot}", device))
            for slot in range(len(self._num_rows))
        ]
