"""The best labels of each document, from scores that arrive in any form.

Legend: M documents · K labels kept of each · B documents of a block · C labels of a chunk.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Int32s = npt.NDArray[np.int32]
Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ranking:
    """The K best labels of M documents, by falling score, and at equal scores by rising label id.

    `labels` is int32 [M, K], -1 where a document has fewer; `scores` is float32 [M, K], 0 there. `figures`
    are facts about the trained system (JSON types).
    """

    labels: Int32s
    scores: Float32s
    figures: dict[str, Any] = field(default_factory=dict)


class Best:
    """Keeps the K best labels of M documents while chunks of labels are scored, in rising order of labels."""

    def __init__(self, documents: int, k: int) -> None:
        self.labels: Int32s = np.full((documents, k), -1, np.int32)
        self.scores: Float32s = np.full((documents, k), -np.inf, np.float32)

    def add(self, first_row: int, first_label: int, scores_BC: Float32s) -> None:
        """Add the scores of the labels from `first_label` for the documents from `first_row`.

        A score of -inf is that of a label that can't be predicted.
        """
        rows, k = slice(first_row, first_row + len(scores_BC)), self.labels.shape[1]
        new = np.arange(first_label, first_label + scores_BC.shape[1], dtype=np.int32)
        labels_BN = np.concatenate([self.labels[rows], np.broadcast_to(new, scores_BC.shape)], axis=1)
        scores_BN = np.concatenate([self.scores[rows], scores_BC], axis=1)
        # A stable sort keeps the labels that came first, which have lower ids, ahead at equal scores.
        order_BK = np.argsort(-scores_BN, axis=1, kind="stable")[:, :k]
        self.labels[rows] = np.take_along_axis(labels_BN, order_BK, 1)
        self.scores[rows] = np.take_along_axis(scores_BN, order_BK, 1)

    def ranking(self, figures: dict[str, Any]) -> Ranking:
        """What was kept."""
        absent = np.isneginf(self.scores)
        return Ranking(
            np.where(absent, np.int32(-1), self.labels), np.where(absent, np.float32(0), self.scores), figures
        )


def ranking_of(
    lists: Iterable[Sequence[tuple[int, float]]], documents: int, k: int, figures: dict[str, Any]
) -> Ranking:
    """The ranking of lists of (label, score), one list for each of the M documents, in their order."""
    labels, scores = np.full((documents, k), -1, np.int32), np.zeros((documents, k), np.float32)
    for row, pairs in enumerate(lists):
        # The libraries order by score alone, and their order at equal scores may change between runs.
        for at, (label, score) in enumerate(sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:k]):
            labels[row, at], scores[row, at] = label, score
    return Ranking(labels, scores, figures)
