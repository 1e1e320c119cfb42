"""Words of the layer: torch and numba against plain maths, alone and in the fused step."""

from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from xmcpipe.ops import dispatch
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.step import step_
from xmcpipe.ops.topology import to_index
from xmcpipe.ops.word_layer import NO_WORD, BatchWords, StepWords, WordLayer, WordUpdate
from xmcpipe.ops.words import product as operators
from xmcpipe.ops.words.product import word_scores_, word_update_

VOCABULARY = 60
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
STEP = torch.tensor(4)


def make(
    num_rows: int, num_labels: int, fan_in: int, dtype: torch.dtype, seed: int
) -> tuple[BatchWords, WordLayer]:
    """Documents of up to eight words, and labels that read `fan_in` words, the last of them none."""
    random = torch.Generator().manual_seed(seed)
    held = torch.rand(num_rows, VOCABULARY, generator=random) < 0.1
    rows, ids = held.nonzero(as_tuple=True)
    batch = BatchWords.of(ids, torch.rand(len(ids), generator=random), rows, num_rows)
    index = torch.rand(num_labels, VOCABULARY, generator=random).argsort(1)[:, :fan_in]
    index[:, -1:] = NO_WORD
    weight = torch.randn(num_labels, fan_in, generator=random).to(dtype)
    return batch, WordLayer(weight, to_index(index))


def dense(batch: BatchWords, layer: WordLayer) -> tuple[Tensor, Tensor]:
    """The documents [B, V] and the weights [L, V] as matrices over all words, float64."""
    documents = torch.zeros(batch.values_UB.shape[1], NO_WORD + 1, dtype=torch.float64)
    held = (batch.place >= 0).nonzero().squeeze(1)
    documents[:, held] = batch.values_UB[batch.place[held].long()].T.double()
    weights = torch.zeros(len(layer.weight), NO_WORD + 1, dtype=torch.float64)
    return documents, weights.scatter_(1, layer.index.long(), layer.weight.double())


