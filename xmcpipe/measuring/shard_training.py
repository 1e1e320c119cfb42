"""Counts the training labels of a shards artifact, for propensities and frequency bins."""

from pathlib import Path
from typing import TYPE_CHECKING

from xmcpipe.errors import XmcpipeError, require_file

if TYPE_CHECKING:
    from xmcpipe.metrics.propensity import Training


def training_of_shards(folder: Path, propensity: str) -> "Training":
    """The number of training documents of each label, int64 [L], and the number of documents N.

    With `propensity` = "paper", each label text counts as one more document, which has that label (see
    EvalConfig). Only one record batch of a shard is in memory at a time. Raises XmcpipeError for "paper" if
    no label has a text.
    """
    import numpy as np
    import pyarrow.parquet as pq

    from xmcpipe.data.shards.files import Shards
    from xmcpipe.metrics.propensity import Training

    train = Shards(folder, *(("train", "label") if propensity == "paper" else ("train",)))
    if propensity == "paper" and len(train) == len(Shards(folder, "train")):
        raise XmcpipeError(
            f"eval.propensity = 'paper' expects label texts, got none in {folder}",
            "set eval.propensity = 'standard'",
        )
    vocabulary = require_file(folder / "labels.parquet", "vocabulary")
    counts = np.zeros(pq.read_metadata(vocabulary).num_rows, np.int64)
    for labels, _ in train.labels.flat():
        np.add.at(counts, labels, np.int64(1))  # labels of a shard are distinct within each document
    return Training(counts, len(train), kind=propensity)
