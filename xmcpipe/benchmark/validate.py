"""Checks each result against dense float64 maths before anything is timed.

Errors are relative to the size of a sum, which is the root of the sum of the squares of its terms: terms of
random signs cancel, but their rounding errors don't. The tolerance follows from the arithmetic: four
roundings to the layer's dtype if it has 16 bits, and a float32 sum of n terms, whose rounding errors add up
like a random walk. An updated 16-bit weight must be one of the two neighbours of its exact value.

Each result is computed twice. The first time all new memory is filled with NaN: otherwise a value that is
never written could be right because an earlier call left it in memory. The second time is as it will be
timed.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from xmcpipe.benchmark.implementations import Implementation, Output
from xmcpipe.benchmark.problem import TOP
from xmcpipe.benchmark.reference import Exact, Expected, exact_scores

FLOAT32_ROUNDING = 2.0**-24
ROUNDINGS = 4.0  # roundings to the layer's dtype: operands, scores, gradient, result
SIGNIFICANT_BITS = {torch.float32: 24, torch.bfloat16: 8, torch.float16: 11}
SMALLEST_EXPONENT = {torch.float32: -126, torch.bfloat16: -126, torch.float16: -14}
TINY = 1e-300  # lower bound of a size, because an empty sum has size 0
PLACES = 2.0  # units in the last place that an update inside a product may be off: it rounds twice


@dataclass(frozen=True)
class Check:
    """One comparison: it holds if `error` <= `allowed`, so never for NaN."""

    name: str
    error: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether the result is right."""
        return self.error <= self.allowed

    @property
    def severity(self) -> float:
        """The error in units of `allowed`; infinite for NaN, and for an error if none is allowed."""
        if math.isnan(self.error):
            return math.inf
        return self.error / self.allowed if self.allowed else math.inf * self.error if self.error else 0.0

    def __str__(self) -> str:
        return f"{self.name} off by {self.error:.2g}, expected at most {self.allowed:.2g}"


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """In this context new tensors hold NaN, or the largest integer, until they are written."""
    was_on = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those about operations without a deterministic version
        # In deterministic mode torch fills the memory that it allocates (fill_uninitialized_memory).
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(was_on, warn_only=warned)


def checks(what: str, layer: Implementation, output: Output, expected: Expected) -> list[Check]:
    """Every comparison of the output of the operation `what` with `expected`."""
    shape, top = layer.problem.shape, min(TOP, layer.problem.shape.labels)
    scores, grad_features = (shape.batch, shape.labels), (shape.batch, shape.features)
    parts: dict[str, dict[str, tuple[int, ...]]] = {
        "forward": {"scores": scores},
        "backward": {"dX": grad_features, "dW": tuple(layer.weight.shape)},
        "step": {"loss": (), "dX": grad_features},
        "topk": {"labels": (shape.batch, top), "scores": (shape.batch, top)},
    }
    names = parts[what]
    shapes = {name: tuple(part.shape) for name, part in zip(names, output, strict=True)}
    if shapes != names:
        return [Check(f"shapes {shapes} instead of {names}", math.inf, 0.0)]
    complete = [_complete(name, part) for name, part in zip(names, output, strict=True)]
    functions = {"forward": _forward, "backward": _backward, "step": _step, "topk": _topk}
    return [*complete, *functions[what](layer, output, expected)]


def _forward(layer: Implementation, output: Output, expected: Expected) -> list[Check]:
    sampled_BR = output[0][:, expected.labels]
    return [_close("scores", sampled_BR, expected.scores, layer, layer.problem.shape.fan_in)]


def _backward(layer: Implementation, output: Output, expected: Expected) -> list[Check]:
    (grad_features, grad_weight), shape = output, layer.problem.shape
    sampled_RK = layer.rows(grad_weight, expected.labels)
    return [
        _close("dX", grad_features, expected.grad_features, layer, shape.labels),
        _close("dW", sampled_RK, expected.grad_weight, layer, shape.batch),
    ]


