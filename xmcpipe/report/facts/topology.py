"""How evenly the connections of a sparse layer use the features: read from the index of a saved model.

If each label reads K of D features at random, each feature is read by about L * K / D labels. Rewiring moves
connections to features that carry information, so the deviation from this number shows the effect of
training. Two figures summarise it: the Gini coefficient (0 if all features are read equally often, near 1 if
all labels read the same few) and the entropy, as a fraction of its maximum log D.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.json_file import parse_json

logger = logging.getLogger(__name__)

INDEX = "head.index"  # name of the tensor [L, K] in model.safetensors
PIECE_ROWS = 1 << 18  # labels that are read at a time
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Topology:
    """The use of features by a sparse layer.

    `uses`, int64 [D], is the number of labels that read each feature. `labels` is L, and `fan_in` is K.
    """

    uses: Int64s
    labels: int
    fan_in: int

    @property
    def features(self) -> int:
        """The number of features D."""
        return len(self.uses)

    @property
    def even(self) -> float:
        """The number of labels per feature if all features were read equally often: L * K / D."""
        return self.labels * self.fan_in / self.features

    @property
    def gini(self) -> float:
        """The Gini coefficient of `uses`: 0 if all features are read equally, near 1 if only one is read."""
        # With x in ascending order and ranks r from 1: sum((2 r - n - 1) x) / (n sum(x)).
        ascending = np.sort(self.uses).astype(np.float64)
        ranks = np.arange(1, len(ascending) + 1)
        return float((2 * ranks - len(ascending) - 1) @ ascending / (len(ascending) * ascending.sum()))

    @property
    def entropy(self) -> float:
        """The entropy of the distribution of `uses`, divided by log D: 1 if all features are read equally."""
        fractions = self.uses[self.uses > 0] / self.uses.sum()
        return float(-(fractions * np.log(fractions)).sum() / np.log(max(self.features, 2)))


def read_topology(model: Path | None) -> Topology | None:
    """The topology of a saved model; None if there is no model, its layer isn't sparse, or reading fails."""
    from safetensors import SafetensorError

    if model is None or not all((model / name).is_file() for name in ("model.json", "model.safetensors")):
        return None
    try:
        return _read(model)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        logger.warning("%s: the topology can't be read: %s", model, error)
        return None


def _read(model: Path) -> Topology | None:
    """The topology of a saved model, read in pieces of the index; None if its layer isn't sparse."""
    from safetensors import safe_open

    head = parse_json((model / "model.json").read_text(encoding="utf-8"))["head"]
    with safe_open(model / "model.safetensors", framework="numpy") as file:
        # A dense layer has no index.
        if INDEX not in file.keys():  # noqa: SIM118 - not a mapping
            return None
        index = file.get_slice(INDEX)
        rows, fan_in = index.get_shape()
        # A row of the index is that of a group of labels; the last group may be smaller.
        group = int(head.get("group", 1))
        labels = rows if group == 1 else int(head["num_labels"])
        uses = np.zeros(int(head["in_features"]), np.int64)
        for first in range(0, rows, PIECE_ROWS):
            uses += group * _counts(index[first : min(first + PIECE_ROWS, rows)], len(uses))
        uses -= (rows * group - labels) * _counts(index[rows - 1 : rows], len(uses))
    if not uses.any():
        raise ValueError("expected labels that read features, got none")
    return Topology(uses, labels, fan_in)


def _counts(piece_LK: Any, features: int) -> Int64s:
    return np.bincount(np.asarray(piece_LK).ravel(), minlength=features).astype(np.int64)
