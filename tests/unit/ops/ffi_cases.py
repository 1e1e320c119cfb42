"""Layers for the operators' tests, and the choice of the implementation that runs on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from hypothesis import strategies as st
from torch import Tensor

from xmcpipe.ops import dispatch
from xmcpipe.ops.topology import initial_index

FLOATS = [torch.float32, torch.bfloat16, torch.float16]
IMPLEMENTATIONS = ["kernel", "tiles"]

Layer = tuple[Tensor, Tensor, Tensor, Tensor]  # features [B, D], weight, index [L, K], gradient [B, L]
Shape = tuple[int, tuple[int, int]]  # B, (D, K)

# Batches on both sides of the width of a panel, single and several; K up to D. The edges of slices of labels
# and of tiles have tests of their own.
SHAPES = st.tuples(
    st.integers(1, 140), st.integers(1, 50).flatmap(lambda d: st.tuples(st.just(d), st.integers(1, d)))
)


@contextmanager
def implementation(name: str) -> Iterator[None]:
    """On a CPU, run numba's kernels ("kernel") for any D and K, or torch's tiles ("tiles")."""
    with (
        mock.patch.object(dispatch, "MIN_FEATURES_PER_CONNECTION", 1),
        mock.patch.object(dispatch, "MIN_FEATURES_OF_GROUPS", 1),
        mock.patch.object(dispatch, "numba_installed", return_value=name == "kernel"),
    ):
        yield


def make(
    num_rows: int,
    num_features: int,
    num_labels: int,
    fan_in: int,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    seed: int = 0,
) -> Layer:
    """Features, weight, index, and a gradient of the scores, of which a part is 0."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(num_rows, num_features, generator=draw).to(dtype)
    weight = torch.randn(num_labels, fan_in, generator=draw).to(dtype)
    grad = torch.randn(num_rows, num_labels, generator=draw).clamp(min=-0.5).to(dtype)
    index = initial_index(seed, torch.arange(num_labels), num_features, fan_in)
    return features.to(device), weight.to(device), index.to(device), grad.to(device)


def poison() -> None:
    """Leave NaN in the memory that the allocator returns next, so that unwritten values show."""
    for size in (1 << 4, 1 << 8, 1 << 12, 1 << 16, 1 << 20):
        blocks = [torch.full((size,), torch.nan) for _ in range(4)]
        del blocks