def _step(layer: Implementation, output: Output, expected: Expected) -> list[Check]:
    (loss, grad_features), shape = output, layer.problem.shape
    return [
        _complete("weight", layer.weight),
        _close("loss", loss, expected.loss, layer, shape.batch * shape.labels),
        _close("dX", grad_features, expected.grad_features, layer, shape.labels),
        *_updated(layer, expected),
    ]


def _updated(layer: Implementation, expected: Expected) -> list[Check]:
    """Check that each updated weight is a neighbour of its exact value, and right on average."""
    exact, change, dtype = expected.weight, expected.grad_weight, layer.problem.dtype
    assert exact is not None
    assert change is not None
    exponent = torch.frexp(exact).exponent.double().clamp(min=SMALLEST_EXPONENT[dtype] + 1)
    # The exact weight is uncertain too: by the rounding errors of its gradient.
    uncertain = tolerance(dtype, layer.problem.shape.batch) * (change.size + change.value.abs())
    # One unit in the last place: the distance between the two neighbours of a weight.
    place = torch.exp2(exponent - SIGNIFICANT_BITS[dtype]) + uncertain
    off = (layer.rows(layer.weight, expected.labels).double() - exact) / place
    neighbours = 1.0 if layer.ours and dtype != torch.float32 else PLACES
    results = [Check("weight", float(off.abs().max()), neighbours)]
    if dtype != torch.float32:
        # Each weight is off by less than one place, up or down, so the mean of n of them is off by about
        # 1 / sqrt(n) places. The signs relative to zero are checked too: truncation would show there.
        bias = max(float(signed.mean().abs()) for signed in (off, off * exact.sign()))
        results.append(Check("mean of the weights' rounding errors", bias, 3.0 / math.sqrt(off.numel())))
    return results


def _topk(layer: Implementation, output: Output, expected: Expected) -> list[Check]:
    (labels, scores), shape, best = output, layer.problem.shape, expected.top
    assert best is not None
    ordered = labels.sort(dim=1).values
    repeated = int((ordered[:, 1:] == ordered[:, :-1]).sum())
    out_of_range = int(((labels < 0) | (labels >= shape.labels)).sum())
    if repeated or out_of_range:
        return [Check("number of labels out of range or repeated", repeated + out_of_range, 0.0)]
    exact = exact_scores(layer.problem, labels)
    # Labels may be swapped if their scores are equal but for rounding, so scores are compared and not labels.
    chosen, best_exact = (
        exact.value.sort(dim=1, descending=True).values,
        Exact(best, exact.size.amax(1, True)),
    )
    rising = int((scores[:, 1:] > scores[:, :-1]).sum())
    return [
        _close("scores", scores, exact, layer, shape.fan_in),
        _close("best scores", chosen, best_exact, layer, shape.fan_in),
        Check("number of scores larger than the one before", rising, 0.0),
    ]


def tolerance(dtype: torch.dtype, terms: int) -> float:
    """The relative error that is allowed for a sum of `terms` products."""
    coarse = 0.0 if dtype == torch.float32 else ROUNDINGS * 2.0 ** -SIGNIFICANT_BITS[dtype]
    return coarse + FLOAT32_ROUNDING * (8.0 + math.sqrt(terms))


def _close(name: str, got: Tensor, exact: Exact | None, layer: Implementation, terms: int) -> Check:
    assert exact is not None
    size = (exact.size + exact.value.abs()).clamp(min=TINY)
    error = ((got.double() - exact.value).abs() / size).max()
    return Check(name, float(error), tolerance(layer.problem.dtype, terms))


def _complete(name: str, got: Tensor) -> Check:
    """Check that every value is finite; unwritten memory holds NaN."""
    values = got.values() if got.layout == torch.sparse_csr else got
    return Check(f"number of values of {name} that aren't finite", int((~torch.isfinite(values)).sum()), 0.0)


def worst(results: list[Check]) -> Check:
    """The check that fails by most, or comes closest to failing."""
    return max(results, key=lambda check: (not check.holds, check.severity))
