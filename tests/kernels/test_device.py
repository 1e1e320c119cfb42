"""What only a GPU can test of the operators: streams, graphs, a second GPU, offsets past 2^31, equal bits.

tests/unit/ops check the values on every device; group/test_group_device.py is about groups of labels.
References are float64 on the CPU.
"""

import pytest
import torch
from torch import Tensor

from tests.kernels.cases.device import FORMATS, draw_layer, error, make_positives
from tests.kernels.cases.device import run_step as run
from tests.kernels.cases.words import make_word_layer, make_words
from xmcpipe.modeling import heads
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.stepped import HeadSGD, stepped_loss
from xmcpipe.ops import reference
from xmcpipe.ops.cuda import geometry, pass_geometry
from xmcpipe.ops.ffi import ffi_grad_features, ffi_grad_weight, ffi_scores
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.step import step_
from xmcpipe.ops.topk import ffi_topk
from xmcpipe.ops.word_layer import StepWords

pytestmark = pytest.mark.gpu

Problem = tuple[Tensor, Tensor, Tensor]


def make_layer(
    batch: int, labels: int, fan_in: int, features: int, dtype: torch.dtype, device: str = "cuda"
) -> Problem:
    """Features [B, D], weight [L, K] and index [L, K], drawn on the device."""
    features_BD, layer = draw_layer(batch, labels, fan_in, features, dtype, device)
    return features_BD, layer.weight, layer.index


def run_step(layer: Problem, positives: Positives, step: int = 3, chunk: int = 4096) -> tuple[Tensor, Tensor]:
    """One training step in place: BCE, mean over the rows."""
    return run(layer[0], SparseLayer(*layer[1:]), positives, step, chunk)


def rows_of(index: Tensor, labels: Tensor) -> Tensor:
    """int64 [N, K]: rows of a uint16 index. CUDA can't index uint16 tensors, so it is cast first."""
    return index.view(torch.int16)[labels].long() & 0xFFFF


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("batch", [1, 64, 200])
def test_scores_and_gradients_equal_float64(dtype: torch.dtype, batch: int) -> None:
    features, weight, index = make_layer(batch, 5003, 64, 768, dtype)
    grad = torch.randn(batch, 5003, device="cuda")
    exact = (features.cpu().double(), weight.cpu().double(), index.cpu())
    scores = reference.ffi_scores(*exact)
    grad_features, grad_weight = reference.ffi_backward(grad.cpu().double(), *exact)
    assert error(ffi_scores(features, weight, index), scores) < 1e-5
    assert error(ffi_grad_features(grad, weight, index, 768), grad_features) < 1e-4
    assert error(ffi_grad_weight(grad, features, index), grad_weight) < 1e-5


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("batch", [8, 64, 130])
def test_same_inputs_give_the_same_bits(dtype: torch.dtype, batch: int) -> None:
    positives = make_positives(batch, 20_011, 300)
    results = []
    for _ in range(3):
        layer = make_layer(batch, 20_011, 128, 768, dtype)
        loss, grad = run_step(layer, positives)
        results.append((loss, grad, layer[1]))
    for other in results[1:]:
        assert all(torch.equal(one, same) for one, same in zip(results[0], other, strict=True))


@pytest.mark.parametrize("one_pass", [False, True])
@pytest.mark.parametrize("dtype", FORMATS, ids=str)
def test_the_step_on_the_gpu_is_the_step_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, one_pass: bool
) -> None:
    """Both designs. One pass needs 16-bit formats, and rounds the gradients of the scores to them."""
    if one_pass and (dtype == torch.float32 or torch.cuda.get_device_capability() < (8, 0)):
        pytest.skip("one pass needs 16-bit weights and tensor cores for them")
    monkeypatch.setattr(pass_geometry, "MAX_PASS_RATIO", 384 if one_pass else 0)
    positives = make_positives(48, 9001, 200)
    layer = make_layer(48, 9001, 64, 384, dtype)
    host = (layer[0].cpu(), layer[1].cpu(), layer[2].cpu())
    before = host[1].clone()
    loss, grad = run_step(layer, positives)
    host_loss, host_grad = run_step(host, Positives(positives.rows.cpu(), positives.labels.cpu()))
    assert error(loss, host_loss) < 1e-5
    assert error(grad, host_grad) < (2.0**-8 if one_pass else 1e-3)
    moved = (layer[1].cpu() != before).float().mean()
    assert moved > 0.1, "the weights must have changed"
    # The same random bits round both: they differ where the sums differ in the last place alone.
    limit = 1.0 if dtype == torch.float32 else 0.4 if one_pass else 0.02
    assert (layer[1].cpu() != host[1]).float().mean() < limit
    assert error(layer[1], host[1]) < (4e-3 if one_pass else 1e-3)


