"""Fits new rows of an output layer, one label at a time: a small convex problem, and no old row takes part.

The loss is that of the model's training. The documents of a label stand for all that it is taken to have: c
documents among the N that the model was trained on. So n given ones weigh c / n each, and b documents of
the background (n - l)/b each. Scores of old and new labels then mean the same: with the binary cross entropy,
the logarithm of the odds that a document has the label.

A label reads the K features in which the mean of its documents is farthest from that of the background, in
standard deviations (as `training.initial.informed`), and the K' words that stand out in its documents (as
`training.words.choice`). Both kinds of weights are penalised. Documents of the background that resemble a
label most are not held against it: nobody said that they don't have it.

n documents, W width of the features, K fan-in, K' words of a label, M new labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from xmcpipe.growing.documents import Documents
from xmcpipe.growing.newton import Objective, minimum
from xmcpipe.growing.settings import FitSettings
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.ops.label_documents import LabelDocuments, LabelWords
from xmcpipe.ops.losses.loss import loss_named
from xmcpipe.ops.word_layer import NO_WORD
from xmcpipe.ops.words.choice import fill_best
from xmcpipe.progress import progress

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """M rows: `features` int64 [M, K], `weight` and `words`, `word_weight` [M, K'], `bias` [M], float32."""

    features: Int64s
    weight: npt.NDArray[np.float32]
    words: npt.NDArray[np.int64]
    word_weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def at(self, labels: Int64s) -> "Rows":
        """Those of some labels, in their order."""
        return Rows(
            self.features[labels],
            self.weight[labels],
            self.words[labels],
            self.word_weight[labels],
            self.bias[labels],
        )


@dataclass(frozen=True)
class Problem:
    """What all labels share.

    `documents`: the first `num_negatives` are those of the background and of new labels; texts of labels
    follow, which count for their own label alone. `mean_W` and `deviation_W`, float64, are those of the
    former; `num_documents` is N.
    """

    documents: Documents
    num_negatives: int
    num_documents: int
    loss: str
    mean_W: Floats
    deviation_W: Floats

    @staticmethod
    def of(documents: Documents, num_negatives: int, num_documents: int, loss: str) -> "Problem":
        """The moments are computed here."""
        features_nW = documents.features_nW[:num_negatives].double().numpy()
        deviation_W = features_nW.std(0)
        deviation_W[deviation_W <= 1e-6 * np.abs(features_nW.mean(0))] = np.inf  # constant: tells nothing
        return Problem(documents, num_negatives, num_documents, loss, features_nW.mean(0), deviation_W)


def choose_words(problem: Problem, positives: Sequence[Int64s], fan_in: int) -> Int64s:
    """The words of each label, int64 [M, K']; NO_WORD where there are fewer."""
    words, num_labels = problem.documents.words, len(positives)
    index_MK = np.full((num_labels, fan_in), NO_WORD, np.int32)
    if not fan_in:
        return index_MK.astype(np.int64)
    mean_V = np.asarray(words[: problem.num_negatives].mean(0), np.float64).ravel()
    labels = np.repeat(np.arange(num_labels), [len(rows) for rows in positives])
    pairs = LabelDocuments.of(labels, np.concatenate(positives), num_labels)
    layer = LabelWords(index_MK, np.zeros((num_labels, fan_in), np.float32), int(NO_WORD))
    places_MK = np.ascontiguousarray(np.broadcast_to(np.arange(fan_in, dtype=np.int32), index_MK.shape))
    fill_best(layer, places_MK, pairs, problem.documents.document_words(mean_V))
    return index_MK.astype(np.int64)


def fit_rows(
    problem: Problem,
    positives: Sequence[Int64s],
    features_MK: Int64s,
    shape: HeadShape,
    settings: FitSettings,
) -> Rows:
    """The rows of M labels, whose documents are the rows `positives` of the problem's, ascending.

    `features_MK` are the features that each reads.
    """
    words_MK = choose_words(problem, positives, shape.word_fan_in)
    words, found = problem.documents.words.tocsc(), []
    with progress("grow: new rows", len(positives), "labels") as bar:
        for rows, features_K, words_K in zip(positives, features_MK, words_MK, strict=True):
            real = words_K[words_K != NO_WORD]
            parts = [
                (
                    problem.documents.features_nW[:, features_K].numpy()
                    - shape.bias * problem.mean_W[features_K]
                )
                / problem.deviation_W[features_K],
                words[:, real].toarray(),
            ]
            inputs_nK = np.concatenate(parts, 1).astype(np.float32)
            penalty_K = np.repeat(
                [settings.feature_penalty, settings.word_penalty], [len(features_K), len(real)]
            )
            found.append(_fit(problem, inputs_nK, rows, penalty_K, shape.bias, settings))
            bar.update(1)
    return _unscaled(problem, features_MK, words_MK, found, shape.bias)


def _fit(
    problem: Problem,
    inputs_nK: npt.NDArray[np.float32],
    positives: Int64s,
    penalty_K: Floats,
    has_bias: bool,
    settings: FitSettings,
) -> Floats:
    """Weights and bias of one label, float64 [K + 1]: fitted, and again without the lookalikes."""
    # In a small set, no label is taken to have more than half of all documents.
    count = min(max(float(len(positives)), settings.assumed_documents), problem.num_documents / 2)
    loss = loss_named(problem.loss).in_place
    negatives = np.setdiff1d(np.arange(problem.num_negatives), positives)
    others = problem.num_documents - count
    weights = (count / len(positives), others / len(negatives))
    share = torch.tensor(count / problem.num_documents, dtype=torch.float64)
    best = np.append(np.zeros(len(penalty_K)), has_bias * float(loss_named(problem.loss).prior(share)))
    whole = Objective(loss, inputs_nK, positives, negatives, weights, penalty_K, has_bias)
    best = minimum(whole, best)
    # The background is a part of all documents, and so are the lookalikes in it.
    left_out = int(settings.lookalikes * count * min(1.0, len(negatives) / problem.num_documents))
    if not left_out:
        return best
    scores = inputs_nK[negatives] @ best[:-1].astype(np.float32)
    kept = np.sort(negatives[np.argsort(-scores, kind="stable")[left_out:]])
    return minimum(Objective(loss, inputs_nK, positives, kept, weights, penalty_K, has_bias), best)


def _unscaled(
    problem: Problem, features_MK: Int64s, words_MK: Int64s, found: Sequence[Floats], has_bias: bool
) -> Rows:
    """The rows for features as they are, from those for features in standard deviations."""
    fan_in = features_MK.shape[1]
    scaled_MK = np.stack([each[:fan_in] for each in found])
    weight_MK = scaled_MK / problem.deviation_W[features_MK]
    bias_M = np.array([each[-1] for each in found])
    bias_M -= has_bias * (weight_MK * problem.mean_W[features_MK]).sum(1)
    word_weight_MK = np.zeros(words_MK.shape, np.float32)
    for row, each in enumerate(found):
        word_weight_MK[row, words_MK[row] != NO_WORD] = each[fan_in:-1]
    return Rows(
        features_MK, weight_MK.astype(np.float32), words_MK, word_weight_MK, bias_M.astype(np.float32)
    )
