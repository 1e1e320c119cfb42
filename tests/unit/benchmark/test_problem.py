"""The layer and the batch that all implementations get."""

import torch

from tests.unit.benchmark.layers import SMALL, problem
from xmcpipe.benchmark.problem import draw


def test_a_layer_is_legal(device: str) -> None:
    drawn = problem(device=device)
    index = drawn.index.to(torch.int64)
    assert drawn.index.dtype == torch.uint16
    assert bool((index[:, 1:] > index[:, :-1]).all())
    assert int(index.max()) < SMALL.features
    pairs = drawn.positive_labels * SMALL.batch + drawn.positive_rows
    assert bool((pairs[1:] > pairs[:-1]).all())  # distinct, and by label
    assert int(drawn.positive_labels.max()) < SMALL.labels
    assert int(drawn.positive_rows.max()) < SMALL.batch


def test_gradients_are_values_of_the_dtype_and_the_ends_weigh_more() -> None:
    drawn = problem("bfloat16")
    assert torch.equal(drawn.grad.bfloat16().float(), drawn.grad)
    assert drawn.grad[:, [0, -1]].abs().mean() > 8 * drawn.grad[:, 1:-1].abs().mean()


def test_a_seed_is_a_problem() -> None:
    one, same, other = problem(seed=3), problem(seed=3), problem(seed=4)
    for name in ("features", "weight", "index", "grad", "positive_labels"):
        assert torch.equal(getattr(one, name), getattr(same, name))
    assert not torch.equal(one.weight, other.weight)
    assert not torch.equal(one.index, other.index)


def test_repeated_steps_are_small() -> None:
    cpu = torch.device("cpu")
    large, small = (draw(SMALL, cpu, 0, large_steps) for large_steps in (True, False))
    assert small.rate * small.scale < large.rate * large.scale / 100
