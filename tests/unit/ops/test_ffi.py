"""The fixed fan-in products against the dense definition in float64, on every device, in every way."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.ops.ffi_cases import FLOATS, IMPLEMENTATIONS, SHAPES, Shape, implementation, make, poison
from xmcpipe.ops import ffi_torch, reference
from xmcpipe.ops.cpu import threads
from xmcpipe.ops.ffi import ffi_backward, ffi_grad_features, ffi_grad_weight, ffi_scores


def check_products(
    features: Tensor, weight: Tensor, index: Tensor, grad: Tensor, tolerance: float = 1e-5
) -> None:
    """All three products, relative to the largest value: float32 sums of exact products, for any input."""
    poison()
    exact = features.double(), weight.double(), index
    expected = [reference.ffi_scores(*exact), *reference.ffi_backward(grad.double(), *exact)]
    products = [ffi_scores(features, weight, index), *ffi_backward(grad, features, weight, index)]
    for value, right in zip(products, expected, strict=True):
        assert value.dtype == (torch.float64 if features.dtype == torch.float64 else torch.float32)
        assert value.is_contiguous()
        close = tolerance * max(float(right.abs().max()), 1.0)
        torch.testing.assert_close(value.double(), right, atol=close, rtol=0)


@given(
    SHAPES,
    st.integers(1, 40),
    st.sampled_from([(x, w) for x in FLOATS for w in FLOATS] + [(torch.float64, torch.float64)]),
    st.sampled_from(IMPLEMENTATIONS),
    st.integers(0, 1000),
)
def test_equal_the_dense_definition(
    device: str, shape: Shape, num_labels: int, dtypes: tuple[torch.dtype, torch.dtype], name: str, seed: int
) -> None:
    num_rows, (num_features, fan_in) = shape
    features, weight, index, grad = make(num_rows, num_features, num_labels, fan_in, device=device, seed=seed)
    with implementation(name):
        grad = grad.to(dtypes[0])
        check_products(features.to(dtypes[0]), weight.to(dtypes[1]), index, grad)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("num_labels", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("dtype", [torch.float64, *FLOATS], ids=str)
def test_edges_of_tiles_and_slices(
    num_labels: int, dtype: torch.dtype, name: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffi_torch, "TILE_VALUES", 64 * 24)
    monkeypatch.setattr(threads, "MIN_LABELS", 64)
    with implementation(name):
        check_products(*make(5, 24, num_labels, 6, dtype, device))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_nothing_in_nothing_out(name: str, device: str) -> None:
    with implementation(name):
        for rows, labels in ((0, 5), (3, 0)):
            features, weight, index, grad = make(rows, 8, labels, 2, torch.float32, device)
            assert ffi_scores(features, weight, index).shape == (rows, labels)
            grads = ffi_backward(grad, features, weight, index)
            assert not grads[0].any()
            assert not grads[1].any()


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_strided_inputs(name: str, device: str) -> None:
    features, weight, index, grad = make(6, 40, 30, 5, torch.float32, device)
    with implementation(name):
        expected = [ffi_scores(features, weight, index), *ffi_backward(grad, features, weight, index)]
        strided = [tensor.T.contiguous().T for tensor in (features, weight, index, grad)]
        features, weight, index, grad = strided
        products = [ffi_scores(features, weight, index), *ffi_backward(grad, features, weight, index)]
    for value, right in zip(products, expected, strict=True):
        torch.testing.assert_close(value, right)


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    _, weight, index, grad = make(20, 30, 500, 7, torch.float32)
    monkeypatch.setattr(threads, "MIN_LABELS", 32)
    results = []
    for count in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        with implementation("kernel"):
            results.append(ffi_grad_features(grad, weight, index, 30))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_infinite_and_undefined_weights_of_16_bits_are_unchanged() -> None:
    index = torch.tensor([[0], [0], [0]], dtype=torch.int32).to(torch.uint16)
    for dtype in (torch.bfloat16, torch.float16):
        weight = torch.tensor([[torch.inf], [-torch.inf], [torch.nan]], dtype=dtype)
        with implementation("kernel"):
            scores = ffi_scores(torch.ones(1, 1), weight, index)
        assert scores[0, 0] == torch.inf
        assert scores[0, 1] == -torch.inf
        assert scores[0, 2].isnan()


def test_gradcheck(device: str) -> None:
    features, weight, index, _ = make(3, 11, 7, 4, device=device)
    assert torch.autograd.gradcheck(
        lambda x, w: ffi_scores(x, w, index), (features.requires_grad_(), weight.requires_grad_())
    )


@pytest.mark.parametrize("dtype", [torch.float64, *FLOATS], ids=str)
def test_opcheck(dtype: torch.dtype, device: str) -> None:
    features, weight, index, grad = make(3, 11, 7, 4, dtype, device=device)
    torch.library.opcheck(ffi_grad_features, (grad, weight, index, 11))
    torch.library.opcheck(ffi_grad_weight, (grad, features, index))
    torch.library.opcheck(ffi_scores, (features.requires_grad_(), weight.requires_grad_(), index))


def test_gradients_come_in_the_dtypes_of_the_inputs(device: str) -> None:
    features, weight, index, _ = make(3, 12, 7, 4, torch.float32, device)
    features, weight = features.requires_grad_(), weight.to(torch.bfloat16).requires_grad_()
    ffi_scores(features, weight, index).sum().backward()
    assert features.grad is not None
    assert weight.grad is not None
    assert (features.grad.dtype, weight.grad.dtype) == (torch.float32, torch.bfloat16)


def test_compiles_without_a_graph_break(device: str) -> None:
    features, weight, index, _ = make(3, 12, 7, 4, torch.float32, device)
    inputs = features.requires_grad_(), weight.requires_grad_(), index
    compiled = torch.compile(lambda *args: 2.0 * ffi_scores(*args), fullgraph=True, backend="aot_eager")
    scores = compiled(*inputs)
    torch.testing.assert_close(scores, 2.0 * ffi_scores(*inputs))
    (grad,) = torch.autograd.grad(scores.sum(), features)
    (right,) = torch.autograd.grad(2.0 * ffi_scores(*inputs).sum(), features)
    torch.testing.assert_close(grad, right)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_indices_above_the_signed_range_of_16_bits(name: str, device: str) -> None:
    num_features = 65_536
    index = torch.tensor([[0, 40_000, 65_535]], dtype=torch.int32, device=device).to(torch.uint16)
    features = torch.zeros(1, num_features, device=device)
    features[0, [0, 40_000, 65_535]] = torch.tensor([1.0, 10.0, 100.0], device=device)
    weight = torch.tensor([[1.0, 2.0, 3.0]], device=device)
    one = torch.ones(1, 1, device=device)
    with implementation(name):
        assert float(ffi_scores(features, weight, index)) == 321.0
        grad_features, grad_weight = ffi_backward(one, features, weight, index)
    assert grad_weight.tolist() == [[1.0, 10.0, 100.0]]
    assert grad_features[0, [0, 40_000, 65_535]].tolist() == [1.0, 2.0, 3.0]
    assert float(grad_features.sum()) == 6.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, w, i: (x, w, i[:, :-1]), "weight \\[L, K\\]"),
        (lambda x, w, i: (x, w, i.to(torch.int32)), "expected index torch.uint16"),
        (lambda x, w, i: (x.float(), w, i), "or all float64"),
        (lambda x, w, i: (x.int(), w.float(), i), "float32"),
        (lambda x, w, i: (x[:, :3], w, i), "K <= D"),
        (lambda x, w, i: (x[0], w, i), "features \\[B, D\\]"),
    ],
)
def test_wrong_arguments_are_refused(change: Callable[..., tuple[Tensor, ...]], message: str) -> None:
    features, weight, index, _ = make(2, 8, 5, 4)
    with pytest.raises(ValueError, match=message):
        ffi_scores(*change(features, weight, index))


@pytest.mark.parametrize("shape", [(3, 5), (2, 4)])
def test_gradients_of_another_shape_are_refused(shape: tuple[int, int]) -> None:
    features, weight, index, _ = make(2, 8, 5, 4)
    with pytest.raises(ValueError, match="grad"):
        ffi_backward(torch.zeros(shape, dtype=torch.float64), features, weight, index)
