"""The recipe table [baseline]: which system, and its settings."""

from dataclasses import dataclass
from typing import Literal

from xmcpipe.config import require_at_least, runtime

SystemName = Literal["popularity", "linear", "omikuji", "napkinxc", "pecos"]


@dataclass(frozen=True)
class BaselineConfig:
    """The recipe table [baseline]: the system, its features and its classifiers."""

    system: SystemName = "linear"
    """System to train: "popularity" predicts the most frequent labels for every document, "linear" is one
    classifier per label, and "omikuji", "napkinxc" and "pecos" are label trees of the library of that name.
    """

    k: int = 10
    """Number of labels to predict for each document, best first."""

    ngrams: int = 2
    """Longest run of words that is a feature: 2 is words and word pairs."""

    min_df: int = 2
    """Number of training documents that a feature must occur in at least."""

    max_features: int = 0
    """Number of features, the most frequent ones; 0 keeps all."""

    c: float = 1.0
    """Weight of the loss against the regulariser in the classifiers of "linear"."""

    negatives: int = 4000
    """Number of documents without a label that its classifier in "linear" is trained against, or four times
    the number with it if that is more: the most similar ones, and a random sample of the others; 0 takes all.
    """

    threshold: float = 0.01
    """Magnitude below which a weight of "linear" is dropped after training."""

    seed: int = 0
    """Seed of "linear", "pecos" and the tree of "napkinxc"; "omikuji" has none."""

    max_labels: int = runtime(50_000)
    """Number of labels above which "linear" refuses to start, because it would take hours."""

    num_workers: int = runtime(0)
    """Number of processes or threads that train; 0 uses one per core."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        require_at_least(self, 1, "k", "ngrams", "min_df", "max_labels")
        require_at_least(self, 0, "max_features", "negatives", "threshold", "seed", "num_workers")
        if self.c <= 0:
            raise ValueError(f"expected c > 0, got c = {self.c}")
