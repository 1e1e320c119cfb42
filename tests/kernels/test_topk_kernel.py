"""The text of kernels/ffi_topk.cu on the host: the k best labels by (-score, label), against a sort of all
scores.

Scores of small whole numbers are exact in any format and any order, and full of ties; those of random numbers
must be bit for bit what ffi_scores gives, however the labels are cut into blocks.

B rows, D features, L labels, K fan-in, k best, N parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.kernels.cases.batch import (
    DTYPES,
    FLOAT16,
    FLOAT32,
    Array,
    assert_bands,
    banded,
    distinct_indices,
    far,
    padded,
    poisoned,
    stored,
    to_array,
)
from tests.kernels.cases.gather import GatherVariant
from tests.kernels.host.kernel import HostKernel
from xmcpipe.ops.rounding import decoded

ORDERS = 3  # of the lanes
FIRST_LABEL = 2**33 + 5


@dataclass(frozen=True)
class Variant(GatherVariant):
    """A specialisation of the kernel."""

    one_row: int = 0
    room: int = 32
    """The macro ROOM: keys of a row's list beyond those of one tile."""

    @property
    def rows(self) -> int:
        return 1 if self.one_row else super().rows


VARIANTS = [
    Variant(),
    Variant(group=4, shared=0, weight=FLOAT32, feature=FLOAT32, room=64),
    Variant(group=2, weight=FLOAT16, feature=FLOAT32, room=128),
    Variant(group=1, weight=FLOAT32, feature=FLOAT16, room=128),
    Variant(group=1, one_row=1, room=128),
    Variant(group=1, one_row=1, shared=0, weight=FLOAT16, feature=FLOAT16, room=96),
]


@dataclass(frozen=True)
class Layer:
    """A batch and a layer, as tensors and as arguments of the kernel."""

    features: Tensor  # [B, D]
    weight: Tensor  # [L, K]
    index: Tensor  # [L, K] int64
    bias: Tensor | None  # float32 [L]

    def arrays(self) -> dict[str, Array]:
        """The features, by the name of the kernels' parameter, and `label_arrays`."""
        features_DB = self.features.new_zeros(self.features.shape[1], padded(len(self.features)))
        features_DB[:, : len(self.features)] = self.features.T
        return {"features_DB": to_array(features_DB), **self.label_arrays()}

    def label_arrays(self) -> dict[str, Array]:
        """The arrays with one row per label, by the names of the kernels' parameters."""
        index = banded(self.index.numpy().astype(np.uint16))
        bias = {} if self.bias is None else {"bias_L": to_array(self.bias)}
        return {"weight_LK": to_array(self.weight), "index_LK": index, **bias}

    def sizes(self) -> dict[str, int]:
        """The sizes by the names of the kernels' parameters."""
        batch, num_features = self.features.shape
        fan_in = self.weight.shape[1]
        return {"batch": batch, "stride": padded(batch), "num_features": num_features, "fan_in": fan_in}

    def scores(self) -> Tensor:
        """float64 [B, L]."""
        dense = torch.zeros(len(self.weight), self.features.shape[1], dtype=torch.float64)
        dense.scatter_(1, self.index, decoded(self.weight).double())
        return self.features.double() @ dense.T + (0.0 if self.bias is None else self.bias)


def make_layer(
    batch: int, labels: int, variant: Variant, seed: int, features: int = 40, fan_in: int = 16
) -> Layer:
    """Small whole numbers, also in the bias, and each label about twice."""
    random = torch.Generator().manual_seed(seed)
    features_BD = torch.randint(-1, 2, (batch, features), generator=random).to(DTYPES[variant.feature])
    weight_LK = stored(torch.randint(-1, 2, (labels, fan_in), generator=random), variant.weight)
    index_LK = distinct_indices(labels, features, fan_in, random)
    bias_L = torch.randint(-1, 2, (labels,), generator=random).float()
    repeated = torch.randint(labels, (labels,), generator=random)
    return Layer(features_BD, weight_LK[repeated], index_LK[repeated], bias_L[repeated])


