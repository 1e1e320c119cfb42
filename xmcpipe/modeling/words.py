"""The words that a model reads beside the features: their codes and weights, saved with the model.

B documents of a batch, V words, T (document, word) pairs.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xmcpipe.ops.word_layer import BatchWords

WordKind = Literal["words", "pairs"]


class WordSource(nn.Module):
    """The vocabulary of a model; `kind` says which terms of a text it is about.

    `codes` int64 [V] and `idf` float32 [V] are buffers, so that checkpoints and saved models have them.
    """

    codes: Tensor
    idf: Tensor

    def __init__(self, kind: WordKind, num_words: int) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("codes", torch.zeros(num_words, dtype=torch.int64))
        self.register_buffer("idf", torch.zeros(num_words))

    def set(self, codes_V: npt.NDArray[np.uint32], idf_V: npt.NDArray[np.float32]) -> None:
        """Copy a vocabulary of V words."""
        self.codes.copy_(torch.from_numpy(codes_V.astype(np.int64)))
        self.idf.copy_(torch.from_numpy(idf_V))

    @property
    def facts(self) -> dict[str, Any]:
        """What model.json says of the words: {"kind": …, "count": V}."""
        return {"kind": self.kind, "count": len(self.idf)}

    def arrays(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
        """Codes uint32 [V] and idf float32 [V], in host memory."""
        return self.codes.cpu().numpy().astype(np.uint32), self.idf.cpu().numpy()

    def batch(
        self,
        rows_T: npt.NDArray[np.int64],
        ids_T: npt.NDArray[np.int64],
        values_T: npt.NDArray[np.float32],
        num_rows: int,
    ) -> BatchWords:
        """The words of B = `num_rows` documents, on the device of the model.

        They are collected on the host: on a GPU, every search for the distinct words would wait for it.
        """
        ids, values, rows = (torch.from_numpy(part) for part in (ids_T, values_T, rows_T))
        words = BatchWords.of(ids, values, rows, num_rows)
        return BatchWords(*(tensor.to(self.codes.device) for tensor in words))
