"""Weights of 8 bits on a GPU: the products against float64, steps and the best labels against the CPU's."""

import pytest
import torch
from torch import Tensor

from tests.kernels.cases.device import draw_layer, error, make_positives, run_step
from xmcpipe.ops import reference
from xmcpipe.ops.ffi import ffi_grad_features, ffi_scores
from xmcpipe.ops.layer import Positives, SparseLayer
from xmcpipe.ops.rounding import FLOAT8, decoded, encoded
from xmcpipe.ops.topk import ffi_topk

pytestmark = pytest.mark.gpu

DEVICE = "cuda"
over_groups = pytest.mark.parametrize("group", [1, 8, 16, 64])


def draw(batch: int, labels: int, fan_in: int, group: int) -> tuple[Tensor, SparseLayer]:
    """Features of bfloat16 and a layer of 8 bits, on the device."""
    features, layer = draw_layer(batch, labels, fan_in, 384, torch.bfloat16, DEVICE, group)
    return features, layer._replace(weight=encoded(layer.weight, FLOAT8))


def test_every_code_is_decoded() -> None:
    """Score [b, l] is weight [l, b]; the labels of NaN have nothing else."""
    codes = torch.arange(256, dtype=torch.uint8)
    codes[[127, 255]] = 0
    weight = torch.cat([codes.view(16, 16), torch.full((1, 16), 127, dtype=torch.uint8)]).view(FLOAT8)
    features = torch.eye(16, dtype=torch.bfloat16, device=DEVICE)
    for group in (1, 8):
        index = torch.arange(16).repeat(-(-17 // group), 1).to(torch.uint16)
        scores = ffi_scores(features, weight.to(DEVICE), index.to(DEVICE), group).cpu()
        assert torch.equal(scores[:, :16].T, decoded(weight)[:16])
        assert scores[:, 16].isnan().all()


@over_groups
@pytest.mark.parametrize("batch", [1, 64, 200])
def test_products_equal_float64(group: int, batch: int) -> None:
    features, layer = draw(batch, 1003, 64, group)
    exact = features.cpu().double(), decoded(layer.weight).cpu().double(), layer.index.cpu()
    grad = torch.randn(batch, 1003, generator=torch.Generator().manual_seed(0))
    grad_features, _ = reference.ffi_backward(grad.double(), *exact, group)
    scores = ffi_scores(features, layer.weight, layer.index, group)
    assert error(scores, reference.ffi_scores(*exact, group)) < 1e-5
    out = ffi_grad_features(grad.to(DEVICE), layer.weight, layer.index, 384, group)
    assert error(out, grad_features) < 1e-4


@over_groups
@pytest.mark.parametrize("batch", [48, 130])  # in one pass, and by chunks
def test_the_step_is_that_of_the_cpu(group: int, batch: int) -> None:
    positives = make_positives(batch, 2009, 200, DEVICE)
    features, layer = draw(batch, 2009, 64, group)
    host = SparseLayer(layer.weight.cpu().clone(), layer.index.cpu(), group=group)
    before = host.weight.view(torch.uint8).clone()
    loss, grad = run_step(features, layer, positives)
    host_loss, host_grad = run_step(features.cpu(), host, Positives(*(each.cpu() for each in positives)))
    assert error(loss, host_loss) < 1e-5
    assert error(grad, host_grad) < 5e-3
    codes, host_codes = (each.weight.cpu().view(torch.uint8) for each in (layer, host))
    assert (codes != before).float().mean() > 0.01, "the weights must have changed"
    # The same random bits round both, so that most are equal, and the others neighbours.
    assert (codes != host_codes).float().mean() < 0.1
    assert error(decoded(layer.weight), decoded(host.weight)) < 3e-2


@over_groups
@pytest.mark.parametrize(("batch", "k"), [(64, 5), (1, 100)])
def test_the_best_labels_are_those_of_the_cpu(group: int, batch: int, k: int) -> None:
    """Features and weights are whole numbers, so that scores are exact and full of ties."""
    features, layer = draw(batch, 2003, 64, group)
    features, weight = features.round(), encoded((10 * decoded(layer.weight)).round(), FLOAT8)
    best = ffi_topk(features, weight, layer.index, None, k, 0, 512, group)
    host = ffi_topk(features.cpu(), weight.cpu(), layer.index.cpu(), None, k, 0, 512, group)
    assert all(torch.equal(ours.cpu(), theirs) for ours, theirs in zip(best, host, strict=True))