# Long: two launches, with a line for each argument.
def top(
    layer: Layer,
    variant: Variant,
    k: int,
    blocks: int = 2,
    order: int = 0,
    begin: int = 0,
    end: int | None = None,
    arrays: Mapping[str, Array] | None = None,
) -> tuple[Tensor, Tensor]:
    """Labels and scores of the kernel and its merge, [B, k]; `arrays` in place of the layer's own."""
    batch, num_features = layer.features.shape
    end, capacity = len(layer.weight) if end is None else end, variant.tile + variant.room
    macros = variant.gather_macros | {"ONE_ROW": variant.one_row, "ROOM": variant.room}
    keys = banded(np.full((blocks, batch, capacity), -1, dtype=np.int64))
    labels, scores = banded(np.full((batch, k), -1, dtype=np.int64)), poisoned((batch, k))
    HostKernel("ffi_topk", macros)(
        (blocks, -(-batch // variant.rows)),
        variant.shared_bytes(num_features),
        order,
        keys_PBC=keys,
        begin=begin,
        end=end,
        num_best=k,
        **(arrays or layer.arrays()),
        **layer.sizes(),
    )
    HostKernel("ffi_topk_merge", {})(
        (batch,),
        0,
        order,
        keys_PBC=keys,
        labels_BN=labels,
        scores_BN=scores,
        first_label=FIRST_LABEL,
        parts=blocks,
        batch=batch,
        capacity=capacity,
        num_best=k,
    )
    assert_bands(keys, labels, scores)
    return torch.from_numpy(labels.copy()) - FIRST_LABEL, torch.from_numpy(scores.copy())


def sorted_best(scores_BL: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The first k by (-score, label) of all scores."""
    scores, labels = (scores_BL + 0.0).sort(dim=1, descending=True, stable=True)
    return labels[:, :k], scores[:, :k].float()


def assert_same(best: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    """The same labels, and scores of the same bits."""
    assert torch.equal(best[0], expected[0])
    assert torch.equal(best[1].view(torch.int32), expected[1].view(torch.int32))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_ties_go_to_the_lower_label(variant: Variant, edge: int) -> None:
    layer = make_layer(max(variant.rows + edge, 1), max(2 * variant.tile + edge, 300), variant, seed=edge + 1)
    k = variant.room + min(edge, 0)
    assert_same(top(layer, variant, k, order=edge + 1), sorted_best(layer.scores(), k))


@pytest.mark.parametrize("batch", [1, 7, 9, 70])
@pytest.mark.parametrize("k", [1, 5, 100])
def test_any_batch_and_k(batch: int, k: int) -> None:
    variant = VARIANTS[2]
    layer = make_layer(batch, 400, variant, seed=batch)
    assert_same(top(layer, variant, k, blocks=3), sorted_best(layer.scores(), k))


@pytest.mark.parametrize("labels", [1, 31, 32, 33, 64, 65])
def test_few_labels_and_idle_blocks(labels: int) -> None:
    layer, k = make_layer(3, labels, Variant(), seed=labels), min(labels, 32)
    assert_same(top(layer, Variant(), k, blocks=5), sorted_best(layer.scores(), k))


def test_random_scores_have_the_bits_of_ffi_scores_in_any_cut_and_order() -> None:
    random = torch.Generator().manual_seed(3)
    weight_LK = torch.randn(1500, 24, generator=random).bfloat16()
    features_BD = torch.randn(11, 50, generator=random).bfloat16()
    layer = Layer(features_BD, weight_LK, distinct_indices(1500, 50, 24, random), None)
    out = poisoned((11, 1500))
    HostKernel("ffi_scores", Variant().gather_macros | {"LOSS": 0})(
        (3, 1),
        Variant().shared_bytes(50),
        out=out,
        num_positives=0,
        begin=0,
        end=1500,
        **layer.arrays(),
        **layer.sizes(),
    )
    assert torch.allclose(torch.from_numpy(out).double(), layer.scores(), atol=1e-4)
    expected = sorted_best(torch.from_numpy(out), 30)
    for order, blocks in enumerate([1, 4, 47][:ORDERS]):
        assert_same(top(layer, Variant(), 30, blocks, order), expected)
    for row in range(2):  # a document alone
        alone = Layer(features_BD[row : row + 1], weight_LK, layer.index, None)
        assert_same(top(alone, VARIANTS[4], 30), (expected[0][row : row + 1], expected[1][row : row + 1]))


def test_rising_scores_cut_the_list_at_every_tile() -> None:
    layer = make_layer(9, 500, Variant(), seed=4)
    assert layer.bias is not None
    layer.bias.copy_(torch.arange(500) * 100.0)
    assert_same(top(layer, Variant(), 32, blocks=1), sorted_best(layer.scores(), 32))


def test_the_merge_cuts_too() -> None:
    layer, variant = make_layer(2, 3000, VARIANTS[3], seed=5), VARIANTS[3]
    assert layer.bias is not None
    layer.bias.copy_(torch.arange(3000) * 50.0)  # blocks' lists get better from part to part
    assert_same(top(layer, variant, 128, blocks=12), sorted_best(layer.scores(), 128))


def test_a_range_of_labels() -> None:
    layer = make_layer(5, 300, Variant(), seed=6)
    labels, scores = sorted_best(layer.scores()[:, 40:250], 10)
    assert_same(top(layer, Variant(), 10, begin=40, end=250), (labels + 40, scores))


def test_both_zeros_are_equal_and_nan_comes_last() -> None:
    layer = make_layer(2, 40, Variant(), seed=7)
    layer.features.zero_()  # scores are the bias
    bias = torch.tensor([0.0, -0.0, torch.nan, -torch.inf, torch.inf, -1e-45, 1e-45, -torch.nan] * 5)
    layer = Layer(layer.features.float(), layer.weight.float(), layer.index, bias)
    labels, scores = top(layer, VARIANTS[1], 40)
    order = [[4], [6], [0, 1], [5], [3], [2, 7]]
    expected = [
        label for same in order for label in sorted(value + 8 * i for value in same for i in range(5))
    ]
    assert labels.tolist() == [expected] * 2
    assert torch.equal(scores[:, :30].view(torch.int32), (bias[labels[:, :30]] + 0.0).view(torch.int32))
    assert scores[:, 30:].isnan().all()


def test_offsets_past_two_to_the_31(tmp_path: Path) -> None:
    layer, first = make_layer(3, 70, Variant(), seed=8), 2**31 // 16
    distant = {name: far(array, first, tmp_path / name) for name, array in layer.label_arrays().items()}
    arrays = {**layer.arrays(), **distant}
    labels, scores = top(layer, Variant(), 20, begin=first, end=first + 70, arrays=arrays)
    assert_same((labels - first, scores), sorted_best(layer.scores(), 20))
