"""Streaming top-k against a full sort by (-score, label id)."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.modeling import heads
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.topk import top_labels


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 50), st.integers(0, 300), st.booleans())
def test_equals_a_full_sort(num_labels: int, k: int, chunk: int, seed: int, tied: bool) -> None:
    torch.manual_seed(seed)
    head = heads.build(HeadShape("dense", 3, num_labels, 3, False))
    values = torch.randint(-1, 2, (num_labels, 3)).float() if tied else torch.randn(num_labels, 3)
    head.weight.data.copy_(values)
    features = torch.randint(-1, 2, (4, 3)).float() if tied else torch.randn(4, 3)
    with torch.no_grad():
        labels, scores = top_labels(head, features, k, chunk)
        every = (features @ values.T).numpy()
    k = min(k, num_labels)
    for row in range(4):
        order = np.lexsort((np.arange(num_labels), -every[row]))[:k]
        if tied:
            assert labels[row].tolist() == order.tolist()
        np.testing.assert_allclose(scores[row].numpy(), every[row][order], rtol=1e-5, atol=1e-6)


def test_negative_zero_ties_with_zero() -> None:
    head = heads.build(HeadShape("dense", 1, 3, 1, False))
    head.weight.data.copy_(torch.tensor([[-0.0], [0.0], [-1.0]]))
    with torch.no_grad():
        labels, _ = top_labels(head, torch.ones(1, 1), 2, 2)
    assert labels.tolist() == [[0, 1]]
