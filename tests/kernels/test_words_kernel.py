"""The text of kernels/ffi_word_scores.cu and ffi_word_update.cu on the host: scores against dense maths in
float64, and the update bit for bit against the operator's torch implementation.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.kernels.cases.batch import (
    BFLOAT16,
    DTYPES,
    FLOAT16,
    FLOAT32,
    Array,
    assert_bands,
    banded,
    error,
    far,
    numbers,
    padded,
    poisoned,
    to_array,
    to_tensor,
)
from tests.kernels.cases.words import active_connections, exact_scores, make_word_layer, make_words
from tests.kernels.host.kernel import Argument, HostKernel
from xmcpipe.ops.cuda.rows import lanes_of_label
from xmcpipe.ops.cuda.words import held_words
from xmcpipe.ops.word_layer import SEED_OF_WORDS, BatchWords, WordLayer, WordUpdate
from xmcpipe.ops.words import plain

BOUND = 2e-6  # relative error of norms: sums of float32
SEED, STEP, FIRST_LABEL = 2**40 + 11, 5, 2**33 - 7
SHAPES = [(1, 40, 8), (9, 3, 24), (33, 70, 64), (64, 35, 72), (500, 5, 512)]  # B, L, K'
FORMATS = [BFLOAT16, FLOAT32, FLOAT16]
# Every shape, and every format of weights: the others take a second each to compile.
FAST = [(shape, BFLOAT16) for shape in SHAPES] + [(SHAPES[2], weight_format) for weight_format in FORMATS[1:]]
every_kernel = pytest.mark.parametrize(
    ("shape", "weight_format"),
    [
        pytest.param(shape, weight_format, marks=[] if (shape, weight_format) in FAST else pytest.mark.slow)
        for shape in SHAPES
        for weight_format in FORMATS
    ],
)


@dataclass(frozen=True)
class Case:
    """Words of a batch and a layer, as tensors and as the arguments of kernels."""

    words: BatchWords
    layer: WordLayer
    weight_format: int
    blocks: int = 2
    order: int = 0

    @property
    def batch(self) -> int:
        """B."""
        return self.words.values_UB.shape[1]

    @property
    def macros(self) -> dict[str, int]:
        """The macros that both kernels have."""
        return {"WEIGHT": self.weight_format, "GROUP": lanes_of_label(padded(self.batch))}

    def arguments(self, weight: Array, index: Array, labels: tuple[int, int]) -> dict[str, Argument]:
        """The arguments that both kernels have."""
        values_UB = torch.zeros(len(self.words.values_UB), padded(self.batch))
        values_UB[:, : self.batch] = self.words.values_UB
        return {
            "weight_LK": weight,
            "index_LK": index,
            "held": to_array(held_words(self.words.place)),
            "place": to_array(self.words.place),
            "values_UB": to_array(values_UB),
            "begin": labels[0],
            "end": labels[1],
            "stride": padded(self.batch),
            "fan_in": index.shape[1],
        }


def make_case(
    shape: tuple[int, int, int], weight_format: int, num_words: int = 200, seed: int = 0, whole: bool = False
) -> Case:
    batch, labels, fan_in = shape
    words = make_words(batch, num_words, seed, whole)
    return Case(words, make_word_layer(words, labels, fan_in, DTYPES[weight_format], seed), weight_format)


def run_scores(case: Case, out: Array, by_label: int, labels: tuple[int, int] | None = None) -> Array:
    """The kernel on `out`, which it writes or adds to."""
    labels = labels or (0, len(case.layer.weight))
    row_blocks = -(-padded(case.batch) // (8 * case.macros["GROUP"]))
    arguments = case.arguments(to_array(case.layer.weight), to_array(case.layer.index), labels)
    kernel = HostKernel("ffi_word_scores", case.macros | {"BY_LABEL": by_label})
    kernel((case.blocks, row_blocks), 0, case.order, **arguments, out=out, batch=case.batch)
    assert_bands(out)
    return out


def run_update(
    case: Case,
    gradient: Array,
    rate: Array,
    weight: Array,
    labels: tuple[int, int],
    index: Array | None = None,
    first_label: int = FIRST_LABEL,
) -> Array:
    """The kernel on `weight`, from the gradients [labels, stride]."""
    index = to_array(case.layer.index) if index is None else index
    HostKernel("ffi_word_update", case.macros)(
        (case.blocks,),
        0,
        case.order,
        **case.arguments(weight, index, labels),
        rate_U=rate,
        gradient_LB=gradient,
        step=banded(np.array([STEP])),
        seed=SEED ^ SEED_OF_WORDS,
        first_label=first_label,
    )
    return weight


def gradient_and_rate(case: Case, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Gradients of the scores [B, L], whole numbers whose sums are exact, and a rate of each word."""
    random = torch.Generator().manual_seed(seed)
    grad_BL = numbers((case.batch, len(case.layer.weight)), random, whole=True)
    return grad_BL, torch.rand(len(case.words.values_UB), generator=random) / 100


def by_label(grad_BL: Tensor) -> Array:
    """The gradients [L, stride], zeros in the padding."""
    grad_LB = torch.zeros(grad_BL.shape[1], padded(len(grad_BL)))
    grad_LB[:, : len(grad_BL)] = grad_BL.T
    return to_array(grad_LB)


