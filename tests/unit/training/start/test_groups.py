"""A training of groups that begins with another model: who stays together, and which rows are taken over."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.encoders import HIDDEN
from tests.unit.training.start.test_start import saved
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.encoder import load
from xmcpipe.modeling.heads import Head, HeadShape
from xmcpipe.modeling.heads.ffi import FFIHead
from xmcpipe.modeling.model import Model, ModelShape, build_model
from xmcpipe.ops.rounding import decoded
from xmcpipe.training.initial.regrouping import kept_groups
from xmcpipe.training.initial.start import Start


@st.composite
def cases(draw: st.DrawFn) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], int]:
    """A usual order of L labels, the old group of each or -1, and G."""
    count, group = draw(st.integers(1, 40)), draw(st.integers(2, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    num_old = draw(st.integers(0, 60))
    old_places = random.permutation(num_old)
    shared = draw(st.integers(0, min(count, num_old)))
    old_group_L = np.full(count, -1)
    old_group_L[random.permutation(count)[:shared]] = old_places[:shared] // group
    return random.permutation(count).astype(np.int32), old_group_L, group


@given(case=cases())
def test_the_fullest_groups_stay_together(
    case: tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], int],
) -> None:
    usual_L, old_group_L, group = case
    order_L = kept_groups(usual_L, old_group_L, group)
    count, num_groups = len(usual_L), -(-len(usual_L) // group)
    assert np.array_equal(np.sort(order_L), np.arange(count))
    new_group_L = np.empty(count, np.int64)
    new_group_L[order_L] = np.arange(count) // group
    sizes = np.bincount(old_group_L[old_group_L >= 0], minlength=1)
    fullest = np.sort(sizes[sizes > 0])[::-1][:num_groups]
    last = count - (num_groups - 1) * group
    together = 0
    for old in np.flatnonzero(sizes):
        members = new_group_L[old_group_L == old]
        together += np.bincount(members).max() if len(members) else 0
    # Of the groups that can stay, all members; but no more than fit into the last one, if that is needed.
    expected = fullest.sum()
    if len(fullest) == num_groups:
        expected += min(fullest[-1], last) - fullest[-1]
    assert together >= expected
    if not (old_group_L >= 0).any():
        assert np.array_equal(order_L, usual_L)


def test_labels_fill_places_near_their_neighbours() -> None:
    # The usual order is that of the ids; labels 3 and 8 are new, and label 4's group has no place.
    old_group_L = np.array([5, 5, 5, -1, 9, 2, 2, 2, -1, 7])
    order = kept_groups(np.arange(10, dtype=np.int32), old_group_L, 4)
    assert order.tolist() == [4, 5, 6, 7, 0, 1, 2, 3, 8, 9]


OLD = [f"label {number}" for number in range(11)]
NEW = ["new 1", *OLD[1:6], "new 2", *OLD[7:], "new 3", "new 4"]


def model_of(encoder: Path, names: list[str], seed: int, order: Tensor, dtype: str) -> Model:
    """A model with groups of three labels in the order `order`, random weights and biases."""
    head = HeadShape("ffi", HIDDEN, len(names), 6, bias=True, seed=seed, dtype=dtype, group=3)
    model = build_model(load(str(encoder)), ModelShape(head, "mean"), draw=True)
    assert isinstance(model.head, FFIHead)
    assert model.head.bias is not None
    model.head.set_order(order)
    with torch.no_grad():
        model.head.bias.copy_(torch.randn(len(names), generator=torch.Generator().manual_seed(seed)))
    return model


def dense_row(head: Head, label: int) -> Tensor:
    """The weights of all features, float32, of the label with this id."""
    (place,) = head.places_of(torch.tensor([label])).tolist()
    weights = torch.zeros(HIDDEN)
    weights[head.index[place // head.shape.group].long()] = decoded(head.weight[place], torch.float32)
    return weights


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8"])
def test_rows_stay_with_their_groups(tiny_encoder: Path, tmp_path: Path, dtype: str) -> None:
    old_order = torch.randperm(len(OLD), generator=torch.Generator().manual_seed(3)).to(torch.int32)
    old = model_of(tiny_encoder, OLD, 1, old_order, dtype)
    saved(tmp_path, old, OLD)
    start = Start.read(tmp_path, NEW)
    order = start.order(torch.arange(len(NEW), dtype=torch.int32))
    assert order is not None
    new = model_of(tiny_encoder, NEW, 2, order, dtype)
    before = [dense_row(new.head, row) for row in range(len(NEW))]
    assert start.copy_to(new, frozen=False) == 9
    old_head, new_head = old.head, new.head
    assert old_head.bias is not None
    assert new_head.bias is not None
    kept = 0
    for row, name in enumerate(NEW):
        (place,) = new_head.places_of(torch.tensor([row])).tolist()
        if name not in OLD:
            assert bool((before[row] != 0).any())
            continue
        (old_place,) = old_head.places_of(torch.tensor([OLD.index(name)])).tolist()
        assert new_head.bias[place] == old_head.bias[old_place]
        expected, got = dense_row(old_head, OLD.index(name)), dense_row(new_head, row)
        if torch.equal(new_head.index[place // 3], old_head.index[old_place // 3]):
            assert torch.equal(got, expected)
            kept += 1
        else:  # what both groups read
            read = torch.zeros(HIDDEN, dtype=torch.bool)
            read[new_head.index[place // 3].long()] = True
            assert torch.equal(got, torch.where(read, expected, 0.0))
    assert kept == 9  # two labels are gone, four are new: every old group has its place


def test_another_size_of_groups_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    old = model_of(tiny_encoder, OLD, 1, torch.arange(len(OLD), dtype=torch.int32), "float32")
    saved(tmp_path, old, OLD)
    shape: Any = replace(old.head.shape, num_labels=len(NEW), group=4)
    model = build_model(load(str(tiny_encoder)), ModelShape(shape, "mean"), draw=True)
    start = Start.read(tmp_path, NEW)
    assert start.order(torch.arange(len(NEW), dtype=torch.int32)) is not None
    with pytest.raises(XmcpipeError, match=r"expected head\.group = 3, as in .*, got 4"):
        start.copy_to(model, frozen=False)
