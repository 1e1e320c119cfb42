"""The CUDA side of the ops on the host, from tensors to kernels and back, beside the CPU's own ops.

The kernels' arithmetic has tests of its own; this is about what calls them: how they are cut and specialised,
the order of their arguments, grids and workspaces. Few shapes, since g++ compiles each variant.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernels.host.gpu import HostGpu, install
from xmcpipe.ops import reference as ffi_reference
from xmcpipe.ops.cuda import ffi as ffi_cuda
from xmcpipe.ops.cuda import rewire as rewire_cuda
from xmcpipe.ops.cuda import step as step_cuda
from xmcpipe.ops.cuda import step_chunks as step_chunks_cuda
from xmcpipe.ops.cuda import step_pass as step_pass_cuda
from xmcpipe.ops.cuda import topk as topk_cuda
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES
from xmcpipe.ops.rewire import ffi_rewire_, magnitude_bits
from xmcpipe.ops.step_torch import Update
from xmcpipe.ops.step_torch import step_ as torch_step_
from xmcpipe.ops.topk import ffi_topk

BATCH, FEATURES, LABELS, FAN_IN = 70, 48, 300, 16  # two blocks of rows, the second one padded
FIRST_LABEL = 2**33 + 5
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
WIDE = 4200  # features: no eight rows of them fit 64 KB


def layer(
    dtype: torch.dtype, batch: int = BATCH, num_features: int = FEATURES
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, weights, index, bias."""
    random = torch.Generator().manual_seed(7)
    features_BD = torch.randn(batch, num_features, generator=random).to(dtype)
    weight_LK = (torch.randn(LABELS, FAN_IN, generator=random) / 4).to(dtype)
    chosen = torch.rand(LABELS, num_features, generator=random).argsort(1)[:, :FAN_IN]
    return features_BD, weight_LK, chosen.to(torch.uint16), torch.randn(LABELS, generator=random)


def positives(batch: int = BATCH) -> tuple[Tensor, Tensor]:
    """(rows, labels), by label."""
    chosen = torch.rand(LABELS, batch, generator=torch.Generator().manual_seed(8)) < 0.03
    labels_P, rows_P = chosen.nonzero(as_tuple=True)
    return rows_P, labels_P


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
    features_BD, weight_LK, index_LK, _ = layer(dtype, num_features=num_features)
    exact = (features_BD.double(), weight_LK.double(), index_LK)
    scores_BL = torch.full((len(features_BD), LABELS), torch.nan)
    ffi_cuda.scores(features_BD, weight_LK, index_LK, scores_BL)
    torch.testing.assert_close(scores_BL.double(), ffi_reference.ffi_scores(*exact), rtol=1e-5, atol=1e-5)
    grad_BL = scores_BL / 10
    grad_features, grad_weight = ffi_reference.ffi_backward(grad_BL.double(), *exact)
    found = torch.full(features_BD.shape, torch.nan)
    ffi_cuda.grad_features(grad_BL, weight_LK, index_LK, found)
    torch.testing.assert_close(found.double(), grad_features, rtol=1e-4, atol=1e-3)
    found = torch.full(index_LK.shape, torch.nan)
    ffi_cuda.grad_weight(grad_BL, features_BD, index_LK, found)
    torch.testing.assert_close(found.double(), grad_weight, rtol=1e-4, atol=1e-4)
    kinds = {dict(variant.macros).get("SHARED") for variant, _ in gpu.launches} - {None}
    assert kinds == {int(architecture == "sm_90")}


