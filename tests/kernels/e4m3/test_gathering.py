"""Weights of 8 bits in the text of the gathering kernels and of the step in one pass: every code is what E4M3
defines, the update rounds bit for bit as `ops.rounding` does, and each kernel is right for a shape or two.

K is 24 in some: rows then begin at multiples of 8 bytes, and not of 16.
"""

from dataclasses import replace
from functools import partial

import pytest
import torch

from tests.kernels import (
    test_grad_features,
    test_grad_weight,
    test_rewire_kernel,
    test_scores,
    test_step_kernel,
    test_topk_kernel,
)
from tests.kernels.cases.batch import (
    BCE,
    BFLOAT16,
    E4M3,
    FLOAT32,
    SQUARED_HINGE,
    Case,
    banded,
    error,
    make_case,
    make_gradient,
    to_array,
    to_tensor,
)
from tests.kernels.cases.step import check_close, whole_case
from tests.kernels.cases.update import make_layer
from tests.kernels.e4m3.codes import FINITE, NOT_NUMBERS, check_codes, one_hot_case
from tests.kernels.host import kernel as host_kernel
from tests.kernels.ptx.kernel import build_from_ptx
from xmcpipe.training.rewiring import OneProcess, cut_fraction

pytestmark = pytest.mark.skipif(host_kernel.COMPILER is None, reason="no g++")


def test_every_code_is_decoded() -> None:
    case, weights_LK = one_hot_case(8)
    scores_BL, _ = test_scores.Variant(weight=E4M3, group=1).launch(case)
    check_codes(scores_BL, weights_LK)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])  # by bits, and by an instruction
@pytest.mark.usefixtures("needs_nvrtc")
def test_every_code_is_decoded_by_the_compiled_kernel(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = partial(build_from_ptx, architecture=architecture)
    monkeypatch.setattr(host_kernel, "build", build)
    test_every_code_is_decoded()


def every_rounding(momentum: int) -> tuple[test_grad_weight.Variant, Case]:
    """Weights of every finite code. Their changes reach from none to past the largest weight."""
    variant = test_grad_weight.Variant(weight=E4M3, feature=FLOAT32, update=1, momentum=momentum, group=2)
    case = variant.case(9, 40, 300, 256, whole=True)
    codes = torch.tensor(FINITE, dtype=torch.uint8)[torch.arange(40 * 256).view(40, 256) % len(FINITE)]
    scale = 2.0 ** (torch.arange(300) % 14 - 4)  # sums stay exact in float32
    features_BD = case.exact.features * scale
    x = to_array(torch.nn.functional.pad(features_BD.float(), (0, 0, 0, case.stride - 9)).T)
    return variant, replace(
        case, weight=banded(codes.numpy()), x=x, exact=replace(case.exact, features=features_BD)
    )


@pytest.mark.parametrize("momentum", [0, 2])
def test_the_update_rounds_as_the_reference_does(momentum: int) -> None:
    variant, case = every_rounding(momentum)
    test_grad_weight.check_update(variant, case)
    layer = make_layer(case, E4M3, momentum)
    gradient_LB, _ = make_gradient(case, 40, whole=True)
    variant.launch(case, gradient_LB, None, (0, 40), layer)
    got = to_tensor(layer.weight, E4M3)
    # So far the case is as meant: both ends are reached, and small numbers, and most weights change.
    assert {7.0, -7.0} <= set(got.flatten().tolist())
    assert ((got != 0) & (got.abs() < 2.0**-12)).any()
    assert float((torch.from_numpy(layer.weight != case.weight)).float().mean()) > 0.5


def test_nan_stays_nan() -> None:
    variant, case = every_rounding(0)
    case.weight[3, 5], case.weight[4, 0] = NOT_NUMBERS
    layer = make_layer(case, E4M3, 0)
    gradient_LB, _ = make_gradient(case, 40, whole=True)
    variant.launch(case, gradient_LB, None, (0, 40), layer)
    nan = to_tensor(layer.weight, E4M3).isnan()
    assert nan.nonzero().tolist() == [[3, 5], [4, 0]]


@pytest.mark.parametrize("feature", [BFLOAT16, FLOAT32])
def test_the_scores(feature: int) -> None:
    variant = test_scores.Variant(weight=E4M3, feature=feature, group=4)
    case = variant.case(variant.rows + 1, 2 * variant.tile + 3, 41, 24)
    assert error(to_tensor(variant.launch(case)[0]), case.exact.scores()) < test_scores.BOUND


def test_the_losses() -> None:
    variant = test_scores.Variant(weight=E4M3, loss=BCE)
    case = variant.case(variant.rows + 1, 3 * variant.tile + 1, 41, 24)
    test_scores.check_gradient(variant, case, *variant.launch(case), 0, case.num_labels)


@pytest.mark.parametrize("tensor", [1, 0])
def test_gradient_of_the_features(tensor: int) -> None:
    variant = test_grad_features.Variant(weight=E4M3, tensor=tensor)
    test_grad_features.check(variant, variant.case(17, 3 * test_grad_features.TILE + 1, 261, 72))


@pytest.mark.parametrize("one_row", [0, 1])
def test_the_best_labels(one_row: int) -> None:
    variant = test_topk_kernel.Variant(weight=E4M3, group=1 if one_row else 8, one_row=one_row)
    layer = test_topk_kernel.make_layer(1 if one_row else 9, 400, variant, seed=1, fan_in=24)
    expected = test_topk_kernel.sorted_best(layer.scores(), 9)
    test_topk_kernel.assert_same(test_topk_kernel.top(layer, variant, 9), expected)


@pytest.mark.parametrize("moment", [BFLOAT16, FLOAT32])
def test_rewiring(moment: int) -> None:
    formats = E4M3, moment
    layer = test_rewire_kernel.make_layer(30, 40, 200, formats, seed=1)
    layer.weight.view(torch.uint8)[3] = torch.arange(40, dtype=torch.uint8)  # small numbers
    layer.weight.view(torch.uint8)[4, 5] = NOT_NUMBERS[0]
    cut = cut_fraction(layer.weight, 0.25, OneProcess())
    assert cut.ties > 0
    assert test_rewire_kernel.assert_same(layer, cut, formats) == 300


@pytest.mark.parametrize(("loss", "momentum"), [(SQUARED_HINGE, 2), (BCE, 0)])
def test_a_step_in_one_pass(loss: int, momentum: int) -> None:
    """Bit for bit where sums are exact, and close to float64 where gradients are rounded."""
    tile = test_step_kernel.Tile(weight=E4M3, loss=loss, momentum=momentum)
    if loss == SQUARED_HINGE:
        test_step_kernel.check_whole(tile, whole_case(31, 4 * tile.tile + 1, 127, 72, E4M3))
        return
    case = make_case(29, 2 * tile.tile + 5, 120, 40, E4M3, BFLOAT16)
    layer, before = (make_layer(case, E4M3, momentum) for _ in range(2))
    result = tile.run(case, layer, (0, case.num_labels))
    check_close(case, layer, before, result, loss, tile.gradient_error)
