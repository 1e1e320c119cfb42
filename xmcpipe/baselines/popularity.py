"""`popularity`: the most frequent labels of the training split, the same for every document."""

from pathlib import Path

import numpy as np

from xmcpipe.baselines.config import BaselineConfig
from xmcpipe.baselines.documents import Documents
from xmcpipe.baselines.ranking import Ranking
from xmcpipe.metrics.baseline import most_frequent


def rank(documents: Documents, config: BaselineConfig, k: int, scratch: Path) -> Ranking:
    """The k most frequent labels; a score is the fraction of training documents that have the label."""
    counts_L = np.bincount(documents.train_labels().indices, minlength=documents.num_labels)
    best_K = most_frequent(counts_L.astype(np.int64), k).astype(np.int32)
    scores_K = np.where(best_K >= 0, counts_L[best_K] / documents.num_train, 0).astype(np.float32)
    shape = (documents.num_test, k)
    return Ranking(np.broadcast_to(best_K, shape).copy(), np.broadcast_to(scores_K, shape).copy())
