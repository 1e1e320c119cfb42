"""The best labels of documents of a shards artifact, without those that filter pairs exclude.

N documents, K labels for each.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xmcpipe.data.filter_pairs import FilterPairs
from xmcpipe.data.shards.batches import collate, length_order
from xmcpipe.data.shards.files import Int64s, Shards
from xmcpipe.inference.choice import Choice
from xmcpipe.inference.scorer import Scorer


@dataclass(frozen=True)
class RowScorer:
    """Scores rows of `documents`, at most `batch_size` at a time; `pairs` are those of the same split."""

    scorer: Scorer
    documents: Shards
    pad_id: int
    pairs: FilterPairs
    batch_size: int

    def best(
        self,
        rows_N: Int64s,
        k: int,
        choice: Choice | None = None,
        step: Callable[[int], object] | None = None,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Labels int32 [N, K] and scores float32 [N, K] of these rows, best first, -1 for no label.

        K is k, but at most the number of labels that `choice` allows. `step` is called with the number of
        rows of each batch. Documents are scored in order of their length, which needs less padding.
        """
        count = self.pairs.num_labels if choice is None else choice.count
        k, added_L = min(k, count), None if choice is None else choice.added_L.to(self.scorer.device)
        labels_NK, scores_NK = np.empty((len(rows_N), k), np.int32), np.empty((len(rows_N), k), np.float32)
        for batch in length_order(self.documents.lengths[rows_N], self.batch_size):
            rows = rows_N[batch]
            # Excluded labels may be among the best, so get as many more candidates as the largest number of
            # labels that is excluded for one document of the batch.
            candidates = min(k + self.pairs.most(rows), count)
            best = self.scorer.top(collate(self.documents, rows, self.pad_id), candidates, added_L)
            labels_NK[batch], scores_NK[batch] = self.pairs.best_allowed(rows, *best, k)
            if step is not None:
                step(len(rows))
        return labels_NK, scores_NK
