"""The CUDA side of the ops for groups of labels on the host, from tensors to kernels and back, against
float64 and the CPU's own ops.

The kernels' arithmetic has tests of its own; these are about the code that calls them: geometry and
specialisation, arguments, grids and workspaces. There are few shapes, since g++ compiles each variant.
"""

import re

import pytest
import torch
from torch import Tensor

from tests.kernels.cases.words import make_word_layer, make_words
from tests.kernels.group.cases import GROUP_SIZES
from tests.kernels.host.gpu import HostGpu, install
from tests.kernels.test_host_ops import FIRST_LABEL, Outcome, launched, make_positives, make_update
from tests.kernels.test_host_ops import LABELS as POSITIVE_LABELS
from xmcpipe.ops import reference, rewire, step_torch
from xmcpipe.ops.cuda.geometry import Card, LayerShape
from xmcpipe.ops.cuda.groups import ffi, geometry, step, step_chunks, topk
from xmcpipe.ops.layer import SparseLayer
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES
from xmcpipe.ops.nvrtc.source import text_of
from xmcpipe.ops.topk import ffi_topk
from xmcpipe.ops.word_layer import StepWords

BATCH, FEATURES, LABELS, FAN_IN, GROUP = 70, 100, POSITIVE_LABELS, 48, 16
TOLERANCES = {torch.bfloat16: 2e-2, torch.float16: 4e-3}
PASS_KERNELS = {"group_step", "ffi_step_sum"}
CHUNK_KERNELS = {"group_scores", "group_grad_features", "ffi_grad_features_sum", "group_grad_weight"}


