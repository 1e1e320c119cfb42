"""What the label trees train on: documents with a label and a feature, and labels with a document.

A tree has no place for a label without a document, and its libraries fail at rows without anything.

Legend: N kept training documents · M test documents · V features · S labels with a training document.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.baselines.config import BaselineConfig
from xmcpipe.baselines.documents import Documents
from xmcpipe.baselines.features import tfidf
from xmcpipe.errors import XmcpipeError


@dataclass(frozen=True)
class Labelled:
    """Training data of a label tree.

    `train` is CSR float32 [N, V], `test` CSR float32 [M, V], and `labels` CSR float32 [N, S] of ones. Column
    s of `labels` is the label id `seen[s]`, int64 [S], rising.
    """

    train: Any
    test: Any
    labels: Any
    seen: npt.NDArray[np.int64]

    @staticmethod
    def of(documents: Documents, config: BaselineConfig) -> "Labelled":
        """Compute the features and drop what can't be trained on.

        Raises XmcpipeError if no document, or only one label, remains.
        """
        labels = documents.train_labels()
        train, test = tfidf(documents, config)
        rows = np.flatnonzero((np.diff(labels.indptr) > 0) & (np.diff(train.indptr) > 0))
        labels = labels[rows]
        seen = np.flatnonzero(labels.getnnz(axis=0)).astype(np.int64)
        if len(seen) < 2:
            raise XmcpipeError(
                f"a label tree expects at least 2 labels with a training document, got {len(seen)}",
                "use --system popularity or linear",
            )
        return Labelled(train[rows], test, labels[:, seen], seen)