def on(backend: str) -> Any:
    """A context in which a backend runs the operators."""
    return mock.patch.object(operators, "numba_installed", return_value=backend == "numba")


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=15)
@given(
    num_rows=st.sampled_from([1, 7, 32, 65]),
    num_labels=st.sampled_from([1, 40]),
    fan_in=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_they_are_the_products_of_matrices(
    backend: str, dtype: torch.dtype, num_rows: int, num_labels: int, fan_in: int, seed: int
) -> None:
    batch, layer = make(num_rows, num_labels, fan_in, dtype, seed)
    documents, weights = dense(batch, layer)
    random = torch.Generator().manual_seed(seed)
    scores = torch.randn(num_rows, num_labels, generator=random)
    expected = scores.double() + documents @ weights.T
    with on(backend):
        word_scores_(scores, batch, layer)
    assert torch.allclose(scores.double(), expected, atol=1e-5)
    gradient = torch.randn(num_rows, num_labels, generator=random)
    rates = batch.rates(torch.tensor(0.5))
    change = torch.zeros(NO_WORD + 1, dtype=torch.float64)
    held = (batch.place >= 0).nonzero().squeeze(1)
    change[held] = rates[batch.place[held].long()].double()
    wanted = (weights - change * (gradient.double().T @ documents)).gather(1, layer.index.long())
    with on(backend):
        word_update_(gradient, batch, layer, WordUpdate(rates, STEP, 3, 0))
    # A float32 weight may be small beside its change, whose last place counts then.
    last_place = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]
    got = layer.weight.double()
    assert bool(((got - wanted).abs() <= last_place * wanted.abs().clamp(min=0.1)).all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_backends_round_to_the_same_bits_in_any_ranges(dtype: torch.dtype) -> None:
    results = []
    for backend, size in (("torch", 40), ("numba", 40), ("torch", 9), ("numba", 9)):
        batch, layer = make(32, 40, 12, dtype, 5)
        # Whole numbers and powers of two, whose sums are exact.
        values = (batch.values_UB * 4).round() / 4
        batch = BatchWords(batch.place, values)
        gradient = (torch.randn(32, 40, generator=torch.Generator().manual_seed(1)) * 8).round() / 64
        rates = torch.full((len(values),), 0.0625)
        for begin in range(0, 40, size):
            end = min(begin + size, 40)
            update = WordUpdate(rates, STEP, 3, 100 + begin)
            with on(backend):
                word_update_(gradient[:, begin:end].contiguous(), batch, layer.part(begin, end), update)
        results.append(layer.weight)
    for other in results[1:]:
        assert torch.equal(results[0], other)


@pytest.mark.parametrize("loss", ["bce", "squared_hinge"])
def test_the_fused_step_is_that_of_its_parts(loss: str) -> None:
    found = []
    for backend in ("torch", "numba"):
        batch, layer = make(20, 50, 6, torch.float32, 2)
        random = torch.Generator().manual_seed(0)
        features = torch.randn(20, 24, generator=random)
        index = to_index(torch.rand(50, 24, generator=random).argsort(1)[:, :8])
        sparse = SparseLayer(torch.randn(50, 8, generator=random), index, torch.zeros(50), torch.zeros(50, 8))
        positives = Positives.of(torch.arange(20), torch.arange(20) * 2)
        update = Update(torch.tensor(0.05), torch.tensor(0.1), STEP, 1e-3, 0.9, 3, 0, 17)
        step_words = StepWords.of(batch, layer, batch.rates(torch.tensor(2.0)), update)
        before = layer.weight.clone()
        with mock.patch.object(dispatch, "numba_installed", return_value=backend == "numba"):
            results = step_(features, sparse, positives, loss, update, step_words)
        assert not torch.equal(before, layer.weight)
        found.append((*results, sparse.weight, sparse.bias, sparse.momentum, layer.weight))
    for one, other in zip(*found, strict=True):
        assert one is not None
        assert other is not None
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_frequent_word_gets_a_lower_rate() -> None:
    ids, rows = torch.tensor([1] * 100 + [2]), torch.tensor([*range(100), 0])
    batch = BatchWords.of(ids, torch.ones(101), rows, 100)
    # 100 documents with a value of 1: the curvature is at most 100 / 4.
    assert batch.rates(torch.tensor(2.0)).tolist() == pytest.approx([4 / 100, 2.0])
    assert batch.rates(torch.tensor(0.01)).tolist() == pytest.approx([0.01, 0.01])


def test_documents_without_words_change_nothing() -> None:
    nothing = torch.empty(0, dtype=torch.int64)
    batch = BatchWords.of(nothing, torch.empty(0), nothing, 4)
    layer = WordLayer(torch.ones(5, 3), to_index(torch.tensor([[0, 1, 2]] * 5)))
    for backend in ("torch", "numba"):
        scores = torch.ones(4, 5)
        with on(backend):
            word_scores_(scores, batch, layer)
            word_update_(scores, batch, layer, WordUpdate(torch.empty(0), STEP, 0, 0))
        assert bool((scores == 1).all())
        assert bool((layer.weight == 1).all())


def test_wrong_shapes_and_dtypes_are_refused() -> None:
    batch, layer = make(4, 5, 3, torch.float32, 0)
    scores = torch.zeros(4, 5)
    wrong: list[tuple[str, BatchWords, WordLayer]] = [
        ("expected values of words", BatchWords(batch.place, batch.values_UB[:, :3]), layer),
        ("expected place int32", BatchWords(batch.place.long(), batch.values_UB), layer),
        ("expected values of words float32", BatchWords(batch.place, batch.values_UB.double()), layer),
        ("expected word weight", batch, WordLayer(layer.weight[:, :2], layer.index)),
        ("expected word index", batch, WordLayer(layer.weight, layer.index.int())),
        ("expected contiguous", batch, WordLayer(layer.weight.T.contiguous().T, layer.index)),
    ]
    for message, words, of_labels in wrong:
        with pytest.raises(ValueError, match=message):
            word_scores_(scores, words, of_labels)
    for wrong_scores, message in [
        (scores[:, :4], r"expected scores \[B, 5\], got \[4, 4\]"),
        (scores.double(), "expected scores float32"),
    ]:
        with pytest.raises(ValueError, match=message):
            word_scores_(wrong_scores, batch, layer)
    for rate in (torch.zeros(len(batch.values_UB) + 1), torch.zeros(len(batch.values_UB)).double()):
        with pytest.raises(ValueError, match=r"expected rate of words float32 \["):
            word_update_(scores, batch, layer, WordUpdate(rate, STEP, 0, 0))


def test_words_of_other_labels_than_the_step_are_refused() -> None:
    batch, layer = make(4, 5, 3, torch.float32, 0)
    sparse = SparseLayer(torch.zeros(6, 2), to_index(torch.tensor([[0, 1]]).repeat(6, 1)))
    none = torch.zeros(0, dtype=torch.int64)
    update = Update(torch.tensor(1.0), torch.tensor(0.1), STEP, 0.0, 0.0, 3, 0, 17)
    rate_U = batch.rates(torch.tensor(1.0))
    for device in ("cpu", "meta"):
        features = torch.zeros(4, 8, device=device)
        tensors = [each.to(device) for each in (*layer, *batch, rate_U)]
        on_device = SparseLayer(sparse.weight.to(device), sparse.index.to(device))
        positives = Positives(none.to(device), none.to(device))
        scalars = update._replace(
            **{name: getattr(update, name).to(device) for name in ("scale", "rate", "step")}
        )
        moved = StepWords.of(BatchWords(*tensors[2:4]), WordLayer(*tensors[:2]), tensors[4], scalars)
        with pytest.raises(ValueError, match="expected word weight of 6 labels, got 5"):
            step_(features, on_device, positives, "bce", scalars, moved)


@pytest.mark.parametrize("name", ["word_scores_op_", "word_update_op_"])
def test_the_operators_are_sound(name: str) -> None:
    batch, layer = make(4, 5, 3, torch.float32, 0)
    scores = torch.zeros(4, 5)
    arguments: tuple[Any, ...] = (scores, *batch, *layer)
    if name == "word_update_op_":
        arguments = (*layer, *batch, scores, batch.rates(torch.tensor(1.0)), STEP, 0, 0)
    torch.library.opcheck(getattr(operators, name), arguments)
