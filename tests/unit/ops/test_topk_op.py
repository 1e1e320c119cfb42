"""Top-k as an operator against a sort of all scores, with ties, in any chunks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.ops.ffi_cases import make
from xmcpipe.ops.ffi import ffi_scores
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.topk import ffi_topk, topk


def sorted_labels(scores: Tensor, k: int, first: int) -> tuple[Tensor, Tensor]:
    """Labels and scores by a stable sort: labels of equal scores stay in their order."""
    ordered = (scores + 0.0).sort(dim=1, descending=True, stable=True)
    return ordered.indices[:, :k] + first, ordered.values[:, :k]


@pytest.mark.parametrize("fan_in", [3, 8])  # on a GPU, torch computes K = 3 and the kernels K = 8
@given(st.integers(1, 5), st.integers(1, 60), st.data())
def test_equals_a_sort(device: str, fan_in: int, num_rows: int, num_labels: int, data: st.DataObject) -> None:
    features, _, index, _ = make(num_rows, 12, num_labels, fan_in, torch.float32, device)
    values = st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0])  # many ties, and both zeros
    size = num_labels * fan_in
    drawn = data.draw(st.lists(values, min_size=size, max_size=size))
    weight = torch.tensor(drawn, device=device).view(num_labels, fan_in)
    features = features.sign()
    bias = data.draw(st.sampled_from([None, torch.linspace(-1, 1, num_labels, device=device).round()]))
    k, chunk = data.draw(st.integers(1, num_labels)), data.draw(st.integers(1, num_labels + 5))
    scores = ffi_scores(features, weight, index) + (0.0 if bias is None else bias)
    labels, best = ffi_topk(features, weight, index, bias, k, 1000, chunk)
    expected_labels, expected = sorted_labels(scores, k, 1000)
    assert torch.equal(labels, expected_labels)
    assert torch.equal(best, expected)
    assert not torch.signbit(best[best == 0]).any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_opcheck_in_each_dtype(dtype: torch.dtype, device: str) -> None:
    features, weight, index, _ = make(3, 11, 7, 3, dtype, device)
    torch.library.opcheck(ffi_topk, (features, weight, index, None, 2, 10, 3))
    labels, scores = ffi_topk(features, weight, index, torch.zeros(7, device=device), 7, 10, 3)
    assert (labels.dtype, scores.dtype) == (torch.int64, torch.float32)
    torch.testing.assert_close(
        scores, ffi_scores(features, weight, index).float().gather(1, labels - 10), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(("k", "chunk"), [(0, 3), (8, 3), (2, 0)])
def test_wrong_numbers_are_refused(k: int, chunk: int) -> None:
    features, weight, index, _ = make(3, 11, 7, 3)
    with pytest.raises(ValueError, match="expected"):
        ffi_topk(features, weight, index, None, k, 0, chunk)


@pytest.mark.parametrize("num_rows", [1, 4, 5, 40])  # at most 4 rows of few labels are computed by torch
def test_in_inference_mode_the_result_is_that_of_the_operator(num_rows: int, device: str) -> None:
    features, weight, index, _ = make(num_rows, 96, 50, 8, torch.float32, device)
    layer = SparseLayer(weight, index, torch.linspace(-1, 1, 50, device=device))
    expected_labels, expected = ffi_topk(features, weight, index, layer.bias, 50, 3, 20)
    with torch.inference_mode():
        labels, best = topk(features, layer, 50, 3, 20)
    torch.testing.assert_close(best, expected)
    by_label = torch.zeros(2, num_rows, 53, device=device)
    by_label[0].scatter_(1, labels, best)
    by_label[1].scatter_(1, expected_labels, expected)
    torch.testing.assert_close(by_label[0], by_label[1])