def both_steps(
    dtype: torch.dtype, batch: int, momentum_dtype: torch.dtype | None, loss: str
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Loss, dX, bias, weights, momentum after a step of the kernels and of torch; and the weights before."""
    features_BD, *start = layer(dtype, batch)
    momentum_LK = None if momentum_dtype is None else torch.randn(LABELS, FAN_IN).to(momentum_dtype)
    scale, rate, step = torch.tensor(0.5), torch.tensor(0.02), torch.tensor(3)
    update = Update(scale, rate, step, 1e-3, 0.9 if momentum_dtype else 0.0, 11, FIRST_LABEL, 128)
    found: list[Tensor] = []
    wanted: list[Tensor] = []
    for run, results in ((step_cuda.step_, found), (torch_step_, wanted)):
        weight_LK, index_LK, bias_L = (tensor.clone() for tensor in start)
        momentum = None if momentum_LK is None else momentum_LK.clone()
        loss_sum, grad = run(
            features_BD, weight_LK, index_LK, bias_L, momentum, positives(batch), loss, update
        )
        assert torch.equal(index_LK, start[1])
        results += [loss_sum, grad, bias_L, weight_LK, *([] if momentum is None else [momentum])]
    assert [mine.dtype for mine in found] == [theirs.dtype for theirs in wanted]
    return found, wanted, start[0]


def launched(gpu: HostGpu) -> set[str]:
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
    found, wanted, before = both_steps(dtype, batch, momentum_dtype, loss)
    assert launched(gpu) == CHUNKS
    for mine, theirs in zip(found, wanted, strict=True):
        # A sum in another order may be rounded to the other neighbour.
        limit = TOLERANCES[mine.dtype]
        torch.testing.assert_close(mine.float(), theirs.float(), rtol=limit, atol=10 * limit)
    assert (found[3] == wanted[3]).float().mean() > (0.97 if dtype == torch.bfloat16 else 0.0)
    assert not torch.equal(found[3], before)


@pytest.mark.parametrize(("batch", "momentum_dtype"), [(24, None), (64, torch.bfloat16)])
def test_a_step_in_one_pass(host_gpu: HostGpu, batch: int, momentum_dtype: torch.dtype | None) -> None:
    """Its gradients of scores are rounded to bfloat16, at random."""
    found, wanted, before = both_steps(torch.bfloat16, batch, momentum_dtype, "bce")
    assert launched(host_gpu) == {"ffi_step", "ffi_step_sum"}
    loss, grad, bias = zip(found[:3], wanted[:3], strict=True)
    torch.testing.assert_close(*loss, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(*bias, rtol=1e-5, atol=1e-6)
    assert float((grad[0] - grad[1]).norm() / grad[1].norm()) < 2.0**-8
    assert (found[3] == wanted[3]).float().mean() > 0.8  # the others are neighbours
    for mine, theirs in zip(found[3:], wanted[3:], strict=True):
        # A momentum near 0 is the difference of sums of gradients of 10, each right to 2^-8.
        torch.testing.assert_close(mine.float(), theirs.float(), rtol=2e-2, atol=5e-2)
    assert not torch.equal(found[3], before)


@pytest.mark.parametrize(
    ("num_features", "fan_in", "batch", "shared", "one_pass"),
    [
        (768, 64, 64, ARCHITECTURES["sm_90"], True),
        (768, 56, 64, ARCHITECTURES["sm_90"], False),  # so few connections are gathered sooner
        (768, 128, 65, ARCHITECTURES["sm_90"], False),
        (776, 128, 64, ARCHITECTURES["sm_90"], False),
        (768, 128, 64, ARCHITECTURES["sm_86"], False),  # x alone would fill it
        (384, 128, 64, ARCHITECTURES["sm_86"], True),
    ],
)
def test_which_design_takes_a_layer(
    monkeypatch: pytest.MonkeyPatch, num_features: int, fan_in: int, batch: int, shared: int, one_pass: bool
) -> None:
    chosen: list[str] = []
    for design in (step_pass_cuda, step_chunks_cuda):
        monkeypatch.setattr(design, "step_", lambda *_, name=design.__name__: chosen.append(name))
    install(monkeypatch, HostGpu(shared=shared))
    features_BD = torch.zeros(batch, num_features, dtype=torch.bfloat16)
    weight_LK = torch.zeros(9, fan_in, dtype=torch.bfloat16)
    rest: tuple[Any, ...] = (weight_LK.to(torch.uint16), None, None, positives(), "bce", None)
    step_cuda.step_(features_BD, weight_LK, *rest)
    assert chosen == [(step_pass_cuda if one_pass else step_chunks_cuda).__name__]
    step_cuda.step_(features_BD.float(), weight_LK, *rest)  # float32 features aren't rounded
    assert chosen[1] == step_chunks_cuda.__name__


@pytest.mark.parametrize(("batch", "k"), [(BATCH, 5), (1, 100)])
def test_the_best_labels(host_gpu: HostGpu, batch: int, k: int) -> None:
    features_BD, weight_LK, index_LK, bias_L = layer(torch.float32, batch)
    # Whole numbers: full of ties.
    features_BD, weight_LK, bias_L = features_BD.round(), weight_LK.mul(8).round(), bias_L.round()
    labels_BN, scores_BN = topk_cuda.topk(features_BD, weight_LK, index_LK, bias_L, k, FIRST_LABEL)
    wanted = ffi_topk(features_BD, weight_LK, index_LK, bias_L, k, FIRST_LABEL, 64)
    assert torch.equal(labels_BN, wanted[0])
    assert torch.equal(scores_BN, wanted[1])


@pytest.mark.parametrize("ties", [0, 7])
@pytest.mark.parametrize("num_moments", [0, 2])
def test_rewiring(host_gpu: HostGpu, ties: int, num_moments: int) -> None:
    _, weight_LK, index_LK, _ = layer(torch.bfloat16)
    bits = int(magnitude_bits(weight_LK).flatten().kthvalue(LABELS * FAN_IN // 4).values)
    states = []
    for run in (rewire_cuda.rewire_, ffi_rewire_):
        weight, index = weight_LK.clone(), index_LK.clone()
        moments = [torch.ones_like(weight) for _ in range(num_moments)]
        replaced = run(weight, index, moments, bits, ties, 5, 2, FIRST_LABEL, FEATURES)
        states.append([replaced, weight, index, *moments])
    assert 0 < int(states[0][0]) < LABELS * FAN_IN // 3
    for mine, theirs in zip(*states, strict=True):
        assert torch.equal(mine, theirs)
