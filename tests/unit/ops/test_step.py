"""The fused step against dense maths in float64, torch.optim.SGD, and itself in other pieces."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ops.ffi_cases import FLOATS, IMPLEMENTATIONS, SHAPES, Shape, implementation
from tests.unit.ops.step_cases import (
    DECAY,
    FIRST_LABEL,
    RATE,
    SCALE,
    Case,
    Sizes,
    assert_near,
    assert_same_up_to_order,
    check,
    make_update,
)
from xmcpipe.ops import ffi_torch, reference
from xmcpipe.ops.cpu import threads
from xmcpipe.ops.cuda import pass_geometry
from xmcpipe.ops.losses.loss_table import LOSSES
from xmcpipe.ops.rounding import FLOAT8, random_bits, round_stochastically
from xmcpipe.ops.step import step_

Dtypes = tuple[torch.dtype, torch.dtype]


@given(
    SHAPES,
    st.integers(1, 30),
    st.sampled_from([(x, w) for x in FLOATS for w in (*FLOATS, FLOAT8)]),
    st.sampled_from(["none", "same", "bfloat16"]),
    st.sampled_from(list(LOSSES)),
    st.sampled_from(IMPLEMENTATIONS),
    st.integers(0, 1000),
)
def test_equals_the_dense_definition(
    device: str,
    shape: Shape,
    num_labels: int,
    dtypes: Dtypes,
    momentum: str,
    loss: str,
    name: str,
    seed: int,
) -> None:
    num_rows, (num_features, fan_in) = shape
    own = torch.bfloat16 if dtypes[1] == FLOAT8 else dtypes[1]
    kind = {"none": None, "same": own, "bfloat16": torch.bfloat16}[momentum]
    case = Case(Sizes(num_rows, num_features, num_labels, fan_in), dtypes, kind, seed, device)
    update = make_update(device)._replace(label_chunk=1 + seed % 40)
    with implementation(name), pytest.MonkeyPatch.context() as patch:
        # On a GPU, one pass rounds gradients: tests/kernels covers it.
        patch.setattr(pass_geometry, "MAX_PASS_RATIO", 0)
        check(case, loss, case.run(loss, update))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("num_labels", [63, 64, 65, 200])
def test_edges_of_tiles_and_slices(
    num_labels: int, dtype: torch.dtype, loss: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffi_torch, "TILE_VALUES", 64 * 24)
    monkeypatch.setattr(threads, "MIN_LABELS", 64)
    case = Case(Sizes(37, 24, num_labels, 6), (dtype, dtype), dtype, device=device)
    for name in IMPLEMENTATIONS:
        with implementation(name):
            check(case, loss, case.run(loss))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_is_torch_sgd_in_float32(name: str, momentum: float, device: str) -> None:
    """Three steps, with weight decay, of the loss differentiated by autograd."""
    case = Case(Sizes(6, 24, 20, 5), (torch.float32, torch.float32), device=device)
    layer = case.copy()
    if momentum:
        layer = layer._replace(momentum=torch.zeros_like(layer.weight))
    assert layer.bias is not None
    weight, bias = layer.weight.clone().requires_grad_(), layer.bias.clone().requires_grad_()
    groups: list[dict[str, Any]] = [
        {"params": [weight], "weight_decay": DECAY, "momentum": momentum},
        {"params": [bias]},
    ]
    optimizer = torch.optim.SGD(groups, lr=RATE)
    for step in range(3):
        scores = reference.ffi_scores(case.features, weight, layer.index) + bias
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            scores, case.target.float(), reduction="sum"
        )
        optimizer.zero_grad()
        torch.autograd.backward(SCALE * loss)
        optimizer.step()
        update = make_update(device, step, factor=momentum)._replace(label_chunk=7)
        with implementation(name):
            step_(case.features, layer, case.positives, "bce", update)
        torch.testing.assert_close(layer.weight, weight.detach(), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(layer.bias, bias.detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pieces_and_chunks_give_the_same(dtype: torch.dtype, name: str, device: str) -> None:
    """A range of the labels is stepped like in the whole: random bits depend on the label's own number."""
    case = Case(Sizes(9, 24, 61, 8), (dtype, dtype), dtype, device=device)
    with implementation(name):
        whole = case.run()
        for chunk in (1, 7, 60):
            chunked = case.run(update=make_update(device)._replace(label_chunk=chunk))
            assert_near(chunked.loss_sum, whole.loss_sum)
            assert_near(chunked.grad_features, whole.grad_features)
            assert_same_up_to_order(chunked.layer.weight, whole.layer.weight)
        parts = [case.run(begin=begin, end=min(begin + 20, 61)) for begin in range(0, 61, 20)]
    assert_near(torch.stack([part.loss_sum for part in parts]).sum(), whole.loss_sum)
    assert_near(torch.stack([part.grad_features for part in parts]).sum(0), whole.grad_features)
    for field in ("weight", "bias", "momentum"):
        joined = torch.cat([getattr(part.layer, field) for part in parts])
        assert_same_up_to_order(joined, getattr(whole.layer, field))
        assert_near(joined, getattr(whole.layer, field), 0.02)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_weights_are_rounded_by_step_seed_and_label(dtype: torch.dtype, name: str, device: str) -> None:
    case = Case(Sizes(4, 24, 50, 8), (torch.float32, dtype), device=device)
    updates = (make_update(device), make_update(device, step=4), make_update(device, seed=8))
    with implementation(name):
        weight, other_step, other_seed = (case.run(update=update).layer.weight for update in updates)
    labels = torch.arange(50, device=device) + FIRST_LABEL
    random = random_bits(7, torch.tensor(3, device=device), labels, 8)
    expected = round_stochastically(case.expected().weight.float(), random, dtype)
    assert (weight != expected).float().mean() < 0.02  # a float32 sum away from the exact value
    assert (other_step != weight).float().mean() > 0.1
    assert (other_seed != weight).float().mean() > 0.1


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_number_of_threads_changes_no_bit(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(Sizes(20, 30, 500, 7), (dtype, dtype))
    monkeypatch.setattr(threads, "MIN_LABELS", 32)
    results = []
    for count in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        with implementation("kernel"):
            loss_sum, grad, (weight, _, bias, *_) = case.run()
        assert bias is not None
        results.append([loss_sum, grad, weight, bias])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_large_scores(name: str, loss: str, device: str) -> None:
    case = Case(Sizes(8, 24, 30, 8), (torch.float32, torch.float32), device=device)
    case.layer.weight.mul_(1000.0)
    with implementation(name):
        outcome = case.run(loss)
    expected = case.expected(loss)
    torch.testing.assert_close(outcome.loss_sum.double(), expected.loss_sum, rtol=1e-5, atol=0)
    assert_near(outcome.grad_features, expected.grad_features)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_nan_is_not_hidden(name: str, loss: str, device: str) -> None:
    case = Case(Sizes(8, 24, 30, 8), (torch.float32, torch.bfloat16), device=device)
    case.features[2, :] = torch.nan
    with implementation(name):
        outcome = case.run(loss)
    assert outcome.loss_sum.isnan()
    assert outcome.grad_features[2].isnan().any()
    assert outcome.layer.weight.isnan().any()
