"""The CUDA side of words on the host, from tensors to kernels and back, against torch: the code that calls
the kernels, alone and within the step by chunks.

L labels, K' words that a label reads.
"""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tests.kernels.cases.words import (
    active_connections,
    exact_gradient,
    exact_scores,
    make_word_layer,
    make_words,
)
from tests.kernels.host.gpu import HostGpu
from tests.unit.ops.step_cases import FIRST_LABEL, Case, Sizes, make_update
from xmcpipe.ops import step_torch
from xmcpipe.ops.cuda import step, words
from xmcpipe.ops.cuda.geometry import LayerShape, card_of, chunk_labels
from xmcpipe.ops.cuda.pass_geometry import one_pass
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.word_layer import StepWords, WordLayer, WordUpdate
from xmcpipe.ops.words import plain

LABELS, FAN_IN = 300, 24
UPDATE = 2e-2  # distance of bfloat16 weights near 1, twice


@pytest.mark.parametrize("batch", [1, 33, 70])
@pytest.mark.parametrize("contiguous", [True, False])
def test_scores(host_gpu: HostGpu, batch: int, contiguous: bool) -> None:
    batch_words = make_words(batch, 100)
    layer = make_word_layer(batch_words, LABELS, FAN_IN, torch.bfloat16)
    before = torch.randn(batch, LABELS + 1)
    scores_BL = before[:, :LABELS].clone() if contiguous else before.clone()[:, :LABELS]
    words.scores_(scores_BL, batch_words, layer)
    expected = before[:, :LABELS].double() + exact_scores(batch_words, layer)
    torch.testing.assert_close(scores_BL.double(), expected, rtol=1e-5, atol=1e-5)
    assert [dict(variant.macros)["BY_LABEL"] for variant, _ in host_gpu.launches] == [0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_update(host_gpu: HostGpu, dtype: torch.dtype) -> None:
    batch_words = make_words(70, 100, whole=True)
    layer = make_word_layer(batch_words, LABELS, FAN_IN, dtype)
    grad_BL, ours, theirs = (
        torch.randint(-3, 4, (70, LABELS)).float(),
        layer.weight.clone(),
        layer.weight.clone(),
    )
    update = WordUpdate(batch_words.rates(torch.tensor(0.02)), torch.tensor(3), 11, FIRST_LABEL)
    words.update_(grad_BL, batch_words, WordLayer(ours, layer.index), update)
    plain.update_(grad_BL, batch_words, WordLayer(theirs, layer.index), update)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)  # sums are exact
    gradient = exact_gradient(grad_BL, batch_words, layer)
    moved = (ours.double() - layer.weight.double())[active_connections(batch_words, layer.index)]
    assert float((moved * gradient[active_connections(batch_words, layer.index)]).sum()) < 0.0


class Outcome(NamedTuple):
    """A step's results, the layer and the weights of words after it."""

    loss_sum: Tensor
    grad_features: Tensor
    layer: SparseLayer
    word_weight: Tensor


def both_steps(dtype: torch.dtype, batch: int, loss: str, chunk: int) -> tuple[Outcome, Outcome, StepWords]:
    """A step of the kernels, the same step of torch, and the words before it."""
    case = Case(Sizes(batch, 48, LABELS, 16), (dtype, dtype))
    batch_words = make_words(batch, 100)
    word_layer = make_word_layer(batch_words, LABELS, FAN_IN, dtype)
    update = make_update(factor=0.0)._replace(label_chunk=chunk)
    before = StepWords.of(batch_words, word_layer, batch_words.rates(torch.tensor(0.05)), update)
    outcomes = []
    for step_ in (step.step_, step_torch.step_):
        layer, weight = case.copy(), word_layer.weight.clone()
        of_step = before._replace(layer=WordLayer(weight, word_layer.index))
        results = step_(case.features, layer, case.positives, loss, update, of_step)
        outcomes.append(Outcome(*results, layer, weight))
    ours, expected = outcomes
    return ours, expected, before


