"""Layers to try the operators on, and the choice of the implementation that runs on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from hypothesis import strategies as st

from xmcpipe.ops import dispatch
from xmcpipe.ops.topology import initial_index

FLOATS = [torch.float32, torch.bfloat16, torch.float16]
IMPLEMENTATIONS = ["kernel", "tiles"]

# Batches on both sides of the width of a panel, single and several; K up to D; slices of labels and tiles are
# straddled by tests of their own.
SHAPES = st.tuples(
    st.integers(1, 140), st.integers(1, 50).flatmap(lambda d: st.tuples(st.just(d), st.integers(1, d)))
)


@contextmanager
def implementation(name: str) -> Iterator[None]:
    """On a CPU, run numba's kernels ("kernel") for any D and K, or torch's tiles ("tiles")."""
    with (
        mock.patch.object(dispatch, "MIN_FEATURES_PER_CONNECTION", 1),
        mock.patch.object(dispatch, "_numba_installed", return_value=name == "kernel"),
    ):
        yield


def make(num_rows, num_features, num_labels, fan_in, dtype=torch.float64, device="cpu", seed=0):
    """Features, weight, index, and a gradient of the scores, of which a part is 0."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(num_rows, num_features, generator=draw).to(dtype)
    weight = torch.randn(num_labels, fan_in, generator=draw).to(dtype)
    grad = torch.randn(num_rows, num_labels, generator=draw).clamp(min=-0.5).to(dtype)
    index = initial_index(seed, torch.arange(num_labels), num_features, fan_in)
    return tuple(tensor.to(device) for tensor in (features, weight, index, grad))


def poison() -> None:
    """Leave NaN in the memory that the allocator hands out next, so that what is not written shows."""
    for size in (1 << 4, 1 << 8, 1 << 12, 1 << 16, 1 << 20):
        blocks = [torch.full((size,), torch.nan) for _ in range(4)]
        del blocks