@pytest.mark.parametrize("batch", [65, 128, 300])
def test_a_step_in_clusters_is_that_of_the_cpu(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    if torch.cuda.get_device_capability() < (9, 0):
        pytest.skip("no clusters before sm_90")
    monkeypatch.setattr(pass_geometry, "CLUSTERS", True)
    check_one_pass("ffi_step_cluster", batch, 384)


@pytest.mark.parametrize("batch", [7, 64, 128])
@pytest.mark.parametrize("num_features", [384, 768])
def test_a_step_of_warpgroups_is_that_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, batch: int, num_features: int
) -> None:
    if torch.cuda.get_device_capability() != pass_geometry.WARPGROUP_PRODUCTS:
        pytest.skip("wgmma is for sm_90")
    monkeypatch.setattr(pass_geometry, "WARPGROUPS", True)
    check_one_pass("ffi_step_wgmma", batch, num_features)


def check_one_pass(entry: str, batch: int, num_features: int) -> None:
    """A step that the kernel `entry` takes is that of the CPU, and the same again."""
    positives = make_positives(batch, 9001, 400)
    layer = make_layer(batch, 9001, 64, num_features, torch.bfloat16)
    host = (layer[0].cpu(), layer[1].cpu(), layer[2].cpu())
    again = (layer[0].clone(), layer[1].clone(), layer[2].clone())
    shape = geometry.LayerShape.of(layer[0], SparseLayer(*layer[1:3]))
    chosen = pass_geometry.one_pass(shape, geometry.card_of(torch.device("cuda")))
    assert chosen is not None
    assert chosen.entry == entry
    loss, grad = run_step(layer, positives)
    host_loss, host_grad = run_step(host, Positives(positives.rows.cpu(), positives.labels.cpu()))
    assert error(loss, host_loss) < 1e-5
    assert error(grad, host_grad) < 2.0**-8
    assert error(layer[1], host[1]) < 4e-3
    other_loss, other_grad = run_step(again, positives)
    assert torch.equal(loss, other_loss)
    assert torch.equal(grad, other_grad)
    assert torch.equal(layer[1], again[1])


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("batch", [1, 48, 130])
def test_a_step_with_words_is_that_of_the_cpu(dtype: torch.dtype, batch: int) -> None:
    positives, results = make_positives(batch, 2003, 100), []
    for device in ("cuda", "cuda", "cpu"):
        words = make_words(batch, 300, device=device)
        word_layer = make_word_layer(words, 2003, 64, dtype)
        _, weight, index = (each.to(device) for each in make_layer(batch, 2003, 64, 384, dtype))
        layer = SparseLayer(weight, index)
        features = make_layer(batch, 2003, 64, 384, dtype)[0].to(device)
        scale, rate, step = (torch.tensor(each, device=device) for each in (1.0 / batch, 0.5, 3))
        update = Update(scale, rate, step, 1e-4, 0.0, seed=7, first_label=0, label_chunk=1024)
        step_words = StepWords.of(words, word_layer, words.rates(rate), update)
        pairs = Positives(*(each.to(device) for each in positives))
        loss, grad = step_(features, layer, pairs, "bce", update, step_words)
        weight = word_layer.weight.nan_to_num()  # of words that the batch lacks
        results.append([each.cpu() for each in (loss, grad, layer.weight, weight)])
    first, again, host = results
    assert all(torch.equal(one, same) for one, same in zip(first, again, strict=True))
    limits = (1e-5, 1e-3, 1e-3, 1e-3)
    assert all(error(ours, theirs) < limit for ours, theirs, limit in zip(first, host, limits, strict=True))


def test_any_stream() -> None:
    layer = make_layer(64, 30_000, 128, 768, torch.bfloat16)
    expected = ffi_scores(*layer)
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        # If the kernel ran on another stream, it would read the features too early.
        torch.cuda._sleep(50_000_000)  # type: ignore[no-untyped-call]
        doubled = layer[0] * 2.0
        got = ffi_scores(doubled, *layer[1:])
    stream.synchronize()
    assert error(got, 2.0 * expected) < 1e-6