@pytest.mark.parametrize("num_words", [0, 100])
def test_words_count_in_a_chunk_and_exclude_one_pass(host_gpu: HostGpu, num_words: int) -> None:
    weight_LK = torch.zeros(9, 64, dtype=torch.bfloat16)
    features, layer = (
        torch.zeros(64, 768, dtype=torch.bfloat16),
        SparseLayer(weight_LK, weight_LK.to(torch.uint16)),
    )
    batch_words, card = make_words(64, num_words), card_of(features.device)
    of_step = StepWords.of(
        batch_words, WordLayer(weight_LK, layer.index), torch.zeros(num_words), make_update()
    )
    plain, shape = LayerShape.of(features, layer), LayerShape.of(features, layer, of_step)
    assert one_pass(plain, card) is not None
    assert one_pass(shape, card) is None
    assert shape.word_bytes == 64 * (2 + 2)
    large = card._replace(cache_bytes=50 << 20)
    plain, shape = (each._replace(num_labels=10**6) for each in (plain, shape))
    assert chunk_labels(shape, large, 1 << 20) == chunk_labels(plain._replace(fan_in=128), large, 1 << 20)


@pytest.mark.parametrize(
    ("dtype", "batch", "loss"),
    [(torch.float32, 70, "bce"), (torch.bfloat16, 24, "squared_hinge"), (torch.bfloat16, 70, "bce")],
)
def test_a_step_by_chunks(host_gpu: HostGpu, dtype: torch.dtype, batch: int, loss: str) -> None:
    ours, expected, before = both_steps(dtype, batch, loss, chunk=128)
    entries = [variant.kernel.entry for variant, _ in host_gpu.launches]
    chunk = ["ffi_word_scores", "ffi_scores", "ffi_grad_features", "ffi_grad_weight", "ffi_word_update"]
    assert entries == 3 * chunk + ["ffi_grad_features_sum"]
    assert {dict(variant.macros).get("INITIAL") for variant, _ in host_gpu.launches} == {None, 1}
    torch.testing.assert_close(ours.loss_sum, expected.loss_sum, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(ours.grad_features, expected.grad_features, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(ours.layer.bias, expected.layer.bias, rtol=1e-5, atol=1e-5)
    active_LK = active_connections(before.batch, before.layer.index)
    pairs = (ours.layer.weight, expected.layer.weight), (ours.word_weight, expected.word_weight)
    for weight, expected_weight in pairs:
        limit = 1e-4 if dtype == torch.float32 else UPDATE
        torch.testing.assert_close(weight, expected_weight, rtol=limit, atol=limit, equal_nan=True)
    if dtype != torch.float32:  # a sum in another order may be rounded to the other neighbour
        assert (ours.word_weight == expected.word_weight)[active_LK].float().mean() > 0.97
    assert ours.word_weight[~active_LK].isnan().all()
    assert (ours.word_weight != before.layer.weight)[active_LK].any()


def test_a_batch_without_words_is_a_step_without_them(host_gpu: HostGpu) -> None:
    case = Case(Sizes(24, 48, LABELS, 16), (torch.bfloat16, torch.bfloat16))
    empty = make_words(24, 0)
    word_layer = make_word_layer(empty, LABELS, FAN_IN, torch.bfloat16)
    update = make_update(factor=0.0)._replace(label_chunk=128)
    with_words, without = case.copy(), case.copy()
    words_of_step = StepWords.of(empty, word_layer, torch.zeros(0), update)
    loss, grad = step.step_(case.features, with_words, case.positives, "bce", update, words_of_step)
    expected = step_torch.step_(case.features, without, case.positives, "bce", update, None)
    torch.testing.assert_close(loss, expected[0], rtol=1e-5, atol=0.0)
    torch.testing.assert_close(grad, expected[1], rtol=1e-4, atol=1e-3)
    assert word_layer.weight.isnan().all()