def make(
    dtype: torch.dtype, batch: int = BATCH, num_features: int = FEATURES, fan_in: int = FAN_IN
) -> tuple[Tensor, SparseLayer]:
    """Features [B, D] and a layer with a bias, in groups of 16."""
    random = torch.Generator().manual_seed(7)
    features_BD = torch.randn(batch, num_features, generator=random).to(dtype)
    weight_LK = (torch.randn(LABELS, fan_in, generator=random) / 8).to(dtype)
    chosen = torch.rand(-(-LABELS // GROUP), num_features, generator=random).argsort(1)[:, :fan_in]
    bias_L = torch.randn(LABELS, generator=random)
    return features_BD, SparseLayer(weight_LK, chosen.to(torch.uint16), bias_L, group=GROUP)


@pytest.mark.parametrize(
    ("dtype", "architecture", "num_features"),
    [
        (torch.bfloat16, "sm_90", FEATURES),
        (torch.float16, "sm_90", FEATURES),
        (torch.bfloat16, "sm_86", 1700),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 1e-12])
def test_scores_and_gradients(
    host_gpu: HostGpu,
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    architecture: str,
    num_features: int,
    scale: float,
) -> None:
    """A gradient may be smaller than float16 can hold; 1,700 features don't fit the memory of a block."""
    install(monkeypatch, HostGpu(architecture, shared=ARCHITECTURES[architecture]))
    features_BD, layer = make(dtype, num_features=num_features)
    exact = (features_BD.double(), layer.weight.double(), layer.index)
    scores_BL = torch.full((BATCH, LABELS), torch.nan)
    ffi.scores(features_BD, layer, scores_BL)
    expected = reference.ffi_scores(*exact, GROUP)
    torch.testing.assert_close(scores_BL.double(), expected, rtol=1e-5, atol=1e-5)
    grad_BL = scores_BL * scale
    grad_features, grad_weight = reference.ffi_backward(grad_BL.double(), *exact, GROUP)
    out_BD = torch.full(features_BD.shape, torch.nan)
    ffi.grad_features(grad_BL, layer, out_BD)
    assert float((out_BD - grad_features).norm() / grad_features.norm()) < 1e-4
    out = layer._replace(weight=torch.full(layer.weight.shape, torch.nan))
    ffi.grad_weight(grad_BL, features_BD, out)
    assert float((out.weight - grad_weight).norm() / grad_weight.norm()) < 1e-4


def copy_of(layer: SparseLayer) -> SparseLayer:
    """The layer in memory of its own, with the same index."""
    bias, momentum = (None if each is None else each.clone() for each in (layer.bias, layer.momentum))
    return layer._replace(weight=layer.weight.clone(), bias=bias, momentum=momentum)


def close(ours: Outcome, expected: Outcome, before: SparseLayer) -> None:
    """A step of the kernels is a step of torch, up to gradients of scores rounded to 16 bits."""
    dtype = ours.layer.weight.dtype
    torch.testing.assert_close(ours.loss_sum, expected.loss_sum, rtol=1e-5, atol=0.0)
    difference = ours.grad_features - expected.grad_features
    assert float(difference.norm() / expected.grad_features.norm()) < TOLERANCES[dtype] / 4
    for tensor, right in zip(ours.tensors[2:], expected.tensors[2:], strict=True):
        assert float((tensor.float() - right.float()).norm() / right.float().norm()) < TOLERANCES[dtype] / 2
    same = (ours.layer.weight == expected.layer.weight).float().mean()
    assert same > 0.3  # rounded by the same random bits; the others are neighbours
    assert not torch.equal(ours.layer.weight, before.weight)


@pytest.mark.parametrize(
    ("loss", "dtype", "momentum_dtype", "batch"),
    [
        ("squared_hinge", torch.bfloat16, torch.bfloat16, BATCH),
        ("bce", torch.bfloat16, None, 24),
        ("bce", torch.float16, torch.bfloat16, 40),
    ],
)
def test_a_step(
    host_gpu: HostGpu, loss: str, dtype: torch.dtype, momentum_dtype: torch.dtype | None, batch: int
) -> None:
    """In one pass for up to 64 rows. Both ways round gradients alike, so that they give the same weights."""
    features_BD, before = make(dtype, batch)
    if momentum_dtype is not None:
        before = before._replace(momentum=torch.randn(LABELS, FAN_IN).to(momentum_dtype))
    update, outcomes, kernels = make_update(0.9 if momentum_dtype else 0.0), [], []
    for step_ in (step.step_, step_chunks.step_, step_torch.step_):
        layer, before_step = copy_of(before), len(host_gpu.launches)
        outcomes.append(Outcome(*step_(features_BD, layer, make_positives(batch), loss, update, None), layer))
        kernels.append({variant.kernel.entry for variant, _ in host_gpu.launches[before_step:]})
    assert kernels == [PASS_KERNELS if batch <= 64 else CHUNK_KERNELS, CHUNK_KERNELS, set()]
    close(outcomes[0], outcomes[2], before)
    close(outcomes[1], outcomes[2], before)
    assert torch.equal(outcomes[0].layer.weight, outcomes[1].layer.weight)


def test_a_step_with_words(host_gpu: HostGpu) -> None:
    features_BD, before = make(torch.bfloat16, 24)
    batch_words = make_words(24, 40)
    word_layer = make_word_layer(batch_words, LABELS, 16, torch.float32)
    outcomes, weights = [], []
    for step_ in (step.step_, step_torch.step_):
        layer = copy_of(before)
        own = word_layer._replace(weight=word_layer.weight.clone())
        words = StepWords.of(batch_words, own, batch_words.rates(torch.tensor(0.02)), make_update())
        outcomes.append(
            Outcome(*step_(features_BD, layer, make_positives(24), "bce", make_update(), words), layer)
        )
        weights.append(own.weight)
    assert launched(host_gpu) == CHUNK_KERNELS | {"ffi_word_scores", "ffi_word_update"}
    close(outcomes[0], outcomes[1], before)
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5, equal_nan=True)
    assert not torch.equal(weights[0].nan_to_num(), word_layer.weight.nan_to_num())


@pytest.mark.parametrize(("batch", "k", "with_ids"), [(BATCH, 5, True), (1, 100, False)])
def test_the_best_labels(host_gpu: HostGpu, batch: int, k: int, with_ids: bool) -> None:
    features_BD, layer = make(torch.bfloat16, batch)
    assert layer.bias is not None
    # Whole numbers: full of ties.
    features_BD = features_BD.round()
    layer = layer._replace(weight=layer.weight.mul(8).round(), bias=layer.bias.round())
    ids = torch.randperm(LABELS, generator=torch.Generator().manual_seed(0)).int() if with_ids else None
    labels_BN, scores_BN = topk.topk(features_BD, layer, k, FIRST_LABEL, ids)
    expected = ffi_topk(features_BD, *layer[:3], k, FIRST_LABEL, 64, GROUP, ids)
    assert torch.equal(labels_BN, expected[0])
    assert torch.equal(scores_BN, expected[1])


@pytest.mark.parametrize("size", GROUP_SIZES)
@pytest.mark.parametrize("architecture", ["sm_80", "sm_86", "sm_90"])
@pytest.mark.parametrize(
    ("stride", "num_features"), [(8, 64), (32, 768), (512, 768), (64, 4096), (64, 65536)]
)
def test_sums_fit_the_memory_of_a_block(size: int, architecture: str, stride: int, num_features: int) -> None:
    limit = ARCHITECTURES[architecture]
    for parts in (1, 2):
        chosen = geometry.gradient_geometry(stride, num_features, size, parts, limit)
        assert chosen.shared_bytes + 128 <= limit
        assert chosen.slices(num_features) * chosen.slice_features >= num_features
        assert chosen.row_blocks(stride) * chosen.rows >= stride


def test_the_most_rows_that_fit_are_summed() -> None:
    rows = {
        architecture: geometry.gradient_geometry(64, 768, 16, 1, ARCHITECTURES[architecture]).rows
        for architecture in ("sm_80", "sm_86", "sm_90")
    }
    assert rows == {"sm_80": 32, "sm_86": 16, "sm_90": 64}


@pytest.mark.parametrize(
    ("architecture", "num_rows", "num_features", "fan_in", "size", "stages"),
    [
        ("sm_90", 64, 768, 64, 16, 3),
        ("sm_90", 64, 384, 64, 16, 4),
        ("sm_90", 64, 384, 128, 64, 3),
        ("sm_90", 64, 512, 128, 64, None),
        ("sm_90", 64, 768, 64, 8, None),  # a fragment of tensor cores has 16 labels
        ("sm_90", 64, 768, 80, 16, None),
        ("sm_90", 65, 384, 64, 16, None),
        ("sm_90", 64, 384, 144, 16, None),
        ("sm_80", 64, 768, 64, 16, None),
        ("sm_80", 32, 768, 128, 32, 3),
        ("sm_86", 32, 384, 64, 32, 4),
    ],
)
def test_which_shapes_take_one_pass(
    architecture: str, num_rows: int, num_features: int, fan_in: int, size: int, stages: int | None
) -> None:
    card = Card(132, 50 << 20, ARCHITECTURES[architecture], (8, 0))
    shape = LayerShape(num_rows, num_features, 1000, fan_in, torch.bfloat16, torch.bfloat16)
    chosen = geometry.one_pass(shape, size, card)
    assert (None if chosen is None else chosen.macros["STAGES"]) == stages
    assert geometry.one_pass(shape._replace(word_bytes=64), size, card) is None


@pytest.mark.parametrize("size", GROUP_SIZES)
def test_a_chunk_has_whole_groups(size: int) -> None:
    card = Card(132, 50 << 20, ARCHITECTURES["sm_90"], (9, 0))
    shape = LayerShape(64, 768, 670_091, 64, torch.bfloat16, torch.bfloat16)
    for limit in (1, 100, 10**9):
        chunk = geometry.chunk_labels(shape, size, card, limit)
        assert chunk % size == 0
        assert chunk <= max(limit, size)
    assert geometry.chunk_labels(shape._replace(num_labels=77), size, card, 10**9) == 77
    assert geometry.workspace_bytes(shape, size, card, 10**9) < 100 << 20


def test_scales_of_float16_are_those_of_the_kernels() -> None:
    found = re.findall(r"#elif LOSS == (\d+)\n#define GRADIENT_SCALE ([\d.]+)f", text_of("group_scores.cu"))
    assert {int(code): float(scale) for code, scale in found} == geometry.FLOAT16_GRADIENT_SCALES


def test_rewiring_of_groups_launches_no_kernel(host_gpu: HostGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel reads a row of the index for each label, and groups have fewer rows."""
    monkeypatch.setattr(rewire, "cuda_kernels_usable", lambda *_, **__: True)
    _, layer = make(torch.bfloat16)
    replaced = rewire.ffi_rewire_(layer.weight, layer.index, [], 0x3D800000, 0, 7, 2, 0, FEATURES, 0, GROUP)
    assert int(replaced) > 0
    assert host_gpu.launches == []


def test_what_the_kernels_support(host_gpu: HostGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    features_BD, layer = make(torch.bfloat16)
    halves, grad_BL = (features_BD, layer.weight), torch.zeros(BATCH, LABELS)
    assert geometry.supports(layer.index, GROUP, halves)
    assert geometry.supports(layer.index, GROUP, halves[:1], grad_BL)
    assert not geometry.supports(layer.index, 4, halves)
    assert not geometry.supports(layer.index, GROUP, (features_BD.float(), layer.weight))
    assert not geometry.supports(layer.index, GROUP, (features_BD.float(), layer.weight.float()))
    assert not geometry.supports(layer.index[:, :40].contiguous(), GROUP, (features_BD, layer.weight[:, :40]))
    install(monkeypatch, HostGpu("sm_75", shared=ARCHITECTURES["sm_75"]))
    assert not geometry.supports(layer.index, GROUP, halves)
