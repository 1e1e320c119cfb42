"""A step of the package on a host GPU that counts what its kernels execute.

B rows, D features, L labels, K fan-in.
"""

import ctypes
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from tests.kernels.host.gpu import HostGpu, install
from tests.kernels.host.kernel import Macros
from tests.kernels.ptx.kernel import build_from_ptx
from tests.kernels.ptx.nvrtc import ARCHITECTURE, ptx_of
from tests.kernels.ptx.parse import Entry, parse
from xmcpipe.ops.cuda import pass_geometry, step
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.nvrtc.source import text_of
from xmcpipe.ops.nvrtc.variant import Variant


@dataclass(frozen=True)
class Shape:
    """The sizes of a step; weights and features are bfloat16, without momentum."""

    labels: int
    fan_in: int
    rows: int
    features: int = 768
    clusters: bool = False  # whether clusters of blocks may take it
    warpgroups: bool = False  # whether products of warpgroups do


@dataclass
class Counts:
    """What the launches of a variant executed, by PTX instruction: array 0 is the start, i + 1 instruction i.

    `executed` by warps, `wavefronts` of shared memory, `sectors` of 32 bytes of global memory.
    """

    entry: Entry
    executed: np.ndarray[Any, Any]
    wavefronts: np.ndarray[Any, Any]
    sectors: np.ndarray[Any, Any]
    shared_bytes: int  # dynamic, of a block
    blocks: int


@dataclass
class CountingGpu(HostGpu):
    """A GPU that runs one block, or one cluster, at a time along the labels; `counts` are of its launches."""

    multiprocessors: int = 1
    counts: dict[Variant, Counts] = field(default_factory=dict)

    def occupancy(self, _: Variant, __: int, ___: int, ____: int) -> int:
        """One block: its work is that of one block of a full grid."""
        return 1

    def launch(
        self, kernel: Variant, _: None, grid: tuple[int, int, int], block: int, shared: int, addresses: int
    ) -> None:
        """Run all blocks, and count what they execute."""
        entry = entry_of(kernel)
        library = ctypes.CDLL(str(build_from_ptx(kernel.kernel.entry, kernel.macros, counted=True)))
        sizes = (ctypes.c_int * 7)(*grid, block, shared, self.order, kernel.cluster)
        count = library.host_run(sizes, ctypes.c_void_p(addresses))
        library.host_failure.restype = ctypes.c_char_p
        assert count == len(entry.parameters), library.host_failure()
        places = np.zeros((len(entry.instructions) + 1, 3), dtype=np.uint64)
        library.host_counts(len(places), ctypes.c_void_p(places.ctypes.data))
        executed, wavefronts, sectors = places.T.astype(np.float64)
        assert kernel not in self.counts, f"{kernel.kernel.entry} was launched twice"
        self.counts[kernel] = Counts(entry, executed, wavefronts, sectors, shared, math.prod(grid))


def entry_of(variant: Variant) -> Entry:
    """The PTX of a variant, as it is run."""
    kernel = variant.kernel
    macros: Macros = variant.macros
    target = kernel.target(ARCHITECTURE)
    return parse(ptx_of(text_of(kernel.source), kernel.source, macros, target), kernel.entry)


def step_counts(shape: Shape, labels: int) -> dict[Variant, Counts]:
    """What a step of so many labels executes, in one chunk, by one block along the labels."""
    random = torch.Generator().manual_seed(0)
    features_BD = torch.randn(shape.rows, shape.features, generator=random).bfloat16()
    keys = torch.rand(labels, shape.features, generator=random)
    index_LK = keys.topk(shape.fan_in, dim=1).indices.to(torch.int32).to(torch.uint16)
    weight_LK = torch.randn(labels, shape.fan_in, generator=random).bfloat16()
    rows_P = torch.arange(8) % shape.rows
    positives = Positives(rows_P, torch.arange(8) * (labels // 8))
    scale, rate, number = torch.tensor(1.0 / shape.rows), torch.tensor(0.05), torch.tensor(1)
    update = Update(scale, rate, number, 1e-4, 0.0, seed=1, first_label=0, label_chunk=1 << 20)
    layer = SparseLayer(weight_LK, index_LK, torch.zeros(labels))
    with pytest.MonkeyPatch.context() as patch:
        gpu = CountingGpu()
        install(patch, gpu)
        patch.setattr(pass_geometry, "CLUSTERS", shape.clusters)
        patch.setattr(pass_geometry, "WARPGROUPS", shape.warpgroups)
        step.step_(features_BD, layer, positives, "bce", update, None)
    return gpu.counts
