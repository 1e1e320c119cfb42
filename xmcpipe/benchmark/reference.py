"""Computes the right results by dense float64 maths, in tiles of labels: no float64 [L, D] is allocated.

Sums over all labels (dX, the loss, the best labels) are complete. Scores, dW and updated weights are computed
for sampled labels only.

Legend: B rows · D features · L labels · K fan-in · T labels of a tile · R sampled labels · N labels of a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from xmcpipe.benchmark.problem import TOP, WEIGHT_DECAY, Problem
from xmcpipe.ops.reference import dense_weight

TILE_VALUES = 1 << 22  # values of a float64 tile: 32 MiB
SAMPLED_LABELS = 2000


class Exact(NamedTuple):
    """A sum of products in float64, and the root of the sum of their squares, which scales its errors."""

    value: Tensor
    size: Tensor


@dataclass(frozen=True)
class Expected:
    """The right results at `labels`, int64 [R]; results that an operation doesn't have are None.

    For a step, `grad_weight` is the change of the weights without weight decay, and `weight` the updated
    weights.
    """

    labels: Tensor
    scores: Exact | None = None
    grad_features: Exact | None = None
    grad_weight: Exact | None = None
    weight: Tensor | None = None
    loss: Exact | None = None
    top: Tensor | None = None


def sample_labels(problem: Problem, seed: int) -> Tensor:
    """The first and last label and random others, int64 [R], ascending."""
    random = torch.Generator(problem.device).manual_seed(seed)
    num_labels = problem.shape.labels
    if num_labels <= SAMPLED_LABELS:
        return torch.arange(num_labels, device=problem.device)
    drawn = torch.randint(num_labels, (SAMPLED_LABELS,), generator=random, device=problem.device)
    ends = torch.tensor([0, num_labels - 1], device=problem.device)
    return torch.cat([drawn, ends]).sort().values


def expected(problem: Problem, what: str, labels_R: Tensor) -> Expected:
    """The results of `what` (forward, backward, step or topk) on `problem`."""
    functions = {"forward": _forward, "backward": _backward, "step": _step, "topk": _topk}
    return functions[what](problem, labels_R)


def exact_scores(problem: Problem, labels_BN: Tensor) -> Exact:
    """The scores of each row for its own N labels, [B, N]."""
    index_BNK = _index(problem, labels_BN)
    features_BD = problem.features.double()
    rows = torch.arange(len(features_BD), device=features_BD.device).view(-1, 1, 1)
    terms_BNK = features_BD[rows, index_BNK] * problem.weight[labels_BN].double()
    return Exact(terms_BNK.sum(2), torch.linalg.vector_norm(terms_BNK, dim=2))


class _GradFeatures:
    """Sums dX over tiles."""

    def __init__(self, problem: Problem) -> None:
        self._value = torch.zeros_like(problem.features, dtype=torch.float64)
        self._squares = torch.zeros_like(self._value)

    def add(self, grad_BT: Tensor, grad_size_BT: Tensor, tile_TD: Tensor) -> None:
        self._value.addmm_(grad_BT, tile_TD)
        self._squares.addmm_(grad_size_BT.square(), tile_TD.square())

    def exact(self) -> Exact:
        return Exact(self._value, self._squares.sqrt())


def _forward(problem: Problem, labels_R: Tensor) -> Expected:
    features_BD, weight_RD = problem.features.double(), _dense(problem, labels_R)
    return Expected(labels_R, scores=_product(features_BD, weight_RD.T, features_BD))


def _backward(problem: Problem, labels_R: Tensor) -> Expected:
    grad_features = _GradFeatures(problem)
    for begin, end, tile_TD in _tiles(problem):
        grad_BT = problem.grad[:, begin:end].double()
        grad_features.add(grad_BT, grad_BT, tile_TD)
    grad_BR = problem.grad[:, labels_R].double()
    grad_weight = _grad_weight(problem, labels_R, grad_BR, grad_BR)
    return Expected(labels_R, grad_features=grad_features.exact(), grad_weight=grad_weight)


def _step(problem: Problem, labels_R: Tensor) -> Expected:
    features_BD = problem.features.double()
    targets_BL = torch.full_like(problem.grad, -1.0, dtype=torch.int8)
    targets_BL[problem.positive_rows, problem.positive_labels] = 1
    grad_features, loss = _GradFeatures(problem), features_BD.new_zeros(())

    def hinge(weight_TD: Tensor, targets_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, gradient, and the size of the gradient for the tolerance.

        The size is not |gradient|: 1 - t * s may be small although the rounding errors of s are not.
        """
        scores_BT = features_BD @ weight_TD.T
        slack_BT = (1.0 - targets_BT * scores_BT).clamp(min=0.0)
        return slack_BT.square(), -2.0 * targets_BT * slack_BT, 2.0 + 2.0 * scores_BT.abs()

    for begin, end, tile_TD in _tiles(problem):
        losses_BT, grad_BT, size_BT = hinge(tile_TD, targets_BL[:, begin:end])
        loss += losses_BT.sum()
        grad_features.add(grad_BT, size_BT, tile_TD)
    weight_RK = problem.weight[labels_R].double()
    _, grad_BR, size_BR = hinge(_dense(problem, labels_R), targets_BL[:, labels_R])
    # The ops use both factors as float32.
    scale, rate = torch.tensor([problem.scale, problem.rate]).double().tolist()
    change = _grad_weight(problem, labels_R, scale * rate * grad_BR, scale * rate * size_BR)
    updated_RK = weight_RK - change.value - rate * WEIGHT_DECAY * weight_RK
    return Expected(labels_R, None, grad_features.exact(), change, updated_RK, Exact(loss, loss))


def _topk(problem: Problem, labels_R: Tensor) -> Expected:
    features_BD = problem.features.double()
    best = features_BD.new_empty(len(features_BD), 0)
    for _, _, tile_TD in _tiles(problem):
        candidates = torch.cat([best, features_BD @ tile_TD.T], 1)
        best = candidates.topk(min(TOP, candidates.shape[1]), dim=1).values
    return Expected(labels_R, top=best)


def _product(left: Tensor, right: Tensor, left_size: Tensor) -> Exact:
    return Exact(left @ right, (left_size.square() @ right.square()).sqrt())


def _grad_weight(problem: Problem, labels_R: Tensor, grad_BR: Tensor, size_BR: Tensor) -> Exact:
    """dW [R, K] of these labels, from the gradient of their scores and its size."""
    index_RK = _index(problem, labels_R)
    dense = _product(grad_BR.T, problem.features.double(), size_BR.T)
    return Exact(dense.value.gather(1, index_RK), dense.size.gather(1, index_RK))


def _tiles(problem: Problem) -> Iterator[tuple[int, int, Tensor]]:
    """Begin, end and the float64 weights [T, D] of each tile of labels."""
    shape = problem.shape
    size = max(1, TILE_VALUES // shape.features)
    for begin in range(0, shape.labels, size):
        end = min(begin + size, shape.labels)
        weight_TK, index_TK = problem.weight[begin:end], problem.index[begin:end]
        yield begin, end, dense_weight(weight_TK.double(), index_TK, shape.features)


def _dense(problem: Problem, labels_R: Tensor) -> Tensor:
    """The weights of these labels as float64, [R, D]."""
    index_RK = _index(problem, labels_R)
    return dense_weight(problem.weight[labels_R].double(), index_RK, problem.shape.features)


def _index(problem: Problem, labels: Tensor) -> Tensor:
    # Not every backend can index uint16 tensors, but all can cast them.
    return problem.index.to(torch.int32)[labels].to(torch.int64)
