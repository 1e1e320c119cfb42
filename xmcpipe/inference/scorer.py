"""A loaded model that finds the k best labels of a batch of token ids.

B rows, S tokens, E width of the embedding, D features that the head reads, K number of labels to find.
"""

import numpy as np
import numpy.typing as npt
import torch

from xmcpipe.data.shards.batches import HostBatch
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.modeling.devices import AUTOCAST
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.topk import top_labels_of


class Scorer:
    """Finds the best labels of batches; at most [B, label_chunk] scores exist at a time."""

    def __init__(self, model: Model, device: torch.device, precision: str, label_chunk: int) -> None:
        self.model, self.device, self.label_chunk = model.to(device).eval(), device, label_chunk
        self.autocast = AUTOCAST[precision]
        self._vocabulary = None if model.words is None else WordVocabulary(*model.words.arrays())

    @torch.inference_mode()
    def top(self, batch: HostBatch, k: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Labels int32 [B, k] and scores float32 [B, k], ordered by (-score, label id); k is at most L."""
        input_ids_BS = torch.from_numpy(batch.input_ids).to(self.device)
        mask_BS = torch.from_numpy(batch.mask).to(self.device)
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            embedding_BE = self.model.embed(input_ids_BS, mask_BS)
        # The features stay in float32: in 16 bits, scores close to each other would become equal.
        features_BD = self.model.features(embedding_BE)
        words = None
        if self.model.words is not None and self._vocabulary is not None:
            assert batch.terms is not None, "the caller has checked that the documents have terms"
            words = self.model.words.batch(*self._vocabulary.weigh(batch.terms), len(batch))
        labels_BK, scores_BK = top_labels_of(self.model, features_BD, k, self.label_chunk, words)
        return labels_BK.int().cpu().numpy(), scores_BK.cpu().numpy()
