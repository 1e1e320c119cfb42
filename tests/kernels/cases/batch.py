"""Random cases for the kernels: their arguments as NumPy arrays, and the same numbers in float64.

B rows, S the stride of rows (B rounded up to a multiple of 8), D features, L labels, K fan-in, P positives,
R groups of labels that share their features.
Formats are numbered as in kernels/include/formats.cuh. Every array is surrounded by bands of 0xFF bytes,
which are NaN as floats, the feature 65,535 as an index and -1 as an int64: a kernel that reads next to an
array spoils its result, and `assert_bands` finds one that writes there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FLOAT32, BFLOAT16, FLOAT16, E4M3 = 0, 1, 2, 3
DTYPES = {
    FLOAT32: torch.float32,
    BFLOAT16: torch.bfloat16,
    FLOAT16: torch.float16,
    E4M3: torch.float8_e4m3fn,  # of 64 times the number
}
BYTES = {FLOAT32: 4, BFLOAT16: 2, FLOAT16: 2, E4M3: 1}
E4M3_SCALE = 64.0
SQUARED_HINGE, BCE = 1, 2  # LOSS
BAND, BOUNDARY = 512, 128  # bytes

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Exact:
    """A batch and a layer in float64."""

    features: Tensor  # [B, D]
    weight: Tensor  # [L, K]
    index: Tensor  # [L, K] int64
    bias: Tensor  # [L]
    target: Tensor  # [B, L], 0 and 1
    initial: Tensor | float = 0.0  # [B, L], another part of the scores

    def dense(self) -> Tensor:
        """The weights as a dense layer, [L, D]."""
        dense = torch.zeros(len(self.weight), self.features.shape[1], dtype=torch.float64)
        return dense.scatter_(1, self.index, self.weight)

    def scores(self, with_bias: bool = True) -> Tensor:
        """[B, L]."""
        return self.features @ self.dense().T + (self.bias if with_bias else 0.0) + self.initial

    def loss_and_gradient(self, loss: int, with_bias: bool = True) -> tuple[Tensor, Tensor]:
        """The loss of each score and its gradient, [B, L] both, unscaled."""
        scores, sign = self.scores(with_bias), 2.0 * self.target - 1.0
        if loss == SQUARED_HINGE:
            slack = (1.0 - sign * scores).clamp(min=0.0)
            return slack.square(), -2.0 * sign * slack
        return F.softplus(scores) - self.target * scores, torch.sigmoid(scores) - self.target


@dataclass(frozen=True)
class Case:
    """A batch and a layer as arguments of kernels; floats of 16 and 8 bits are stored as uint16 and uint8."""

    batch: int
    stride: int
    x: Array  # features_DB [D, S], zeros in the padding
    weight: Array  # [L, K]
    index: Array  # [L, K] uint16, or [R, K] with groups
    bias: Array  # [L] float32
    positive_rows: Array  # [P] int64
    positive_labels: Array  # [P] int64, ascending
    exact: Exact

    @property
    def num_labels(self) -> int:
        """L."""
        return len(self.weight)

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes by the names of the kernels' parameters, except the batch."""
        return {"stride": self.stride, "num_features": len(self.x), "fan_in": self.index.shape[1]}


