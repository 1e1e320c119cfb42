"""The text of kernels/group_topk.cu on the host: the k best labels by (-score, id), against a sort.

Scores of small whole numbers are exact in any order, and full of ties; those of random numbers must be bit
for bit what group_scores gives, however the labels are cut into blocks.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.kernels.cases.batch import BFLOAT16, FLOAT16, Case, assert_bands, banded, poisoned, to_tensor
from tests.kernels.cases.step import whole_case
from tests.kernels.group.cases import GROUP_SIZES, group_case
from tests.kernels.group.test_group_scores import Variant as ScoreVariant
from tests.kernels.host.kernel import HostKernel
from xmcpipe.ops.nvrtc.group_kernels import ROWS, TILE, score_bytes

FIRST_LABEL = 2**33 + 5


@dataclass(frozen=True)
class Variant:
    """A specialisation of the kernel."""

    size: int = 16
    weight: int = BFLOAT16
    room: int = 32

    # Long: two launches, with a line for each argument.
    def top(
        self, case: Case, k: int, blocks: int = 2, order: int = 0, ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Labels and scores of the kernel and its merge, [B, k]."""
        macros = {"GROUP_SIZE": self.size, "WEIGHT": self.weight, "ROOM": self.room}
        keys = banded(np.full((blocks, case.batch, TILE + self.room), 2**64 - 1, np.uint64))
        HostKernel("group_topk", macros)(
            (blocks, -(-case.batch // ROWS)),
            score_bytes(macros),
            order,
            features_DB=case.x,
            weight_LK=case.weight,
            index_RK=case.index,
            bias_L=case.bias,
            label_ids=None if ids is None else banded(ids.numpy()),
            keys_PBC=keys,
            begin=0,
            end=case.num_labels,
            batch=case.batch,
            stride=case.stride,
            fan_in=case.weight.shape[1],
            num_best=k,
        )
        labels = banded(np.full((case.batch, k), -1, np.int64))
        scores = poisoned((case.batch, k))
        HostKernel("ffi_topk_merge", {})(
            (case.batch,),
            0,
            order,
            keys_PBC=keys,
            labels_BN=labels,
            scores_BN=scores,
            first_label=FIRST_LABEL,
            parts=blocks,
            batch=case.batch,
            capacity=TILE + self.room,
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


VARIANTS = [*(Variant(size=size) for size in GROUP_SIZES), Variant(weight=FLOAT16, room=128)]


def ties(variant: Variant, batch: int, labels: int, seed: int = 0) -> Case:
    return whole_case(batch, labels, 40, 16, variant.weight, seed, variant.size)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_ties_go_to_the_lower_label(variant: Variant, edge: int) -> None:
    case, k = ties(variant, ROWS + edge, 5 * TILE + edge, seed=edge), variant.room + min(edge, 0)
    assert_same(variant.top(case, k, order=edge + 1), sorted_best(case.exact.scores(), k))


@pytest.mark.parametrize("batch", [1, 9, 70])
@pytest.mark.parametrize("k", [1, 5, 100])
def test_any_batch_and_k(batch: int, k: int) -> None:
    case = ties(VARIANTS[-1], batch, 400, seed=batch)
    assert_same(VARIANTS[-1].top(case, k, blocks=3), sorted_best(case.exact.scores(), k))


@pytest.mark.parametrize("labels", [1, 31, 64, 65])
def test_few_labels_and_idle_blocks(labels: int) -> None:
    case, k = ties(Variant(), 3, labels, seed=labels), min(labels, 32)
    assert_same(Variant().top(case, k, blocks=5), sorted_best(case.exact.scores(), k))


def test_ties_go_to_the_lower_id() -> None:
    case, k = ties(Variant(), 7, 300), 20
    ids = torch.randperm(300, generator=torch.Generator().manual_seed(0)).int()
    by_id = torch.empty(7, 300, dtype=torch.float64)
    by_id[:, ids.long()] = case.exact.scores()
    assert_same(Variant().top(case, k, ids=ids), sorted_best(by_id, k))


@pytest.mark.parametrize("blocks", [1, 4])
def test_random_scores_have_the_bits_of_group_scores(blocks: int) -> None:
    case = group_case(11, 700, 50, 32, 16)
    scores, _ = ScoreVariant().launch(case)
    for order in range(3):
        assert_same(Variant().top(case, 9, blocks=blocks, order=order), sorted_best(to_tensor(scores), 9))


def test_nan_is_not_hidden() -> None:
    case = ties(Variant(), 5, 100)
    features = case.x.copy()
    features[:, 2] = 0x7FC0
    case = replace(case, x=banded(features))
    _, scores = Variant().top(case, 100 - 68)
    assert scores[2].isnan().all()
    assert not scores[[0, 1, 3, 4]].isnan().any()
