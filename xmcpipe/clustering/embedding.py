"""Documents as the encoder's embeddings, from the token ids that were made for it.

R documents, D features of the encoder, B documents of a batch, S tokens of the longest of them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xmcpipe.clustering.partition import Float32s, Int32s
from xmcpipe.modeling.encoder import Pooling, load, pool

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Embedding:
    """Maps documents to float32 [R, D] with a frozen encoder."""

    model: "torch.nn.Module"
    dim: int
    pooling: Pooling
    batch_size: int
    device: "torch.device"

    @staticmethod
    def of(encoder: str, pooling: Pooling, batch_size: int, device: str) -> "Embedding":
        """The encoder called `encoder` on `device`. Raises XmcpipeError where either can't be found."""
        from xmcpipe.modeling.devices import pick_device

        place = pick_device(device)
        model = load(encoder).eval().to(place)
        return Embedding(model, int(model.config.hidden_size), pooling, batch_size, place)

    def __call__(self, tokens: Int32s, lengths: Int32s) -> Float32s:
        """The embeddings of R documents: their token ids end to end, and the number of each."""
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        vectors_RD = np.empty((len(lengths), self.dim), np.float32)
        by_length = np.argsort(lengths, kind="stable")  # batches of like lengths have little padding
        for first in range(0, len(by_length), self.batch_size):
            rows = by_length[first : first + self.batch_size]
            mask_BS = np.arange(max(1, int(lengths[rows].max()))) < lengths[rows, None]
            ids_BS = np.zeros(mask_BS.shape, np.int64)  # padding is masked, so that its id doesn't matter
            ids_BS[mask_BS] = tokens[(starts[rows, None] + np.arange(mask_BS.shape[1]))[mask_BS]]
            vectors_RD[rows] = self._embed(ids_BS, mask_BS.astype(np.int64))
        return vectors_RD

    def _embed(
        self, ids_BS: "np.typing.NDArray[np.int64]", mask_BS: "np.typing.NDArray[np.int64]"
    ) -> Float32s:
        import torch

        with torch.inference_mode():
            ids, mask = torch.from_numpy(ids_BS).to(self.device), torch.from_numpy(mask_BS).to(self.device)
            hidden_BSD = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            return np.asarray(pool(hidden_BSD, mask, self.pooling).cpu().numpy())