def make_case(
    batch: int,
    num_labels: int,
    num_features: int,
    fan_in: int,
    weight: int = BFLOAT16,
    features: int = BFLOAT16,
    num_positives: int = 40,
    seed: int = 0,
    whole: bool = False,
    group: int = 1,
) -> Case:
    """A layer of scores near 1; its first row of indices ascends, the last row has feature D - 1.

    Each `group` labels share a row of indices. With `whole`, features are small whole numbers.
    """
    random = torch.Generator().manual_seed(seed)
    weight_LK = stored(torch.randn(num_labels, fan_in, generator=random).div(fan_in**0.5), weight)
    exact_LK = numbers_of(weight_LK, weight)
    features_BD = numbers((batch, num_features), random, whole).to(DTYPES[features])
    index_RK = distinct_indices(-(-num_labels // group), num_features, fan_in, random)
    index_LK = index_RK.repeat_interleave(group, 0)[:num_labels]
    bias_L = torch.randn(num_labels, generator=random)
    target = torch.zeros(batch, num_labels)
    target.view(-1)[torch.randint(batch * num_labels, (num_positives,), generator=random)] = 1.0
    labels_P, rows_P = target.T.nonzero(as_tuple=True)  # sorted by label, then row
    features_DB = torch.zeros(num_features, padded(batch), dtype=DTYPES[features])
    features_DB[:, :batch] = features_BD.T
    return Case(
        batch=batch,
        stride=padded(batch),
        x=to_array(features_DB),
        weight=to_array(weight_LK),
        index=banded(index_RK.numpy().astype(np.uint16)),
        bias=to_array(bias_L),
        positive_rows=to_array(rows_P),
        positive_labels=to_array(labels_P),
        exact=Exact(features_BD.double(), exact_LK, index_LK, bias_L.double(), target.double()),
    )


def distinct_indices(num_rows: int, num_features: int, fan_in: int, random: torch.Generator) -> Tensor:
    """[rows, K] int64, distinct in a row; the last row holds feature D - 1."""
    index = torch.rand(num_rows, num_features, generator=random).topk(fan_in, dim=1).indices
    index[0] = index[0].sort().values
    if not (index[-1] == num_features - 1).any():
        index[-1, 0] = num_features - 1
    return index


def make_gradient(
    case: Case, num_labels: int, seed: int = 1, scale: float = 1.0, whole: bool = False
) -> tuple[Array, Tensor]:
    """Gradients of the scores: float32 [labels, S], 0 in the padding, and the same as float64 [B, labels]."""
    random = torch.Generator().manual_seed(seed)
    gradient_LB = torch.zeros(num_labels, case.stride)
    gradient_LB[:, : case.batch] = scale * numbers((num_labels, case.batch), random, whole)
    return to_array(gradient_LB), gradient_LB[:, : case.batch].T.double()


def numbers(shape: tuple[int, int], random: torch.Generator, whole: bool) -> Tensor:
    """Normal numbers, or whole ones whose sums of products are exact in float32 in any order."""
    if whole:
        return torch.randint(-3, 4, shape, generator=random).float()
    return torch.randn(shape, generator=random)


def padded(batch: int) -> int:
    return (batch + 7) // 8 * 8


def half_of(number_format: int) -> int:
    """The format in which tensor cores multiply weights of a format of 16 bits or less."""
    return BFLOAT16 if number_format == E4M3 else number_format


def stored(numbers: Tensor, number_format: int) -> Tensor:
    """Numbers as weights of a format store them, rounded to nearest."""
    return numbers.mul(E4M3_SCALE if number_format == E4M3 else 1.0).to(DTYPES[number_format])


def numbers_of(weight: Tensor, number_format: int) -> Tensor:
    """The float64 numbers of stored weights."""
    return weight.double().div(E4M3_SCALE if number_format == E4M3 else 1.0)


def to_array(tensor: Tensor) -> Array:
    """A banded copy of a tensor, its bits as uint8 or uint16 where numpy lacks the type."""
    bits = tensor.contiguous()
    if tensor.dtype == DTYPES[E4M3]:
        bits = bits.view(torch.uint8)
    elif tensor.element_size() == 2:
        bits = bits.view(torch.uint16)
    return banded(bits.numpy())


def to_tensor(array: Array, number_format: int = FLOAT32) -> Tensor:
    """The float64 numbers of a kernel's array of that format."""
    return numbers_of(torch.from_numpy(array.copy()).view(DTYPES[number_format]), number_format)


def banded(array: Array) -> Array:
    """A copy on a 128-byte boundary, as device memory is, between bands of 0xFF bytes."""
    raw = np.full(array.nbytes + 2 * BAND + BOUNDARY, 0xFF, dtype=np.uint8)
    start = BAND + -(raw.ctypes.data + BAND) % BOUNDARY
    out = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    out[...] = array
    return out


def poisoned(shape: Sequence[int], number_format: int = FLOAT32) -> Array:
    """An output or workspace of NaN, banded."""
    filled = np.full(shape, 0xFFFFFFFF, dtype=np.uint32) if BYTES[number_format] == 4 else None
    if filled is None:
        return banded(np.full(shape, 0xFFFF, dtype=np.uint16))
    return banded(filled.view(np.float32))


def assert_bands(*arrays: Array) -> None:
    """No kernel has written next to these arrays."""
    for array in arrays:
        raw, start = array.base, array.ctypes.data
        assert raw is not None
        start -= raw.ctypes.data
        assert (raw[:start] == 0xFF).all(), "written before the start of an array"
        assert (raw[start + array.nbytes :] == 0xFF).all(), "written past the end of an array"


def error(got: Tensor, expected: Tensor) -> float:
    """Relative error of norms; NaN, for which no bound holds, if anything is NaN."""
    assert got.shape == expected.shape, f"expected {list(expected.shape)}, got {list(got.shape)}"
    norm = float(expected.norm())
    return float((got.double() - expected).norm()) / (norm if norm else 1.0)


def far(rows: Array, first: int, path: Path) -> Array:
    """An array whose rows from `first` on are these; the part before needs neither memory nor disk."""
    out = np.memmap(path, rows.dtype, "w+", shape=(first + len(rows), *rows.shape[1:]))
    out[first:] = rows
    return out
