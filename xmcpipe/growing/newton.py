"""Newton's method for the row of one label: weights w and bias b that minimise a penalised convex loss.

    sum_i m_i loss(z_i w + b, y_i) + 1/2 sum_k p_k w_k^2

It needs the loss of `ops.losses` alone: curvature comes from differences of its gradient. Nearly all
documents are negatives far below 0, whose curvature is next to none. The matrix of second derivatives leaves
out those that make up less than a hundredth of it, so that a step costs little more than the gradient.

n documents, K weights of a label.
"""

import numpy as np
import numpy.typing as npt
import torch

from xmcpipe.ops.losses.loss import LossInPlace

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
MOST_STEPS = 50
TOLERANCE = 1e-7  # of what a step can still gain, relative to the loss
DIFFERENCE = 1e-4  # of scores, for the curvature
LEFT_OUT = 0.01  # of the curvature


class Objective:
    """The loss of one label over the documents `positives`, which have it, and `negatives`.

    `inputs_nK` float32 are those of all documents; `weights` are m of a positive and of a negative.
    """

    def __init__(
        self,
        loss: LossInPlace,
        inputs_nK: npt.NDArray[np.float32],
        positives: Int64s,
        negatives: Int64s,
        weights: tuple[float, float],
        penalty_K: Floats,
        has_bias: bool,
    ) -> None:
        self.inputs_nK = inputs_nK[np.concatenate([positives, negatives])]
        self.penalty_K, self.has_bias = penalty_K, has_bias
        self._loss, self._weights, self._count = loss, weights, len(positives)

    def scores(self, parameters: Floats) -> Floats:
        """Those of weights and bias, float64 [K + 1], for all documents: float64 [n]."""
        product_n = self.inputs_nK @ parameters[:-1].astype(np.float32)
        found: Floats = product_n.astype(np.float64) + parameters[-1]
        return found

    def value(self, scores_n: Floats, parameters: Floats) -> tuple[float, Floats]:
        """The penalised loss, and the gradient of its first part with respect to the scores."""
        total, gradient_n = 0.5 * float(self.penalty_K @ np.square(parameters[:-1])), scores_n.copy()
        parts = (gradient_n[: self._count], gradient_n[self._count :])
        for part_n, weight, is_positive in zip(parts, self._weights, (True, False), strict=True):
            rows_P = torch.arange(len(part_n) if is_positive else 0)
            # The loss puts the gradient in place of the scores.
            total += weight * float(self._loss(torch.from_numpy(part_n)[:, None], rows_P, 0 * rows_P))
            part_n *= weight
        return total, gradient_n

    def gradient(self, gradient_n: Floats, parameters: Floats) -> Floats:
        """With respect to weights and bias, [K + 1]."""
        of_weights = (gradient_n.astype(np.float32) @ self.inputs_nK).astype(np.float64)
        return np.append(of_weights + self.penalty_K * parameters[:-1], self.has_bias * gradient_n.sum())

    def curvature(self, scores_n: Floats, parameters: Floats) -> Floats:
        """The matrix of second derivatives, nearly: [K + 1, K + 1]."""
        above, below = (self.value(scores_n + sign * DIFFERENCE, parameters)[1] for sign in (1.0, -1.0))
        curvature_n = np.maximum(above - below, 0.0) / (2 * DIFFERENCE)
        rows = np.flatnonzero(curvature_n > LEFT_OUT * curvature_n.sum() / len(curvature_n))
        inputs = np.append(self.inputs_nK[rows], np.ones((len(rows), 1), np.float32), 1)
        matrix: Floats = ((inputs * curvature_n[rows, None].astype(np.float32)).T @ inputs).astype(np.float64)
        matrix[np.diag_indices_from(matrix)] += np.append(self.penalty_K, 1e-6)
        if not self.has_bias:
            matrix[-1], matrix[:, -1], matrix[-1, -1] = 0.0, 0.0, 1.0
        return matrix


def minimum(objective: Objective, start: Floats) -> Floats:
    """The weights and the bias, float64 [K + 1], at which the loss is smallest."""
    best, scores_n = start, objective.scores(start)
    value, gradient_n = objective.value(scores_n, best)
    for _ in range(MOST_STEPS):
        gradient = objective.gradient(gradient_n, best)
        step = np.linalg.solve(objective.curvature(scores_n, best), -gradient).astype(np.float64)
        gain, along_n = float(-gradient @ step), objective.scores(step)
        if gain <= TOLERANCE * (1.0 + abs(value)):
            break
        length = 1.0
        while length > 1e-6:
            tried, tried_n = best + length * step, scores_n + length * along_n
            new_value, new_gradient_n = objective.value(tried_n, tried)
            if new_value <= value - 1e-4 * length * gain:
                break
            length /= 2
        else:
            break  # no step is short enough: rounding
        best, scores_n, value, gradient_n = tried, tried_n, new_value, new_gradient_n
    return best
