"""The fixed fan-in operators against the dense definition, in float64, on every device."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.ops import ffi, ffi_reference
from xmcpipe.ops.ffi import ffi_backward, ffi_scores
from xmcpipe.ops.topology import initial_index


def make(num_rows, num_features, num_labels, fan_in, dtype=torch.float64, device="cpu", seed=0):
    torch.manual_seed(seed)
    features = torch.randn(num_rows, num_features, dtype=dtype, device=device)
    weight = torch.randn(num_labels, fan_in, dtype=dtype, device=device)
    index = initial_index(seed, torch.arange(num_labels, device=device), num_features, fan_in)
    grad = torch.randn(num_rows, num_labels, dtype=dtype, device=device)
    return features, weight, index, grad


@given(
    st.integers(1, 9),
    st.integers(1, 50).flatmap(lambda d: st.tuples(st.just(d), st.integers(1, d))),
    st.integers(1, 40),
    st.integers(0, 1000),
)
def test_equals_the_dense_definition(num_rows, shape, num_labels, seed):
    num_features, fan_in = shape
    features, weight, index, grad = make(num_rows, num_features, num_labels, fan_in, seed=seed)
    torch.testing.assert_close(
        ffi_scores(features, weight, index), ffi_reference.ffi_scores(features, weight, index)
    )
    for ours, reference in zip(
        ffi_backward(grad, features, weight, index),
        ffi_reference.ffi_backward(grad, features, weight, index),
        strict=True,
    ):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("num_labels", [1, ffi.TILE_LABELS - 1, ffi.TILE_LABELS, 2 * ffi.TILE_LABELS + 3])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 0.3)]
)
def test_tile_edges_and_dtypes(num_labels, dtype, tolerance, device):
    features, weight, index, grad = make(5, 24, num_labels, 6, dtype, device)
    exact = [tensor.double() for tensor in (grad, features, weight)]
    scores = ffi_scores(features, weight, index)
    assert scores.dtype == dtype
    expected = ffi_reference.ffi_scores(exact[1], exact[2], index)
    torch.testing.assert_close(scores.double(), expected, atol=tolerance, rtol=tolerance)
    expected_features, expected_weight = ffi_reference.ffi_backward(*exact, index)
    grad_features, grad_weight = ffi_backward(grad, features, weight, index)
    # A sum over L labels grows as its root, and so does the error of a low-precision sum.
    torch.testing.assert_close(
        grad_features.double(), expected_features, atol=tolerance * num_labels**0.5, rtol=tolerance
    )
    torch.testing.assert_close(grad_weight.double(), expected_weight, atol=tolerance, rtol=tolerance)


def test_gradcheck(device):
    features, weight, index, _ = make(3, 11, 7, 4, device=device)
    assert torch.autograd.gradcheck(
        lambda x, w: ffi_scores(x, w, index), (features.requires_grad_(), weight.requires_grad_())
    )


def test_opcheck(device):
    features, weight, index, grad = make(3, 11, 7, 4, device=device)
    torch.library.opcheck(ffi_backward, (grad, features, weight, index))
    torch.library.opcheck(ffi_scores, (features.requires_grad_(), weight.requires_grad_(), index))


def test_indices_above_the_signed_range_of_16_bits():
    num_features = 65_536
    index = torch.tensor([[0, 40_000, 65_535]], dtype=torch.int32).to(torch.uint16)
    features = torch.zeros(1, num_features)
    features[0, [0, 40_000, 65_535]] = torch.tensor([1.0, 10.0, 100.0])
    assert float(ffi_scores(features, torch.tensor([[1.0, 2.0, 3.0]]), index)) == 321.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, w, i: (x, w, i[:, :-1]), "weight \\[L, K\\]"),
        (lambda x, w, i: (x, w, i.to(torch.int32)), "index must be"),
        (lambda x, w, i: (x.float(), w, i), "one float dtype"),
        (lambda x, w, i: (x[:, :3], w, i), "K <= D"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    features, weight, index, _ = make(2, 8, 5, 4)
    with pytest.raises(ValueError, match=message):
        ffi_scores(*change(features, weight, index))