def check_scores(case: Case, labels: tuple[int, int] | None = None) -> None:
    """Both ways to write the scores are right."""
    begin, end = labels or (0, len(case.layer.weight))
    expected = exact_scores(case.words, case.layer)[:, begin:end]
    out = run_scores(case, poisoned((end - begin, padded(case.batch))), 1, labels)
    assert error(to_tensor(out)[:, : case.batch].T, expected) < BOUND
    assert not out[:, case.batch :].any()
    before = torch.randn(case.batch, end - begin, generator=torch.Generator().manual_seed(1))
    out = run_scores(case, to_array(before), 0, labels)
    assert error(to_tensor(out), before.double() + expected) < BOUND


def check_update(case: Case, labels: tuple[int, int] | None = None) -> None:
    """The weights have the bits of the torch implementation, and those of other labels are as before."""
    begin, end = labels or (0, len(case.layer.weight))
    (grad_BL, rate_U), expected = gradient_and_rate(case), case.layer.weight.clone()
    update = WordUpdate(rate_U, torch.tensor(STEP), SEED, FIRST_LABEL + begin)
    part = WordLayer(expected, case.layer.index).part(begin, end)
    plain.update_(grad_BL[:, begin:end], case.words, part, update)
    weight = to_array(case.layer.weight)
    run_update(case, by_label(grad_BL[:, begin:end]), to_array(rate_U), weight, (begin, end))
    assert_bands(weight)
    active_LK = active_connections(case.words, case.layer.index).numpy()
    assert np.array_equal(weight[active_LK], to_array(expected)[active_LK])
    assert np.array_equal(weight[~active_LK], to_array(case.layer.weight)[~active_LK], equal_nan=True)
    if active_LK[begin:end].any():
        assert not np.array_equal(weight[active_LK], to_array(case.layer.weight)[active_LK])


@every_kernel
def test_scores(shape: tuple[int, int, int], weight_format: int) -> None:
    check_scores(make_case(shape, weight_format, seed=shape[0]))


@every_kernel
def test_update(shape: tuple[int, int, int], weight_format: int) -> None:
    check_update(make_case(shape, weight_format, seed=shape[0], whole=True))


def test_a_range_of_labels() -> None:
    case = make_case((12, 90, 16), BFLOAT16, whole=True)
    check_scores(case, (5, 77))
    check_update(case, (5, 77))


def test_bits_depend_on_no_order_of_lanes() -> None:
    base = make_case((70, 40, 72), BFLOAT16)
    grad_BL, rate_U = gradient_and_rate(base)
    gradient, rate = by_label(grad_BL + 0.3), to_array(rate_U)
    results = set()
    for order in range(3):
        case = Case(base.words, base.layer, BFLOAT16, blocks=1 + order, order=order)
        out = run_scores(case, poisoned((40, 72)), 1)
        weight = run_update(case, gradient, rate, to_array(base.layer.weight), (0, 40))
        results.add((out.tobytes(), weight.tobytes()))
    assert len(results) == 1


def test_a_batch_without_words() -> None:
    words, full = make_words(5, 0), make_case((5, 20, 8), BFLOAT16)
    case = Case(words, full.layer, BFLOAT16)
    assert not run_scores(case, poisoned((20, 8)), 1).any()
    check_update(case)


def test_nan_is_not_hidden() -> None:
    case = make_case((6, 10, 16), BFLOAT16)
    case.words.values_UB[:, 2] = torch.nan
    out = to_tensor(run_scores(case, poisoned((10, 8)), 1))
    assert out[0].isnan().tolist() == [row == 2 for row in range(8)]
    grad_BL, rate_U = gradient_and_rate(case)
    weight = run_update(case, by_label(grad_BL), to_array(rate_U), to_array(case.layer.weight), (0, 10))
    assert to_tensor(weight, BFLOAT16)[0].isnan().all()


def test_offsets_past_two_to_the_31(tmp_path: Path) -> None:
    case, first = make_case((5, 20, 16), BFLOAT16), 2**31 // 16
    near = to_array(case.layer.weight), to_array(case.layer.index)
    weight, index = (far(array, first, tmp_path / str(number)) for number, array in enumerate(near))
    arguments, out = case.arguments(weight, index, (first, first + 20)), poisoned((20, 8))
    kernel = HostKernel("ffi_word_scores", case.macros | {"BY_LABEL": 1})
    kernel((case.blocks, 1), 0, case.order, **arguments, out=out, batch=case.batch)
    assert np.array_equal(out, run_scores(case, poisoned((20, 8)), 1))
    grad_BL, rate_U = gradient_and_rate(case)
    gradient, rate = by_label(grad_BL), to_array(rate_U)
    expected = run_update(case, gradient, rate, near[0], (0, 20))
    run_update(case, gradient, rate, weight, (first, first + 20), index, FIRST_LABEL - first)
    assert np.array_equal(weight[first:], expected)


@given(data=st.data())
@settings(max_examples=20)
def test_any_case(data: st.DataObject) -> None:
    batch = data.draw(st.integers(1, 80))
    shape = batch, data.draw(st.integers(1, 40)), 8 * data.draw(st.integers(1, 10))
    num_words, seed = data.draw(st.integers(1, 300)), data.draw(st.integers(0, 99))
    case = make_case(shape, BFLOAT16, num_words, seed, whole=True)
    case = Case(case.words, case.layer, BFLOAT16, data.draw(st.integers(1, 4)), data.draw(st.integers(0, 9)))
    check_scores(case)
    check_update(case)
