"""The table [cluster] of a recipe."""

import math
from dataclasses import dataclass
from typing import Literal

from xmcpipe.config import later, runtime

LABELS_PER_CLUSTER = 164  # 670,091 labels in 4,096 clusters


@dataclass(frozen=True)
class ClusterConfig:
    """How labels are partitioned into clusters, for the auxiliary loss.

    The encoder of the methods `text` and `documents` is the one that the shards were tokenized for. Raises
    ValueError for a value out of range.
    """

    method: Literal["pifa", "text", "documents", "random"] = "pifa"
    """Source of the label vectors that are clustered.

    `pifa` uses the mean of the tf-idf vectors of a label's training documents, `documents` the mean of their
    embeddings, and `text` the embedding of the label's own text. `random` uses no vectors: the partition is
    random.
    """
    num_clusters: int = 0
    """Number of clusters (C); 0 selects the power of two that gives about 164 labels per cluster."""
    dim: int = 256
    """Number of dimensions to which `pifa` projects the tf-idf vectors."""
    seed: int = 0
    """Seed of all random numbers in clustering."""
    swap_rounds: int = 16
    """Maximum number of rounds that exchange labels between clusters after the split; 0 skips them."""
    group: int = later(0)
    """Size of the groups of similar labels for train.head.group (G): clusters are divided into groups of it.
    0 makes no groups."""
    pooling: Literal["cls", "mean"] = "mean"
    """How token vectors become an embedding: the first token's vector (`cls`) or the mean of all (`mean`).

    Only the methods `text` and `documents` use it.
    """
    batch_size: int = runtime(256)
    """Number of documents that the encoder embeds at a time; changes speed and memory only."""
    device: str = runtime("auto")
    """Device of the encoder: `cpu`, `cuda`, or `auto`, which uses a GPU if there is one."""

    def __post_init__(self) -> None:
        for name, least in (
            ("num_clusters", 0),
            ("dim", 2),
            ("seed", 0),
            ("swap_rounds", 0),
            ("group", 0),
            ("batch_size", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"expected {name} >= {least}, got {name} = {getattr(self, name)}")


def default_clusters(num_labels: int) -> int:
    """The power of two nearest to `num_labels` / 164, at least 2, and at most the number of labels."""
    nearest: int = 2 ** max(1, round(math.log2(max(1, num_labels) / LABELS_PER_CLUSTER)))
    return min(num_labels, nearest)