def test_inside_a_cuda_graph() -> None:
    positives = make_positives(64, 20_000, 300)
    layer, eager = (
        make_layer(64, 20_000, 128, 768, torch.bfloat16),
        make_layer(64, 20_000, 128, 768, torch.bfloat16),
    )
    scale, rate = torch.tensor(1.0 / 64, device="cuda"), torch.tensor(0.5, device="cuda")
    number = torch.tensor(0, device="cuda")

    def step(of: Problem) -> tuple[Tensor, Tensor]:
        update = Update(scale, rate, number, 0.0, 0.0, seed=7, first_label=0, label_chunk=4096)
        return step_(of[0], SparseLayer(*of[1:]), positives, "bce", update)

    step(make_layer(64, 20_000, 128, 768, torch.bfloat16))  # loads the kernels
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss, _ = step(layer)
    for counter in range(3):
        number.fill_(counter)
        rate.fill_(0.5 / (counter + 1))
        graph.replay()
        eager_loss, _ = step(eager)
        assert torch.equal(loss, eager_loss)
        assert torch.equal(layer[1], eager[1]), "new values of rate and step must be read at each replay"


def test_a_head_s_training_step_is_in_a_cuda_graph() -> None:
    """Nothing in it waits for the device, which a graph could not record."""
    heads_, positives = [], make_positives(64, 20_000, 300)
    for _ in range(2):
        head = heads.build(HeadShape("ffi", 768, 20_000, 128, True, seed=5, dtype="bfloat16"), "cuda")
        head.reset_parameters()
        heads_.append((head.requires_grad_(False), HeadSGD.of(head, 0.9, 1e-4)))
    features = torch.randn(64, 768, device="cuda").bfloat16()

    def step(number: int) -> Tensor:
        head, sgd = heads_[number]
        return stepped_loss(head, features, positives, "bce", 1.0 / 64, sgd, 4096)

    for head, sgd in heads_:
        sgd.scale.fill_(1.0 / 64)
        stepped_loss(head, features, positives, "bce", 1.0 / 64, sgd, 4096)  # loads the kernels
        sgd.rate.fill_(0.5)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(0)
    for _ in range(3):
        graph.replay()
        assert torch.equal(loss, step(1))
    assert torch.equal(heads_[0][0].weight, heads_[1][0].weight)


def test_compiles_with_fullgraph() -> None:
    layer = make_layer(64, 5000, 64, 768, torch.bfloat16)
    compiled = torch.compile(lambda x: ffi_scores(x, *layer[1:]).relu(), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(layer[0]), ffi_scores(*layer).relu())


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second GPU")
def test_on_the_second_gpu() -> None:
    layer = make_layer(64, 5000, 64, 768, torch.bfloat16)
    there = tuple(tensor.to("cuda:1") for tensor in layer)
    assert torch.equal(ffi_scores(*there).cpu(), ffi_scores(*layer).cpu())


def test_offsets_past_two_to_the_31() -> None:
    """L x K of 2.2e9 elements: the last labels' scores, gradients and update are right."""
    labels, fan_in = 17_200_000, 128
    need = labels * fan_in * 4 + (8 << 30)
    if torch.cuda.mem_get_info()[0] < need:
        pytest.skip(f"needs {need >> 30} GiB free")
    features, weight, index = make_layer(16, labels, fan_in, 768, torch.bfloat16)
    tail = slice(labels - 1000, labels)
    tail_weight, tail_index = weight[tail].cpu().double(), index[tail].cpu()
    expected = reference.ffi_scores(features.cpu().double(), tail_weight, tail_index)
    positives = Positives(torch.tensor([3], device="cuda"), torch.tensor([labels - 1], device="cuda"))
    best, scores = ffi_topk(features, weight, index, None, 5, 0, 1 << 20)
    rows = torch.arange(16, device="cuda").unsqueeze(1)
    recomputed = torch.stack(
        [(features[r].float()[rows_of(index, best[r])] * weight[best[r]].float()).sum(-1) for r in range(16)]
    )
    assert error(scores, recomputed) < 1e-4
    assert scores[rows, 0].isfinite().all()
    loss, _ = run_step((features, weight, index), positives, chunk=1 << 18)
    slope = torch.sigmoid(expected)
    slope[3, -1] -= 1.0
    grad = (slope.T @ features.cpu().double()).gather(1, tail_index.long())
    moved = weight[tail].cpu().double() - tail_weight
    assert loss.isfinite()
    assert error(moved, -0.5 * (grad / 16 + 1e-4 * tail_weight)) < 0.3, (
        "rounding of bf16 is random, not wrong"
    )
