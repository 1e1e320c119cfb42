"""The table [cluster]."""

import math
from dataclasses import dataclass
from typing import Literal

from xmcpipe.config import runtime

LABELS_A_CLUSTER = 164  # what 670,091 labels in 4,096 clusters come to


@dataclass(frozen=True)
class ClusterConfig:
    """How labels are partitioned.

    `method` says what a label is: the mean of its documents' tf-idf vectors (`pifa`), the encoder's
    embedding of its text (`text`) or the mean of its documents' embeddings (`documents`); `random` looks at
    nothing. `num_clusters` 0 takes `default_clusters`. `dim` is the size of the projected tf-idf vectors.
    `swap_rounds` bounds the rounds that exchange labels between clusters once they are split. `pooling` and
    the two keys after it are the encoder's; the encoder is the one that the shards were tokenized for.
    """

    method: Literal["pifa", "text", "documents", "random"] = "pifa"
    num_clusters: int = 0
    dim: int = 256
    seed: int = 0
    swap_rounds: int = 16
    pooling: Literal["cls", "mean"] = "mean"
    batch_size: int = runtime(256)
    device: str = runtime("auto")

    def __post_init__(self) -> None:
        for name, least in (
            ("num_clusters", 0),
            ("dim", 2),
            ("seed", 0),
            ("swap_rounds", 0),
            ("batch_size", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} was given, at least {least} was wanted")


def default_clusters(num_labels: int) -> int:
    """The power of two nearest to `num_labels` / 164, at least 2, and never more than there are labels."""
    nearest: int = 2 ** max(1, round(math.log2(max(1, num_labels) / LABELS_A_CLUSTER)))
    return min(num_labels, nearest)
