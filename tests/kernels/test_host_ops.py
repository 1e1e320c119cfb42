"""The CUDA side of the ops on the host, from tensors to kernels and back, against the CPU's own ops.

The kernels' arithmetic has tests of its own; these are about the code that calls them: geometry and
specialisation, arguments, grids and workspaces. There are few shapes, since g++ compiles each variant.
"""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tests.kernels.host.gpu import HostGpu, install
from tests.unit.ops.loss_cases import added_loss
from xmcpipe.errors import XmcpipeError
from xmcpipe.ops import reference, step_torch
from xmcpipe.ops.cuda import ffi, geometry, pass_geometry, rewire, rows, step, step_chunks, step_pass, topk
from xmcpipe.ops.cuda.step_arguments import loss_code
from xmcpipe.ops.layer import Positives, Rewiring, SparseLayer, Update
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.rewire import ffi_rewire_, magnitude_bits
from xmcpipe.ops.topk import ffi_topk

BATCH, FEATURES, LABELS, FAN_IN = 70, 48, 300, 16  # two blocks of rows, the second one padded
FIRST_LABEL = 2**33 + 5
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
WIDE = 4200  # features: no eight rows of them fit in 64 KB


def make(dtype: torch.dtype, batch: int = BATCH, num_features: int = FEATURES) -> tuple[Tensor, SparseLayer]:
    """Features [B, D] and a layer with a bias."""
    random = torch.Generator().manual_seed(7)
    features_BD = torch.randn(batch, num_features, generator=random).to(dtype)
    weight_LK = (torch.randn(LABELS, FAN_IN, generator=random) / 4).to(dtype)
    chosen = torch.rand(LABELS, num_features, generator=random).argsort(1)[:, :FAN_IN]
    bias_L = torch.randn(LABELS, generator=random)
    return features_BD, SparseLayer(weight_LK, chosen.to(torch.uint16), bias_L)


def copy_of(layer: SparseLayer) -> SparseLayer:
    """The layer in memory of its own, with the same index."""
    bias, momentum = (None if each is None else each.clone() for each in (layer.bias, layer.momentum))
    return SparseLayer(layer.weight.clone(), layer.index, bias, momentum)


def make_positives(batch: int = BATCH) -> Positives:
    """A few pairs for each label."""
    chosen = torch.rand(LABELS, batch, generator=torch.Generator().manual_seed(8)) < 0.03
    labels_P, rows_P = chosen.nonzero(as_tuple=True)
    return Positives(rows_P, labels_P)


def make_update(momentum_factor: float = 0.0) -> Update:
    """A step of SGD."""
    scalars = torch.tensor(0.5), torch.tensor(0.02), torch.tensor(3)
    return Update(*scalars, 1e-3, momentum_factor, seed=11, first_label=FIRST_LABEL, label_chunk=128)


@pytest.mark.parametrize(
    ("architecture", "dtype"),
    [("sm_90", torch.float32), ("sm_90", torch.bfloat16), ("sm_75", torch.bfloat16)],
)
def test_scores_and_gradients(
    host_gpu: HostGpu, monkeypatch: pytest.MonkeyPatch, architecture: str, dtype: torch.dtype
) -> None:
    gpu = HostGpu(architecture, shared=ARCHITECTURES[architecture])
    install(monkeypatch, gpu)
    num_features = FEATURES if architecture == "sm_90" else WIDE
    features_BD, layer = make(dtype, num_features=num_features)
    exact = (features_BD.double(), layer.weight.double(), layer.index)
    scores_BL = torch.full((len(features_BD), LABELS), torch.nan)
    ffi.scores(features_BD, layer, scores_BL)
    torch.testing.assert_close(scores_BL.double(), reference.ffi_scores(*exact), rtol=1e-5, atol=1e-5)
    grad_BL = scores_BL / 10
    grad_features, grad_weight = reference.ffi_backward(grad_BL.double(), *exact)
    out_BD = torch.full(features_BD.shape, torch.nan)
    ffi.grad_features(grad_BL, layer, out_BD)
    torch.testing.assert_close(out_BD.double(), grad_features, rtol=1e-4, atol=1e-3)
    out_LK = torch.full(layer.index.shape, torch.nan)
    ffi.grad_weight(grad_BL, features_BD, SparseLayer(out_LK, layer.index))
    torch.testing.assert_close(out_LK.double(), grad_weight, rtol=1e-4, atol=1e-4)
    in_shared = {dict(variant.macros).get("SHARED") for variant, _ in gpu.launches} - {None}
    assert in_shared == {int(architecture == "sm_90")}


