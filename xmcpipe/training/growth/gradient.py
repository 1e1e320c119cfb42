"""The dense gradient of a chunk of labels, averaged over documents: what a weight would get at any feature.

It has two parts. The first takes every document for a negative, and sums over a sample of the ring, evenly
spaced. The second is what the documents change that have the label, summed over all of them, in the ring or
in the cache of every document. Each part is divided by the number of documents it is taken from.

Both sums are exact (see `units`), so a label's gradient doesn't depend on the chunk or process it is in.

M sampled rows of the ring, D features, T labels of a chunk, K fan-in, P pairs of a document and a label, R
pairs of a piece.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from xmcpipe.modeling.heads import Head
from xmcpipe.ops.ffi import ffi_scores
from xmcpipe.ops.layer import Positives
from xmcpipe.ops.losses.loss import loss_named
from xmcpipe.ops.rounding import decoded
from xmcpipe.ops.topology import chunk_rows
from xmcpipe.training.growth.ring import Kept
from xmcpipe.training.growth.units import (
    FEATURE_BITS,
    HEADROOM_BITS,
    WEIGHT_BITS,
    GradientTable,
    exponent,
    places_,
    power_of_two,
    to_units,
)
from xmcpipe.training.words.scores import WordScores

SAMPLED_ROWS = 512  # at most 2^14, see `units`


def chunk_labels(num_features: int) -> int:
    """Number of labels to compute at a time: their gradient and their scores take 8 MiB each, at most."""
    return chunk_rows(2 * max(num_features, SAMPLED_ROWS))


def sampled_rows(kept: Kept) -> Tensor:
    """The rows of the ring that stand for all documents, evenly spaced: int64 [M]."""
    count = min(SAMPLED_ROWS, len(kept.rows))
    return kept.rows[torch.arange(count, device=kept.rows.device) * len(kept.rows) // count]


@dataclass(frozen=True)
class LabelledDocuments:
    """Documents with their labels.

    `pairs`, int64, have local labels, ascending; a row is a number that `features` understands, which returns
    float [R, D] on the device of the pairs. `num_documents` counts all documents, with any label or none.
    """

    pairs: Positives
    features: Callable[[Tensor], Tensor]
    num_documents: int


@dataclass(frozen=True)
class Rows:
    """The connections of T labels: weights in units, float64 [T, K], of `unit_T`; index uint16 and int64.

    Both are those of each label, also if labels share them.
    """

    units_TK: Tensor
    unit_T: Tensor
    index_TK: Tensor
    places_TK: Tensor
    bias_T: Tensor | None


class AverageGradient:
    """The average gradient of `loss` at the present weights of `head`.

    The documents in `kept` stand for all; those in `documents` are the ones whose labels count. `words` are
    those of the sampled rows and of all documents of pairs, for a head that reads words.
    """

    def __init__(
        self,
        head: Head,
        loss: str,
        kept: Kept,
        documents: LabelledDocuments,
        words: WordScores | None = None,
    ) -> None:
        self._head, self._documents, self._words = head, documents, words
        self._table = GradientTable.of(loss_named(loss).in_place, kept.features.device)
        largest = torch.maximum(kept.features.amax(), -kept.features.amin()).float()
        self._exponent = exponent(largest) + HEADROOM_BITS
        self._unit = float(power_of_two(self._exponent - FEATURE_BITS))
        sample_M = sampled_rows(kept)
        self._sample_MD = to_units(kept.features[sample_M], self._exponent, FEATURE_BITS)

    def of(self, labels_T: Tensor) -> Tensor:
        """The average gradient of the head's labels `labels_T` (local, int64, ascending): float64 [T, D]."""
        rows = self._rows(labels_T)
        gradient_TD = self._negatives(rows, labels_T)
        gradient_TD.mul_(self._table.negative_unit * self._unit / len(self._sample_MD))
        changes_TD = self._changes(rows, labels_T)
        changes_TD.mul_(self._table.change_unit * self._unit / self._documents.num_documents)
        return gradient_TD.add_(changes_TD)

    def of_groups(self, groups_T: Tensor) -> Tensor:
        """What the head's groups `groups_T` (local, int64, ascending) lack at each feature: float64 [T, D].

        It is the sum of |average gradient| over the labels of a group, by which all together would change;
        with groups of one label it is the average gradient itself.
        """
        group, num_labels = self._head.shape.group, self._head.num_labels
        if group == 1:
            return self.of(groups_T)
        labels_TG = groups_T.unsqueeze(1) * group + torch.arange(group, device=groups_T.device)
        exists_TG = labels_TG < num_labels
        gradient_ND = self.of(labels_TG[exists_TG]).abs_()
        number_TG = (exists_TG.flatten().cumsum(0) - 1).view_as(exists_TG)
        total_TD = gradient_ND.new_zeros(len(groups_T), gradient_ND.shape[1])
        for place in range(group):  # one after the other: the same bits in any chunk
            exists_T = exists_TG[:, place]
            total_TD[exists_T] += gradient_ND[number_TG[exists_T, place]]
        return total_TD

    def _rows(self, labels_T: Tensor) -> Rows:
        weight_TK = decoded(self._head.weight.detach()[labels_T])
        exponent_T = exponent(weight_TK.abs().amax(1).float())
        units_TK = to_units(weight_TK, exponent_T.unsqueeze(1), WEIGHT_BITS)
        # The same bits as int16: torch can't index uint16 on CUDA.
        rows_T = labels_T // self._head.shape.group
        index_TK = self._head.index.view(torch.int16)[rows_T].view(torch.uint16)
        bias_T = None if self._head.bias is None else self._head.bias.detach()[labels_T].double()
        unit_T = power_of_two(exponent_T - WEIGHT_BITS) * self._unit
        return Rows(units_TK, unit_T, index_TK, index_TK.long(), bias_T)

    def _negatives(self, rows: Rows, labels_T: Tensor) -> Tensor:
        """The sum over the sample with every row as a negative, in units: [T, D]."""
        scores_MT = ffi_scores(self._sample_MD, rows.units_TK, rows.index_TK).mul_(rows.unit_T)
        if rows.bias_T is not None:
            scores_MT.add_(rows.bias_T)
        if self._words is not None:
            scores_MT.add_(self._words.of_sample(labels_T))
        places_MT = places_(scores_MT)
        del scores_MT
        return self._table.negatives_S[places_MT].T @ self._sample_MD

    def _changes(self, rows: Rows, labels_T: Tensor) -> Tensor:
        """The sum of what the positives change, in units: [T, D]."""
        total_TD = self._sample_MD.new_zeros(len(labels_T), self._sample_MD.shape[1])
        first, last = int(labels_T[0]), int(labels_T[-1]) + 1
        pairs = self._documents.pairs.within(first, last)
        # Number of the label in the chunk; labels that the chunk skips are left out.
        number_P = torch.searchsorted(labels_T, pairs.labels + first)
        inside_P = labels_T[number_P] == pairs.labels + first
        document_P, number_P = pairs.rows[inside_P], number_P[inside_P]
        if rows.bias_T is None:
            given_P = total_TD.new_zeros(len(number_P))
        else:
            given_P = rows.bias_T[number_P]
        if self._words is not None:
            given_P += self._words.of_pairs(labels_T, number_P, document_P)
        piece = chunk_labels(total_TD.shape[1])
        for begin in range(0, len(number_P), piece):
            here = slice(begin, begin + piece)
            self._add_changes(total_TD, rows, document_P[here], number_P[here], given_P[here])
        return total_TD

    def _add_changes(
        self, total_TD: Tensor, rows: Rows, document_R: Tensor, number_R: Tensor, given_R: Tensor
    ) -> None:
        """Add what R positives change; `given_R` is the part of their scores that isn't from features."""
        features_RD = to_units(self._documents.features(document_R), self._exponent, FEATURE_BITS)
        read_RK = features_RD.gather(1, rows.places_TK[number_R])
        scores_R = read_RK.mul_(rows.units_TK[number_R]).sum(1).mul_(rows.unit_T[number_R])
        change_R = self._table.changes_S[places_(scores_R.add_(given_R))]
        total_TD.index_add_(0, number_R, features_RD.mul_(change_R.unsqueeze(1)))
