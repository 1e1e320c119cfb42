"""What only a GPU can test of the operators for groups of labels, which it runs by their own kernels.

References are float64, or the operators of the CPU, which tests/unit/ops/grouped compares with float64.
"""

import pytest
import torch

from tests.kernels.cases.device import FORMATS, an_update, draw_layer, error, make_positives, run_step
from tests.kernels.cases.words import make_word_layer, make_words
from tests.kernels.group.cases import GROUP_SIZES
from xmcpipe.ops import reference
from xmcpipe.ops.cuda.groups import step as step_module
from xmcpipe.ops.ffi import ffi_grad_features, ffi_grad_weight, ffi_scores
from xmcpipe.ops.layer import Positives, SparseLayer
from xmcpipe.ops.rewire import ffi_rewire_, magnitude_bits
from xmcpipe.ops.step import step_
from xmcpipe.ops.topk import ffi_topk
from xmcpipe.ops.word_layer import StepWords

pytestmark = pytest.mark.gpu

DEVICE = "cuda"
HALVES = [torch.bfloat16, torch.float16]
# Errors of gradients of features, and of weights: the kernels round gradients of scores to 16 bits, as in
# test_group_host_ops.py.
ROUNDED = {torch.float32: 1e-3, torch.bfloat16: 5e-3, torch.float16: 1e-3}
WEIGHTS = {torch.float32: 1e-3, torch.bfloat16: 1e-2, torch.float16: 2e-3}
over_formats = pytest.mark.parametrize("dtype", FORMATS, ids=str)
over_groups = pytest.mark.parametrize("group", GROUP_SIZES)


@over_formats
@over_groups
@pytest.mark.parametrize("batch", [1, 64, 200])
def test_scores_and_gradients_equal_float64(dtype: torch.dtype, group: int, batch: int) -> None:
    features, layer = draw_layer(batch, 1003, 64, 768, dtype, DEVICE, group)
    grad = torch.randn(batch, 1003, generator=torch.Generator().manual_seed(0))
    exact = (features.cpu().double(), layer.weight.cpu().double(), layer.index.cpu())
    grad_features, grad_weight = reference.ffi_backward(grad.double(), *exact, group)
    grad = grad.to(DEVICE)
    scores = ffi_scores(features, layer.weight, layer.index, group)
    assert error(scores, reference.ffi_scores(*exact, group)) < 1e-5
    assert error(ffi_grad_features(grad, layer.weight, layer.index, 768, group), grad_features) < 1e-4
    assert error(ffi_grad_weight(grad, features, layer.index, group), grad_weight) < 1e-4


@over_formats
@pytest.mark.parametrize(("group", "batch"), [(8, 64), (16, 64), (64, 64), (32, 130)])
def test_same_inputs_give_the_same_bits(dtype: torch.dtype, group: int, batch: int) -> None:
    positives, results = make_positives(batch, 3011, 300, DEVICE), []
    for _ in range(3):
        features, layer = draw_layer(batch, 3011, 128, 768, dtype, DEVICE, group)
        results.append((*run_step(features, layer, positives), layer.weight))
    for other in results[1:]:
        assert all(torch.equal(one, same) for one, same in zip(results[0], other, strict=True))


@over_formats
@over_groups
@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize("batch", [48, 130])
def test_the_step_is_that_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, group: int, chunks: bool, batch: int
) -> None:
    """One pass takes up to 64 rows in groups of 16 or more; with `chunks`, all steps are taken by chunks."""
    if chunks:
        monkeypatch.setattr(step_module, "one_pass", lambda *_: None)
    positives = make_positives(batch, 2009, 200, DEVICE)
    features, layer = draw_layer(batch, 2009, 64, 384, dtype, DEVICE, group)
    host = SparseLayer(layer.weight.cpu().clone(), layer.index.cpu(), group=group)
    before = host.weight.clone()
    loss, grad = run_step(features, layer, positives)
    host_loss, host_grad = run_step(features.cpu(), host, Positives(*(each.cpu() for each in positives)))
    assert error(loss, host_loss) < 1e-5
    assert error(grad, host_grad) < ROUNDED[dtype]
    assert (layer.weight.cpu() != before).float().mean() > 0.1, "the weights must have changed"
    # The same random bits round both, so that in 16 bits most are equal, and the others neighbours.
    assert error(layer.weight, host.weight) < WEIGHTS[dtype]
    assert dtype == torch.float32 or (layer.weight.cpu() != host.weight).float().mean() < 0.7


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_a_step_with_words_is_that_of_the_cpu(dtype: torch.dtype) -> None:
    results = []
    for place in (DEVICE, "cpu"):
        words, positives = make_words(48, 300, device=place), make_positives(48, 1003, 100, place)
        features, layer = draw_layer(48, 1003, 64, 384, dtype, "cpu", 16)
        layer = SparseLayer(layer.weight.to(place), layer.index.to(place), group=16)
        word_layer, update = make_word_layer(words, 1003, 64, dtype), an_update(48, place, chunk=512)
        step_words = StepWords.of(words, word_layer, words.rates(update.rate), update)
        loss, grad = step_(features.to(place), layer, positives, "bce", update, step_words)
        weight = word_layer.weight.nan_to_num()  # of words that the batch lacks
        results.append([each.cpu() for each in (loss, grad, layer.weight, weight)])
    limits = (1e-5, ROUNDED[dtype], WEIGHTS[dtype], WEIGHTS[dtype])
    assert all(error(ours, theirs) < limit for ours, theirs, limit in zip(*results, limits, strict=True))