@pytest.mark.parametrize("batch", [BATCH, 72])  # with padding, and without
def test_gradients_are_read_in_chunks_of_labels(
    host_gpu: HostGpu, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """One buffer by label, of as many labels as fit in the cache, and not one of all labels."""
    monkeypatch.setattr(geometry, "CHUNK_MULTIPLE", 128)
    install(monkeypatch, HostGpu(cache_bytes=4 * 80 * 128))
    features_BD, layer = make(torch.bfloat16, batch)
    grad_BL = torch.randn(batch, LABELS, generator=torch.Generator().manual_seed(9))
    chunks = [(each.clone(), begin, end) for each, begin, end in rows.by_label(grad_BL, 128)]
    assert [(begin, end) for _, begin, end in chunks] == [(0, 128), (128, 256), (256, 300)]
    for gradient_LB, begin, end in chunks:
        assert gradient_LB.shape == (128, 72)
        assert torch.equal(gradient_LB[: end - begin, :batch], grad_BL[:, begin:end].T)
        assert not gradient_LB[:, batch:].any()
    grad_features, grad_weight = reference.ffi_backward(
        grad_BL.double(), features_BD.double(), layer.weight.double(), layer.index
    )
    out_BD, out_LK = torch.full(features_BD.shape, torch.nan), torch.full(layer.index.shape, torch.nan)
    ffi.grad_features(grad_BL, layer, out_BD)
    ffi.grad_weight(grad_BL, features_BD, SparseLayer(out_LK, layer.index))
    torch.testing.assert_close(out_BD.double(), grad_features, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(out_LK.double(), grad_weight, rtol=1e-4, atol=1e-4)


class Outcome(NamedTuple):
    """A step's results, and the layer after it."""

    loss_sum: Tensor
    grad_features: Tensor
    layer: SparseLayer

    @property
    def tensors(self) -> list[Tensor]:
        """All of them that the step computes."""
        weight, _, bias, momentum, _ = self.layer
        state = [weight, bias, momentum]
        return [self.loss_sum, self.grad_features, *(each for each in state if each is not None)]


def both_steps(
    dtype: torch.dtype, batch: int, momentum_dtype: torch.dtype | None, loss: str
) -> tuple[Outcome, Outcome, SparseLayer]:
    """A step of the kernels, the same step of torch, and the layer before it."""
    features_BD, before = make(dtype, batch)
    if momentum_dtype is not None:
        before = before._replace(momentum=torch.randn(LABELS, FAN_IN).to(momentum_dtype))
    update = make_update(0.9 if momentum_dtype else 0.0)
    outcomes = []
    for step_ in (step.step_, step_torch.step_):
        layer = copy_of(before)
        index_bits = layer.index.clone()
        results = step_(features_BD, layer, make_positives(batch), loss, update, None)
        assert torch.equal(layer.index, index_bits)
        outcomes.append(Outcome(*results, layer))
    ours, expected = outcomes
    assert [tensor.dtype for tensor in ours.tensors] == [tensor.dtype for tensor in expected.tensors]
    return ours, expected, before


def launched(gpu: HostGpu) -> set[str]:
    """The entries that were launched."""
    return {variant.kernel.entry for variant, _ in gpu.launches}


CHUNKS = {"ffi_scores", "ffi_grad_features", "ffi_grad_features_sum", "ffi_grad_weight"}


@pytest.mark.parametrize(
    ("loss", "dtype", "momentum_dtype", "batch", "architecture"),
    [
        ("squared_hinge", torch.float32, None, BATCH, "sm_90"),
        ("bce", torch.float32, torch.bfloat16, 24, "sm_90"),
        ("squared_hinge", torch.bfloat16, torch.bfloat16, BATCH, "sm_90"),
        ("bce", torch.bfloat16, None, 24, "sm_75"),  # without tensor cores for bfloat16
    ],
)
def test_a_step_by_chunks(
    host_gpu: HostGpu,
    monkeypatch: pytest.MonkeyPatch,
    loss: str,
    dtype: torch.dtype,
    momentum_dtype: torch.dtype | None,
    batch: int,
    architecture: str,
) -> None:
    gpu = HostGpu(architecture, shared=ARCHITECTURES[architecture])
    install(monkeypatch, gpu)
    ours, expected, before = both_steps(dtype, batch, momentum_dtype, loss)
    assert launched(gpu) == CHUNKS
    for tensor, expected_tensor in zip(ours.tensors, expected.tensors, strict=True):
        # A sum in another order may be rounded to the other neighbour.
        limit = TOLERANCES[tensor.dtype]
        torch.testing.assert_close(tensor.float(), expected_tensor.float(), rtol=limit, atol=10 * limit)
    same = (ours.layer.weight == expected.layer.weight).float().mean()
    assert same > (0.97 if dtype == torch.bfloat16 else 0.0)
    assert not torch.equal(ours.layer.weight, before.weight)


@pytest.mark.parametrize(
    ("batch", "momentum_dtype", "entry"),
    [
        (24, None, "ffi_step"),
        (64, torch.bfloat16, "ffi_step"),
        (64, torch.bfloat16, "ffi_step_wgmma"),
        (BATCH, None, "ffi_step_cluster"),
        (BATCH, torch.bfloat16, "ffi_step_wgmma"),
    ],
)
def test_a_step_in_one_pass(
    host_gpu: HostGpu,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    momentum_dtype: torch.dtype | None,
    entry: str,
) -> None:
    """One pass rounds the gradients of scores stochastically to bfloat16, so dX is only close."""
    monkeypatch.setattr(pass_geometry, "CLUSTERS", True)
    monkeypatch.setattr(pass_geometry, "WARPGROUPS", entry == "ffi_step_wgmma")
    ours, expected, before = both_steps(torch.bfloat16, batch, momentum_dtype, "bce")
    assert launched(host_gpu) == {entry, "ffi_step_sum"}
    torch.testing.assert_close(ours.loss_sum, expected.loss_sum, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(ours.layer.bias, expected.layer.bias, rtol=1e-5, atol=1e-6)
    difference = ours.grad_features - expected.grad_features
    assert float(difference.norm() / expected.grad_features.norm()) < 2.0**-8
    same = (ours.layer.weight == expected.layer.weight).float().mean()
    assert same > 0.8  # the others are neighbours
    state = (ours.layer.weight, expected.layer.weight), (ours.layer.momentum, expected.layer.momentum)
    for tensor, expected_tensor in state:
        if tensor is not None and expected_tensor is not None:
            # A momentum near 0 is the difference of sums of gradients of 10, each right to 2^-8.
            torch.testing.assert_close(tensor.float(), expected_tensor.float(), rtol=2e-2, atol=5e-2)
    assert not torch.equal(ours.layer.weight, before.weight)


@pytest.mark.parametrize(
    ("num_features", "fan_in", "batch", "shared", "one_pass"),
    [
        (768, 48, 64, ARCHITECTURES["sm_90"], True),
        (768, 40, 64, ARCHITECTURES["sm_90"], False),  # gathering is faster for so few connections
        (768, 128, 65, ARCHITECTURES["sm_90"], False),
        (776, 128, 64, ARCHITECTURES["sm_90"], False),
        (768, 128, 64, ARCHITECTURES["sm_86"], False),  # x alone would fill shared memory
        (384, 128, 64, ARCHITECTURES["sm_86"], True),
    ],
)
def test_which_design_takes_the_step(
    monkeypatch: pytest.MonkeyPatch, num_features: int, fan_in: int, batch: int, shared: int, one_pass: bool
) -> None:
    calls: list[str] = []
    for design in (step_pass, step_chunks):
        monkeypatch.setattr(design, "step_", lambda *_, name=design.__name__: calls.append(name))
    install(monkeypatch, HostGpu(shared=shared))
    features_BD = torch.zeros(batch, num_features, dtype=torch.bfloat16)
    weight_LK = torch.zeros(9, fan_in, dtype=torch.bfloat16)
    layer = SparseLayer(weight_LK, weight_LK.to(torch.uint16))
    step.step_(features_BD, layer, make_positives(), "bce", make_update(), None)
    assert calls == [(step_pass if one_pass else step_chunks).__name__]
    # Features of float32 are never rounded to take one pass.
    step.step_(features_BD.float(), layer, make_positives(), "bce", make_update(), None)
    assert calls[1] == step_chunks.__name__


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])  # by chunks, in one pass
def test_a_loss_without_a_kernel_is_refused(host_gpu: HostGpu, dtype: torch.dtype) -> None:
    features_BD, before = make(dtype, 24)
    layer = copy_of(before)
    message = "expected one of the losses that the CUDA step computes, .*, got 'squared_error'"
    with added_loss() as name, pytest.raises(XmcpipeError, match=message):
        step.step_(features_BD, layer, make_positives(24), name, make_update(), None)
    assert host_gpu.launches == []
    assert torch.equal(layer.weight, before.weight)


def test_a_code_without_a_kernel_is_refused() -> None:
    """A code that the table of kernels lacks is an error that names the macro, not another loss."""
    with added_loss("WITH_A_KERNEL_CODE") as name, pytest.raises(ValueError, match="expected LOSS in"):
        KERNELS["ffi_scores"].variant(LOSS=loss_code(name))


@pytest.mark.parametrize(("batch", "k"), [(BATCH, 5), (1, 100)])
def test_the_best_labels(host_gpu: HostGpu, batch: int, k: int) -> None:
    features_BD, layer = make(torch.float32, batch)
    assert layer.bias is not None
    # Whole numbers: full of ties.
    features_BD = features_BD.round()
    layer = layer._replace(weight=layer.weight.mul(8).round(), bias=layer.bias.round())
    labels_BN, scores_BN = topk.topk(features_BD, layer, k, FIRST_LABEL)
    expected = ffi_topk(features_BD, *layer[:3], k, FIRST_LABEL, 64)
    assert torch.equal(labels_BN, expected[0])
    assert torch.equal(scores_BN, expected[1])


@pytest.mark.parametrize("ties", [0, 7])
@pytest.mark.parametrize("num_moments", [0, 2])
def test_rewiring(host_gpu: HostGpu, ties: int, num_moments: int) -> None:
    _, layer = make(torch.bfloat16)
    bits = int(magnitude_bits(layer.weight).flatten().kthvalue(LABELS * FAN_IN // 4).values)
    settings = Rewiring(bits, ties, seed=5, number=2, first_label=FIRST_LABEL, num_features=FEATURES)
    states = []
    for on_gpu in (True, False):
        weight, index = layer.weight.clone(), layer.index.clone()
        moments = [torch.ones_like(weight) for _ in range(num_moments)]
        if on_gpu:
            replaced = rewire.rewire_(SparseLayer(weight, index), moments, settings)
        else:
            replaced = ffi_rewire_(weight, index, moments, *settings)
        states.append([replaced, weight, index, *moments])
    assert 0 < int(states[0][0]) < LABELS * FAN_IN // 3
    for tensor, expected in zip(*states, strict=True):
        assert torch.equal(tensor, expected)
