"""Layers, positives and steps of the tests that run on a device, and the error of a result."""

import torch
from torch import Tensor

from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.step import step_
from xmcpipe.ops.word_layer import Words

FORMATS = [torch.float32, torch.bfloat16, torch.float16]
DISTINCT_ROWS = 4096  # of an index: more would take long to draw


def draw_layer(
    batch: int,
    labels: int,
    fan_in: int,
    features: int,
    dtype: torch.dtype,
    device: str,
    group: int = 1,
    seed: int = 0,
) -> tuple[Tensor, SparseLayer]:
    """Features [B, D], and a layer without bias, drawn on the device."""
    draw = torch.Generator(device).manual_seed(seed)
    features_BD = torch.randn(batch, features, generator=draw, device=device).to(dtype)
    weight_LK = (0.1 * torch.randn(labels, fan_in, generator=draw, device=device)).to(dtype)
    rows = -(-labels // group)
    keys = torch.rand(min(rows, DISTINCT_ROWS), features, generator=draw, device=device)
    index = keys.argsort(1)[:, :fan_in].to(torch.int32).to(torch.uint16)
    index_RK = index.repeat(-(-rows // len(index)), 1)[:rows].contiguous()
    return features_BD, SparseLayer(weight_LK, index_RK, group=group)


def make_positives(batch: int, labels: int, count: int, device: str = "cuda") -> Positives:
    """Distinct (row, label) pairs sorted by label."""
    pairs = torch.randperm(batch * labels, generator=torch.Generator().manual_seed(1))[:count].sort().values
    return Positives((pairs % batch).to(device), (pairs // batch).to(device))


def an_update(batch: int, device: torch.device | str, step: int = 3, chunk: int = 4096) -> Update:
    """Plain SGD for the mean over the rows, with a rate of 0.5."""
    scale, rate = torch.tensor([1.0 / batch, 0.5], device=device)
    number = torch.tensor(step, device=device)
    return Update(scale, rate, number, 1e-4, 0.0, seed=7, first_label=0, label_chunk=chunk)


def run_step(
    features_BD: Tensor,
    layer: SparseLayer,
    positives: Positives,
    step: int = 3,
    chunk: int = 4096,
    words: Words = None,
) -> tuple[Tensor, Tensor]:
    """One training step in place: BCE, mean over the rows."""
    update = an_update(len(features_BD), features_BD.device, step, chunk)
    return step_(features_BD, layer, positives, "bce", update, words)


def error(value: Tensor, expected: Tensor) -> float:
    """Relative error of norms, in float64 on the CPU."""
    value, expected = value.double().cpu(), expected.double().cpu()
    return float((value - expected).norm() / expected.norm())
