"""The popularity baseline: the most frequent training labels, the same for every document.

Every model should be well above it. On data with a few very frequent labels its P@k is higher than one
expects.
"""

import numpy as np

from xmcpipe.metrics.truth import Int64s, Ints


def most_frequent(counts: Ints, k: int) -> Int64s:
    """The k labels with the most training documents, int64 [k]; ties go to the lower id.

    A label without a training document is not predicted: -1 fills the places that are left.
    """
    top = np.argsort(-counts, kind="stable")[:k]
    top = top[counts[top] > 0]
    return np.concatenate([top, np.full(k - len(top), -1)]).astype(np.int64)
