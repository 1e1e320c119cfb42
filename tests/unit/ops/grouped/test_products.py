"""The products of groups of labels against the dense definition in float64, in every way, for any sizes."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.ops.ffi_cases import (
    FLOATS,
    IMPLEMENTATIONS,
    SHAPES,
    Layer,
    Shape,
    implementation,
    make,
    poison,
)
from xmcpipe.ops import ffi_torch, reference
from xmcpipe.ops.cpu import threads
from xmcpipe.ops.ffi import ffi_backward, ffi_grad_features, ffi_grad_weight, ffi_scores
from xmcpipe.ops.layer import SparseLayer, label_rows

PAIRS = [(x, w) for x in FLOATS for w in FLOATS] + [(torch.float64, torch.float64)]


def make_groups(
    shape: tuple[int, int, int, int], group: int, dtypes: tuple[torch.dtype, ...], seed: int
) -> Layer:
    """Features, weight, index [R, K] and a gradient of the scores."""
    features, weight, index, grad = make(*shape, seed=seed)
    rows = -(-shape[2] // group)
    return features.to(dtypes[0]), weight.to(dtypes[1]), index[:rows], grad.to(dtypes[0])


def check_products(layer: Layer, group: int) -> None:
    features, weight, index, grad = layer
    poison()
    exact = features.double(), weight.double(), index, group
    expected = [reference.ffi_scores(*exact), *reference.ffi_backward(grad.double(), *exact)]
    scores = ffi_scores(features, weight, index, group)
    for value, right in zip(
        [scores, *ffi_backward(grad, features, weight, index, group)], expected, strict=True
    ):
        assert value.dtype == (torch.float64 if features.dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(
            value.double(), right, atol=1e-5 * max(float(right.abs().max()), 1.0), rtol=0
        )


@given(
    SHAPES,
    st.integers(1, 150),
    st.integers(1, 70),
    st.sampled_from(PAIRS),
    st.sampled_from(IMPLEMENTATIONS),
    st.integers(0, 1000),
)
def test_equal_the_dense_definition(
    shape: Shape, num_labels: int, group: int, dtypes: tuple[torch.dtype, torch.dtype], name: str, seed: int
) -> None:
    num_rows, (num_features, fan_in) = shape
    with implementation(name):
        check_products(make_groups((num_rows, num_features, num_labels, fan_in), group, dtypes, seed), group)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("num_labels", [63, 64, 65, 130, 200])
@pytest.mark.parametrize("group", [2, 16, 48])
def test_edges_of_tiles_and_slices(
    num_labels: int, group: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffi_torch, "TILE_VALUES", 40 * 24)
    monkeypatch.setattr(threads, "MIN_LABELS", 40)
    with implementation(name):
        layer = make_groups((37, 24, num_labels, 6), group, (torch.float32, torch.float32), 0)
        check_products(layer, group)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_group_of_one_is_the_plain_layer_bit_for_bit(dtype: torch.dtype, name: str) -> None:
    features, weight, index, grad = make(70, 50, 90, 12, dtype)
    with implementation(name):
        plain = [ffi_scores(features, weight, index), *ffi_backward(grad, features, weight, index)]
        grouped = [ffi_scores(features, weight, index, 1), *ffi_backward(grad, features, weight, index, 1)]
    assert all(torch.equal(*each) for each in zip(plain, grouped, strict=True))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_scores_are_those_of_the_plain_layer_with_repeated_indices(name: str) -> None:
    features, weight, index, _ = make_groups((20, 60, 50, 9), 8, (torch.float32, torch.float32), 1)
    repeated = label_rows(index, 8, 50).int().to(torch.uint16)
    with implementation(name):
        torch.testing.assert_close(
            ffi_scores(features, weight, index, 8),
            ffi_scores(features, weight, repeated),
            rtol=1e-5,
            atol=1e-5,
        )


def test_a_part_reads_the_rows_of_its_groups() -> None:
    features, weight, index, _ = make_groups((3, 20, 30, 4), 8, (torch.float64, torch.float64), 2)
    whole = ffi_scores(features, weight, index, 8)
    part = SparseLayer(weight, index, group=8).part(16, 30)
    assert torch.equal(ffi_scores(features, part.weight, part.index, 8), whole[:, 16:])


def test_no_labels_of_groups() -> None:
    features, weight, index, grad = make_groups((3, 8, 0, 2), 4, (torch.float32, torch.float32), 0)
    assert ffi_scores(features, weight, index, 4).shape == (3, 0)
    assert not ffi_backward(grad, features, weight, index, 4)[0].any()


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_an_undefined_feature_spoils_only_the_groups_that_read_it(name: str) -> None:
    """Groups are padded with zeros, and zero times infinity is no number."""
    features, weight, index, _ = make_groups((6, 40, 30, 5), 3, (torch.float32, torch.float32), 3)
    features[2, 7] = torch.inf
    with implementation(name):
        scores = ffi_scores(features, weight, index, 3)
    reads = (label_rows(index, 3, 30) == 7).any(1)
    if name == "kernel":  # tiles multiply every feature by a weight, which may be 0
        assert torch.equal(scores[2].isfinite(), ~reads)
    assert scores[[0, 1, 3, 4, 5]].isfinite().all()


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    _, weight, index, grad = make_groups((20, 30, 500, 7), 6, (torch.float32, torch.float32), 0)
    monkeypatch.setattr(threads, "MIN_LABELS", 32)
    results = []
    for count in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        with implementation("kernel"):
            results.append(ffi_grad_features(grad, weight, index, 30, 6))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_gradcheck_and_opcheck() -> None:
    features, weight, index, grad = make_groups((3, 11, 7, 4), 3, (torch.float64, torch.float64), 0)
    torch.library.opcheck(ffi_grad_features, (grad, weight, index, 11, 3))
    torch.library.opcheck(ffi_grad_weight, (grad, features, index, 3))
    arguments = features.requires_grad_(), weight.requires_grad_()
    torch.library.opcheck(ffi_scores, (*arguments, index, 3))
    assert torch.autograd.gradcheck(lambda x, w: ffi_scores(x, w, index, 3), arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, w, i: (x, w, i, 2), "index \\[L / 2, K\\]"),
        (lambda x, w, i: (x, w, i, 0), "group >= 1"),
        (lambda x, w, i: (x, w, i[:, :-1], 3), "weight \\[L, K\\]"),
    ],
)
def test_wrong_arguments_are_refused(change: Callable[..., tuple[Tensor, ...]], message: str) -> None:
    features, weight, index, _ = make_groups((2, 8, 9, 4), 3, (torch.float32, torch.float32), 0)
    with pytest.raises(ValueError, match=message):
        ffi_scores(*change(features, weight, index))
