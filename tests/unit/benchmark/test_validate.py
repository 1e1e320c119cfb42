"""Right results pass in every layout, and each kind of wrong result is detected."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.benchmark.layers import problem
from xmcpipe.benchmark.grid import WHAT, Shape
from xmcpipe.benchmark.implementations import IMPLEMENTATIONS, Dense, FixedFanIn, Implementation, Output
from xmcpipe.benchmark.problem import Problem, draw
from xmcpipe.benchmark.reference import expected, sample_labels
from xmcpipe.benchmark.validate import Check, checks, poisoned_memory, worst

Spoil = Callable[..., Output]
Change = Callable[[Tensor, Tensor], Tensor]


def verdict(what: str, layer: Implementation, output: Output) -> Check:
    """The worst check of an output."""
    exact = expected(layer.problem, what, sample_labels(layer.problem, 0))
    return worst(checks(what, layer, output, exact))


def run(kind: type[Implementation], what: str, drawn: Problem, spoil: Spoil | None = None) -> Check:
    """The worst check of an implementation's output, after `spoil(layer, *output)` changed it."""
    layer = kind(drawn)
    with poisoned_memory():
        output = layer.call(what)()
    return verdict(what, layer, output if spoil is None else spoil(layer, *output))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_right_results_pass(kind: type[Implementation], what: str, dtype: str, device: str) -> None:
    drawn = problem(dtype, device=device, labels=200)
    try:
        check = run(kind, what, drawn)
    except (NotImplementedError, RuntimeError):
        assert not kind.ours
        assert kind is not Dense
        return
    assert check.holds or kind(drawn).loses_precision(what), check


@settings(max_examples=20)
@given(
    st.integers(1, 30).flatmap(lambda d: st.tuples(st.just(d), st.integers(1, d))),
    st.integers(5, 300),
    st.integers(1, 9),
    st.sampled_from(["float32", "bfloat16"]),
    st.sampled_from(WHAT),
    st.sampled_from([FixedFanIn, Dense]),
    st.integers(0, 1000),
)
def test_no_shape_makes_a_right_result_look_wrong(
    sizes: tuple[int, int],
    labels: int,
    batch: int,
    dtype: str,
    what: str,
    kind: type[Implementation],
    seed: int,
) -> None:
    features, fan_in = sizes
    drawn = draw(Shape(labels, fan_in, features, batch, dtype), torch.device("cpu"), seed, large_steps=True)
    check = run(kind, what, drawn)
    assert check.holds, check


def changed(tensor: Tensor, value: float, *where: int | slice) -> Tensor:
    """A copy with one value changed."""
    copy = tensor.clone()
    copy[where] = value
    return copy


WRONG: dict[str, tuple[str, Spoil]] = {
    "a score that was never written": ("forward", lambda c, s: (changed(s, math.nan, 4, 69),)),
    "the scores of another label": ("forward", lambda c, s: (s.roll(1, 1),)),
    "scores without the last label": ("forward", lambda c, s: (changed(s, 0.0, slice(None), 69),)),
    "too few scores": ("forward", lambda c, s: (s[:, 1:],)),
    "dX of zeros": ("backward", lambda c, x, w: (torch.zeros_like(x), w)),
    "dX without the first label": (
        "backward",
        lambda c, x, w: (x - c.problem.grad[:, :1] @ dense_row(c, 0), w),
    ),
    "dX without the last label": (
        "backward",
        lambda c, x, w: (x - c.problem.grad[:, -1:] @ dense_row(c, 69), w),
    ),
    "dW at other features": ("backward", lambda c, x, w: (x, w.roll(1, 1))),
    "dW that was never written": ("backward", lambda c, x, w: (x, changed(w, math.nan, 69))),
    "a loss of half": ("step", lambda c, loss, x: (loss / 2, x)),
    "a scaled dX": ("step", lambda c, loss, x: (loss, x * c.problem.scale)),
    "a label twice": ("topk", lambda c, labels, s: (labels[:, [0, 0, 2, 3, 4]], s)),
    "a label that isn't there": ("topk", lambda c, labels, s: (labels + 70, s)),
    "scores in another order": ("topk", lambda c, labels, s: (labels, s.flip(1))),
    "best last": ("topk", lambda c, labels, s: (labels.flip(1), s.flip(1))),
    "scores of something else": ("topk", lambda c, labels, s: (labels, s + 0.5)),
}


def dense_row(layer: Implementation, label: int) -> Tensor:
    """The weights of a label, float32 [1, D]."""
    return Dense(layer.problem).weight[label : label + 1].float()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("fault", WRONG)
def test_wrong_results_are_detected(fault: str, dtype: str) -> None:
    what, spoil = WRONG[fault]
    assert run(FixedFanIn, what, problem(dtype)).holds
    check = run(FixedFanIn, what, problem(dtype), spoil)
    assert not check.holds
    assert " off by " in str(check)


def test_the_second_best_label_is_not_the_best() -> None:
    drawn = problem()
    scores = FixedFanIn(drawn).forward()[0]
    values, labels = scores.topk(6, dim=1)
    assert verdict("topk", FixedFanIn(drawn), (labels[:, :5], values[:, :5])).holds
    assert not verdict("topk", FixedFanIn(drawn), (labels[:, 1:], values[:, 1:])).holds


def update_to(change: Change) -> Spoil:
    """Spoils a step: sets the weights to change(exact, old) at every label."""

    def spoil(layer: Implementation, loss: Tensor, grad_features: Tensor) -> Output:
        exact = expected(layer.problem, "step", torch.arange(layer.problem.shape.labels))
        assert exact.weight is not None
        layer.weight.copy_(change(exact.weight, layer.problem.weight.double()))
        return loss, grad_features

    return spoil


def truncated(exact: Tensor, _: Tensor) -> Tensor:
    return ((exact.float().view(torch.int32) & ~0xFFFF).view(torch.float32)).double()


@pytest.mark.parametrize(
    ("change", "right"),
    [
        (lambda exact, old: exact, True),  # copy_ rounds to nearest
        (truncated, False),
        (lambda exact, old: old, False),
        (lambda exact, old: 2 * exact - old, False),
        (lambda exact, old: exact * (1 + 2.0**-6), False),
    ],
    ids=["nearest", "truncated", "not updated", "updated twice", "two places off"],
)
def test_an_updated_16_bit_weight_is_a_neighbour_and_right_on_average(change: Change, right: bool) -> None:
    drawn = problem("bfloat16", labels=2000)
    assert run(FixedFanIn, "step", drawn, update_to(change)).holds == right


def test_new_memory_is_poisoned_only_in_the_context() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    with poisoned_memory():
        assert bool(torch.empty(100).isnan().all())
        assert bool(torch.zeros(3).new_empty(100, dtype=torch.bfloat16).isnan().all())
        assert int(torch.empty(3, dtype=torch.int64).min()) == torch.iinfo(torch.int64).max
    assert torch.are_deterministic_algorithms_enabled() == before


def test_nan_never_holds_and_is_the_worst() -> None:
    right, wrong, nan = Check("a", 0.5, 1.0), Check("b", 3.0, 1.0), Check("c", math.nan, 1.0)
    assert [check.holds for check in (right, wrong, nan)] == [True, False, False]
    assert worst([right, nan, wrong]) is nan
    assert worst([right, Check("d", 0.0, 0.0)]) is right
    assert worst([right, Check("e", 1.0, 0.0)]).name == "e"
