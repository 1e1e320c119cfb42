"""The fused step of groups of labels against dense maths in float64, and itself in other pieces."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ops.ffi_cases import FLOATS, IMPLEMENTATIONS, SHAPES, Shape, implementation
from tests.unit.ops.step_cases import Case, Sizes, assert_near, assert_same_up_to_order, check, make_update
from xmcpipe.ops import ffi_torch
from xmcpipe.ops.cpu import threads
from xmcpipe.ops.losses.loss_table import LOSSES
from xmcpipe.ops.rounding import random_bits, round_stochastically
from xmcpipe.ops.step import ffi_step_

Dtypes = tuple[torch.dtype, torch.dtype]


@given(
    SHAPES,
    st.integers(1, 80),
    st.integers(2, 40),
    st.sampled_from([(x, w) for x in FLOATS for w in FLOATS]),
    st.booleans(),
    st.sampled_from(list(LOSSES)),
    st.sampled_from(IMPLEMENTATIONS),
    st.integers(0, 1000),
)
def test_equals_the_dense_definition(
    shape: Shape,
    num_labels: int,
    group: int,
    dtypes: Dtypes,
    momentum: bool,
    loss: str,
    name: str,
    seed: int,
) -> None:
    num_rows, (num_features, fan_in) = shape
    sizes = Sizes(num_rows, num_features, num_labels, fan_in)
    case = Case(sizes, dtypes, dtypes[1] if momentum else None, seed, group=group)
    update = make_update()._replace(label_chunk=1 + seed % 40)
    with implementation(name):
        check(case, loss, case.run(loss, update))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("num_labels", [63, 64, 65, 200])
def test_edges_of_tiles_and_slices(num_labels: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffi_torch, "TILE_VALUES", 40 * 24)
    monkeypatch.setattr(threads, "MIN_LABELS", 40)
    case = Case(Sizes(37, 24, num_labels, 6), (torch.float32, torch.bfloat16), torch.bfloat16, group=16)
    with implementation(name):
        check(case, "bce", case.run("bce"))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pieces_and_chunks_give_the_same(dtype: torch.dtype, name: str) -> None:
    """A range of whole groups is stepped like in the whole."""
    case = Case(Sizes(9, 24, 61, 8), (dtype, dtype), dtype, group=4)
    with implementation(name):
        whole = case.run()
        chunked = case.run(update=make_update()._replace(label_chunk=9))
        parts = [case.run(begin=begin, end=min(begin + 20, 61)) for begin in range(0, 61, 20)]
    assert_near(chunked.grad_features, whole.grad_features)
    assert_same_up_to_order(chunked.layer.weight, whole.layer.weight)
    assert_near(torch.stack([part.loss_sum for part in parts]).sum(), whole.loss_sum)
    assert_near(torch.stack([part.grad_features for part in parts]).sum(0), whole.grad_features)
    for field in ("weight", "bias", "momentum"):
        joined = torch.cat([getattr(part.layer, field) for part in parts])
        assert_same_up_to_order(joined, getattr(whole.layer, field))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_weights_are_rounded_by_step_seed_and_label(name: str) -> None:
    case = Case(Sizes(4, 24, 50, 8), (torch.float32, torch.bfloat16), group=8)
    with implementation(name):
        weight = case.run().layer.weight
    random = random_bits(7, torch.tensor(3), torch.arange(50) + 1000, 8)
    expected = round_stochastically(case.expected().weight.float(), random, torch.bfloat16)
    assert (weight != expected).float().mean() < 0.02  # a float32 sum away from the exact value


def test_opcheck() -> None:
    case = Case(Sizes(3, 12, 10, 4), (torch.float32, torch.float32), torch.float32, group=4)
    weight, index, bias, momentum, group = case.copy()
    update, words = make_update(), [None] * 5
    numbers = (0.01, 0.9, 7, 0, 1 << 20)
    scalars = (update.scale, update.rate, update.step)
    arguments = (case.features, weight, index, bias, momentum, *case.positives, *scalars, "bce", *numbers)
    torch.library.opcheck(ffi_step_, (*arguments, *words, group))
    with pytest.raises(ValueError, match="index"):
        ffi_step_(*arguments, *words, 2)
