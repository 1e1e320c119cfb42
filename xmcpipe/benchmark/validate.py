"""Is a result right? Each is held against float64 dense maths before anything is timed.

Errors are relative to the size of a sum, the root of the sum of the squares of its terms, since a sum of
random signs errs by what its terms are and not by what is left of them. What is allowed follows from the
arithmetic: four roundings to the layer's dtype where that has 16 bits, and a float32 sum of n terms, whose
roundings add up like a random walk. An updated 16-bit weight must be one of the two neighbours of its exact
value.

A result is computed twice: once with all fresh memory filled with NaN, so that a value that is never written
can't be right by the luck of a former call, and once as it will be timed.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from xmcpipe.benchmark.contenders import Contender, Output
from xmcpipe.benchmark.problem import TOP
from xmcpipe.benchmark.reference import Exact, Expected, exact_scores

FLOAT32_ROUNDING = 2.0**-24
ROUNDINGS = 4.0  # to the layer's dtype: operands, scores, gradient, result
SIGNIFICANT_BITS = {torch.float32: 24, torch.bfloat16: 8, torch.float16: 11}
SMALLEST_EXPONENT = {torch.float32: -126, torch.bfloat16: -126, torch.float16: -14}
TINY = 1e-300  # a sum of nothing has no size
PLACES = 2.0  # roundings of a product that is updated in place: of the sum, and of the result


@dataclass(frozen=True)
class Check:
    """One comparison: it holds if `error` <= `allowed` (never for NaN)."""

    name: str
    error: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether the result is right."""
        return self.error <= self.allowed

    @property
    def severity(self) -> float:
        """The error in units of what is allowed; infinite where none is, and for NaN."""
        if math.isnan(self.error):
            return math.inf
        return self.error / self.allowed if self.allowed else math.inf * self.error if self.error else 0.0

    def __str__(self) -> str:
        return f"{self.name} off by {self.error:.2g}, at most {self.allowed:.2g} is right"


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Fresh tensors hold NaN, or the largest integer, until they are written."""
    was_on = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of operations that have no deterministic version
        # In this mode torch fills what it allocates, unless it is told not to.
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(was_on, warn_only=warned)


def checks(what: str, contender: Contender, output: Output, expected: Expected) -> list[Check]:
    """Every comparison of the result of `what` with what is `expected`."""
    shape, top = contender.problem.shape, min(TOP, contender.problem.shape.labels)
    scores, grad_features = (shape.batch, shape.labels), (shape.batch, shape.features)
    parts: dict[str, dict[str, tuple[int, ...]]] = {
        "forward": {"scores": scores},
        "backward": {"dX": grad_features, "dW": tuple(contender.weight.shape)},
        "step": {"loss": (), "dX": grad_features},
        "topk": {"labels": (shape.batch, top), "scores": (shape.batch, top)},
    }
    wanted = parts[what]
    shapes = {name: tuple(part.shape) for name, part in zip(wanted, output, strict=True)}
    if shapes != wanted:
        return [Check(f"shape {shapes}, {wanted} is wanted,", math.inf, 0.0)]
    complete = [_complete(name, part) for name, part in zip(wanted, output, strict=True)]
    functions = {"forward": _forward, "backward": _backward, "step": _step, "topk": _topk}
    return [*complete, *functions[what](contender, output, expected)]


def _forward(contender: Contender, output: Output, expected: Expected) -> list[Check]:
    sampled_BR = output[0][:, expected.labels]
    return [_close("scores", sampled_BR, expected.scores, contender, contender.problem.shape.fan_in)]


def _backward(contender: Contender, output: Output, expected: Expected) -> list[Check]:
    (grad_features, grad_weight), shape = output, contender.problem.shape
    sampled_RK = contender.rows(grad_weight, expected.labels)
    return [
        _close("dX", grad_features, expected.grad_features, contender, shape.labels),
        _close("dW", sampled_RK, expected.grad_weight, contender, shape.batch),
    ]


def _step(contender: Contender, output: Output, expected: Expected) -> list[Check]:
    (loss, grad_features), shape = output, contender.problem.shape
    return [
        _complete("weight", contender.weight),
        _close("loss", loss, expected.loss, contender, shape.batch * shape.labels),
        _close("dX", grad_features, expected.grad_features, contender, shape.labels),
        *_updated(contender, expected),
    ]


def _updated(contender: Contender, expected: Expected) -> list[Check]:
    """Each new weight is a neighbour of the exact one, and they are right on average."""
    exact, change, dtype = expected.weight, expected.grad_weight, contender.problem.dtype
    assert exact is not None
    assert change is not None
    exponent = torch.frexp(exact).exponent.double().clamp(min=SMALLEST_EXPONENT[dtype] + 1)
    uncertain = tolerance(dtype, contender.problem.shape.batch) * (change.size + change.value.abs())
    # A place is the distance of the neighbours.
    room = torch.exp2(exponent - SIGNIFICANT_BITS[dtype]) + uncertain
    off = (contender.rows(contender.weight, expected.labels).double() - exact) / room
    neighbours = 1.0 if contender.ours and dtype != torch.float32 else PLACES
    found = [Check("weight", float(off.abs().max()), neighbours)]
    if dtype != torch.float32:
        # A weight is off by less than a place, up or down, so the mean of n of them by 1 / sqrt(n) of one:
        # as they are, and away from zero, which is where cutting off would show.
        bias = max(float(signed.mean().abs()) for signed in (off, off * exact.sign()))
        found.append(Check("mean of the weights' roundings", bias, 3.0 / math.sqrt(off.numel())))
    return found


def _topk(contender: Contender, output: Output, expected: Expected) -> list[Check]:
    (labels, scores), shape, best = output, contender.problem.shape, expected.top
    assert best is not None
    ordered = labels.sort(dim=1).values
    repeated = int((ordered[:, 1:] == ordered[:, :-1]).sum())
    strange = int(((labels < 0) | (labels >= shape.labels)).sum())
    if repeated or strange:
        return [Check("number of labels out of range or repeated", repeated + strange, 0.0)]
    exact = exact_scores(contender.problem, labels)
    found, wanted = exact.value.sort(dim=1, descending=True).values, Exact(best, exact.size.amax(1, True))
    rising = int((scores[:, 1:] > scores[:, :-1]).sum())
    return [
        _close("scores", scores, exact, contender, shape.fan_in),
        _close("best scores", found, wanted, contender, shape.fan_in),
        Check("number of scores above the one before", rising, 0.0),
    ]


def tolerance(dtype: torch.dtype, terms: int) -> float:
    """The relative error that is allowed of a sum of so many products."""
    coarse = 0.0 if dtype == torch.float32 else ROUNDINGS * 2.0 ** -SIGNIFICANT_BITS[dtype]
    return coarse + FLOAT32_ROUNDING * (8.0 + math.sqrt(terms))


def _close(name: str, got: Tensor, exact: Exact | None, contender: Contender, terms: int) -> Check:
    assert exact is not None
    size = (exact.size + exact.value.abs()).clamp(min=TINY)
    error = ((got.double() - exact.value).abs() / size).max()
    return Check(name, float(error), tolerance(contender.problem.dtype, terms))


def _complete(name: str, got: Tensor) -> Check:
    """Every value of it is finite, which NaN that was never overwritten isn't."""
    values = got.values() if got.layout == torch.sparse_csr else got
    return Check(f"number of values of {name} that aren't finite", int((~torch.isfinite(values)).sum()), 0.0)


def worst(found: list[Check]) -> Check:
    """The comparison that fails most, or comes nearest to failing."""
    return max(found, key=lambda check: (not check.holds, check.severity))