@over_formats
@pytest.mark.parametrize(("group", "batch", "k"), [(16, 64, 5), (64, 1, 100), (8, 130, 10)])
def test_the_best_labels_are_those_of_the_cpu(dtype: torch.dtype, group: int, batch: int, k: int) -> None:
    """Scores are whole numbers, so that they are exact and full of ties."""
    features, layer = draw_layer(batch, 2003, 64, 384, dtype, DEVICE, group)
    features, weight = features.round(), (10 * layer.weight).round()
    ids = torch.randperm(2003, generator=torch.Generator().manual_seed(0)).int()
    best = ffi_topk(features, weight, layer.index, None, k, 0, 512, group, ids.to(DEVICE))
    host = ffi_topk(features.cpu(), weight.cpu(), layer.index.cpu(), None, k, 0, 512, group, ids)
    assert all(torch.equal(ours.cpu(), theirs) for ours, theirs in zip(best, host, strict=True))


@over_formats
@pytest.mark.parametrize("row_count", [0, 13])
def test_a_rewiring_is_that_of_the_cpu(dtype: torch.dtype, row_count: int) -> None:
    results = []
    for place in (DEVICE, "cpu"):
        _, layer = draw_layer(1, 1003, 64, 384, dtype, "cpu", 16)
        weight, index = layer.weight.to(place), layer.index.to(place)
        bits = magnitude_bits(torch.tensor(0.05)).item()
        moments = [torch.ones_like(weight)]
        replaced = ffi_rewire_(weight, index, moments, int(bits), 3, 7, 2, 0, 384, row_count, 16)
        results.append([each.cpu() for each in (replaced, weight, index.view(torch.int16), *moments)])
    assert results[0][0] > 0
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))


@pytest.mark.parametrize("batch", [64, 130])
def test_a_step_inside_a_cuda_graph(batch: int) -> None:
    positives = make_positives(batch, 20_000, 300)
    (features, layer), (_, eager) = (
        draw_layer(batch, 20_000, 128, 768, torch.bfloat16, DEVICE, 32) for _ in range(2)
    )
    update = an_update(batch, DEVICE, step=0)
    step_(features, eager._replace(weight=eager.weight.clone()), positives, "bce", update)  # loads kernels
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss, _ = step_(features, layer, positives, "bce", update)
    for counter in range(3):
        update.step.fill_(counter)
        update.rate.fill_(0.5 / (counter + 1))
        graph.replay()
        assert torch.equal(loss, step_(features, eager, positives, "bce", update)[0])
        assert torch.equal(layer.weight, eager.weight), "new values of rate and step are read at each replay"


@pytest.mark.parametrize("chunks", [False, True])
def test_offsets_past_two_to_the_31(monkeypatch: pytest.MonkeyPatch, chunks: bool) -> None:
    """L x K of 2.2e9 elements: the last labels' update and the best labels are right."""
    labels, fan_in, group = 17_200_011, 128, 32
    need = 10 * labels * fan_in + (4 << 30)  # two float32 tensors while it is drawn
    if torch.cuda.mem_get_info()[0] < need:
        pytest.skip(f"needs {need >> 30} GiB free")
    if chunks:
        monkeypatch.setattr(step_module, "one_pass", lambda *_: None)
    features, layer = draw_layer(16, labels, fan_in, 768, torch.bfloat16, DEVICE, group)
    tail = layer.part((labels // group - 10) * group, labels)
    weight, index = tail.weight.cpu().double(), tail.index.cpu()
    scores = reference.ffi_scores(features.cpu().double(), weight, index, group)
    ids, best = ffi_topk(features, layer.weight, layer.index, None, 5, 0, 1 << 20, group)
    read = layer.index.view(torch.int16)[ids // group].long() & 0xFFFF
    for row in range(16):
        found = (features[row].float()[read[row]] * layer.weight[ids[row]].float()).sum(-1)
        assert error(best[row], found) < 1e-4
    positives = Positives(torch.tensor([3], device=DEVICE), torch.tensor([labels - 1], device=DEVICE))
    run_step(features, layer, positives, chunk=1 << 18)
    slope = torch.sigmoid(scores)
    slope[3, -1] -= 1.0
    _, grad = reference.ffi_backward(slope, features.cpu().double(), weight, index, group)
    moved = tail.weight.cpu().double() - weight
    assert error(moved, -0.5 * (grad / 16 + 1e-4 * weight)) < 0.3, "rounding of bf16 is random, not wrong"
