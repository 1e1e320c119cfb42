"""The memory layout of a batch for the numba kernels; `ops/cpu/ffi.py` explains it.

B rows, D features, P panels, W rows of a panel.
"""

import torch
from torch import Tensor

from xmcpipe.ops.cpu.arrays import Features, Width, array
from xmcpipe.ops.cpu.simd.vectors import LANES
from xmcpipe.ops.cpu.threads import SLICES, slices

PARTIAL_BYTES = 128 << 20  # limit of all partial dX together


class Panels:
    """The layout of a batch of B rows: P panels of W rows, [P, D, W], the last padded with zeros.

    W is 64 or 32, whichever needs less padding.
    """

    def __init__(self, num_rows: int, num_features: int) -> None:
        self.num_rows, self.num_features = num_rows, num_features
        # Panels of 64 rows, unless an odd number of 32 rows would leave half of the last one empty.
        half_panels = -(-num_rows // (2 * LANES))
        self.width: Width = (0,) * (4 if half_panels % 2 == 0 else 2)
        self.lanes = LANES * len(self.width)
        self.number = -(-num_rows // self.lanes)

    @property
    def padded_rows(self) -> int:
        """B with the padding: P * W."""
        return self.number * self.lanes

    def of(self, rows_BD: Tensor) -> Features:
        """Rows [B, D] of any float dtype as flat panels: float32, or bits uint16 of bfloat16."""
        dtype = rows_BD.dtype if rows_BD.dtype == torch.bfloat16 else torch.float32
        padded = rows_BD.new_zeros(self.padded_rows, self.num_features, dtype=dtype)
        padded[: self.num_rows] = rows_BD
        if dtype == torch.bfloat16:
            # `simd.load` reads even places, then odd ones: interleave the halves of each panel for it.
            padded = padded.view(self.number, 2, -1, self.num_features).transpose(1, 2)
        panels_PDW = padded.reshape(self.number, self.lanes, self.num_features).transpose(1, 2)
        return array(panels_PDW.reshape(-1))

    def partials(self, num_labels: int, group: int = 1) -> tuple[list[tuple[int, int]], Tensor]:
        """Slices of whole groups of labels, and zeros for the partial dX of each: [slices, P * D * W].

        The number of slices is limited so that the partial sums stay below PARTIAL_BYTES.
        """
        size = self.padded_rows * self.num_features
        parts = slices(num_labels, min(SLICES, max(1, PARTIAL_BYTES // (4 * size))), group)
        return parts, torch.zeros(len(parts), size)

    def total(self, partials: Tensor) -> Tensor:
        """The rows [B, D] of the sum of the partial panels, added slice by slice in order."""
        sums = partials[0]
        for partial in partials[1:]:
            sums += partial
        panels_PWD = sums.view(self.number, self.num_features, self.lanes).transpose(1, 2)
        return panels_PWD.reshape(-1, self.num_features)[: self.num_rows].contiguous()
