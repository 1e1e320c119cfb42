"""How evenly a sparse layer uses the encoder's features: read from the index of a saved model, in pieces.

With K of D features a label at random, each feature serves L * K / D labels but for chance. Rewiring moves
connections to features that carry something, so the distance from that line is what training did. Two figures
sum it up: the Gini coefficient (0: all features serve alike, 1: one serves all) and the entropy as a share
of log D.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

logger = logging.getLogger(__name__)

INDEX = "head.index"
PIECE_ROWS = 1 << 18
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Topology:
    """`uses` int64 [D]: labels that read each feature, D features, L labels of K connections each."""

    uses: Int64s
    labels: int
    fan_in: int

    @property
    def features(self) -> int:
        """D."""
        return len(self.uses)

    @property
    def even(self) -> float:
        """The labels a feature would have if all served alike: L * K / D."""
        return self.labels * self.fan_in / self.features

    @property
    def gini(self) -> float:
        """0 where all features serve alike, towards 1 where one serves all."""
        rising = np.sort(self.uses).astype(np.float64)
        ranks = np.arange(1, len(rising) + 1)
        return float((2 * ranks - len(rising) - 1) @ rising / (len(rising) * rising.sum()))

    @property
    def entropy(self) -> float:
        """Of the shares of the features, divided by log D: 1 where all serve alike."""
        shares = self.uses[self.uses > 0] / self.uses.sum()
        return float(-(shares * np.log(shares)).sum() / np.log(max(self.features, 2)))


def read_topology(model: Path | None) -> Topology | None:
    """The topology of a model artifact; None without one, where its layer is not sparse or can't be read."""
    from safetensors import SafetensorError

    if model is None or not all((model / name).is_file() for name in ("model.json", "model.safetensors")):
        return None
    try:
        return _read(model)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        logger.warning("%s: its topology can't be read: %s", model, error)
        return None


def _read(model: Path) -> Topology | None:
    from safetensors import safe_open

    head = json.loads((model / "model.json").read_text(encoding="utf-8"))["head"]
    with safe_open(model / "model.safetensors", framework="numpy") as file:
        if INDEX not in file.keys():  # noqa: SIM118 - not a mapping
            return None
        index = file.get_slice(INDEX)
        labels, fan_in = index.get_shape()
        uses = np.zeros(int(head["in_features"]), np.int64)
        for first in range(0, labels, PIECE_ROWS):
            uses += _counts(index[first : min(first + PIECE_ROWS, labels)], len(uses))
    if not uses.any():
        raise ValueError("no label reads any feature")
    return Topology(uses, labels, fan_in)


def _counts(piece_LK: Any, features: int) -> Int64s:
    return np.bincount(np.asarray(piece_LK).ravel(), minlength=features).astype(np.int64)
