"""The figures on the validation split, against those of `xmcpipe eval`."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from xmcpipe import metrics
from xmcpipe.modeling import heads
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.model import Model
from xmcpipe.ops.layer import Positives
from xmcpipe.training.feed import Batch, EmbeddedBatch
from xmcpipe.training.validation import inverse_propensities, validate, value_of

D = 8


class HeadAlone(torch.nn.Module):
    """A model of a head alone, as far as `validate` looks."""

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.head = heads.build(HeadShape("dense", D, num_labels, D, False))
        self.frequent = None
        self.head.reset_parameters()


def features_of(batch: Batch) -> Tensor:
    assert isinstance(batch, EmbeddedBatch)
    return batch.embedding_BE


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(3, 40), st.integers(1, 30))
def test_they_are_those_of_the_metrics(seed: int, num_labels: int, documents: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(documents, D, generator=generator)
    truth = torch.rand(documents, num_labels, generator=generator) < 0.3
    truth[range(documents), torch.randint(num_labels, (documents,), generator=generator)] = True
    counts = torch.randint(0, 500, (num_labels,), generator=generator).double()
    model = HeadAlone(num_labels)
    batches = []
    for begin in range(0, documents, 7):
        rows, labels = truth[begin : begin + 7].nonzero(as_tuple=True)
        batches.append(EmbeddedBatch(features[begin : begin + 7], Positives.of(rows, labels)))
    shown: Model = model  # type: ignore[assignment]  # has all that is read of a model
    found = validate(shown, batches, features_of, inverse_propensities(counts, 5000), 1000)
    scores = (features @ model.head.weight.detach().T).numpy()
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    lists = [np.flatnonzero(row).tolist() for row in truth.numpy()]
    training = metrics.Training(counts.numpy(), 5000)
    expected = metrics.evaluate(ranked.tolist(), lists, training, k=(1, 3, 5))
    for name in ("P@1", "P@3", "P@5", "PSP@1", "PSP@3", "PSP@5"):
        if int(name[-1]) <= num_labels:
            assert found[name] == pytest.approx(expected.figures[name], abs=1e-9), name


def test_a_name_without_a_rank_is_the_mean() -> None:
    figures = {"P@1": 0.8, "P@3": 0.5, "P@5": 0.2, "PSP@1": 0.3, "PSP@3": 0.6, "PSP@5": 0.9}
    assert value_of(figures, "P@3") == 0.5
    assert value_of(figures, "P") == pytest.approx(0.5)
    assert value_of(figures, "PSP") == pytest.approx(0.6)
