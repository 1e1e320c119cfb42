"""Weights of 8 bits in the text of the kernels for groups: what tensor cores multiply is the weight of each
code, and each kernel is right for a shape or two, its update bit for bit.
"""

import pytest

from tests.kernels.cases.batch import BCE, E4M3, SQUARED_HINGE, error, to_tensor
from tests.kernels.cases.step import check_close
from tests.kernels.cases.update import RATE, SCALE, make_layer
from tests.kernels.e4m3.codes import check_codes, one_hot_case
from tests.kernels.group import (
    test_group_grad_features,
    test_group_grad_weight,
    test_group_scores,
    test_group_step,
    test_group_topk,
)
from tests.kernels.group.cases import group_case
from tests.kernels.host import kernel as host_kernel
from xmcpipe.ops.nvrtc.group_kernels import ROWS, TILE

pytestmark = pytest.mark.skipif(host_kernel.COMPILER is None, reason="no g++")


def test_every_code_is_decoded() -> None:
    case, weights_LK = one_hot_case(16, group=8)
    scores_BL, _ = test_group_scores.Variant(size=8, weight=E4M3).launch(case)
    check_codes(scores_BL, weights_LK)


@pytest.mark.slow
@pytest.mark.usefixtures("as_ptx")
def test_every_code_is_decoded_by_the_compiled_kernel() -> None:
    test_every_code_is_decoded()


@pytest.mark.parametrize("size", [16, 64])
def test_the_scores(size: int) -> None:
    variant = test_group_scores.Variant(size=size, weight=E4M3)
    case = variant.case(ROWS + 1, 3 * TILE + 1, 101, 80)
    assert error(to_tensor(variant.launch(case)[0]), case.exact.scores()) < test_group_scores.BOUND


def test_the_losses() -> None:
    variant = test_group_scores.Variant(weight=E4M3, loss=BCE)
    case = variant.case(ROWS - 1, 2 * TILE + 1, 99, 48)
    variant.check_gradient(case, *variant.launch(case), 0, case.num_labels)


@pytest.mark.parametrize(("size", "rows"), [(8, 16), (32, 64)])
def test_gradient_of_the_features(size: int, rows: int) -> None:
    variant = test_group_grad_features.Variant(size=size, rows=rows, weight=E4M3)
    test_group_grad_features.check(variant, variant.case(rows + 1, 4 * size + 1, 151, 144))


@pytest.mark.parametrize(("size", "momentum"), [(16, 0), (64, 2)])
def test_update(size: int, momentum: int) -> None:
    variant = test_group_grad_weight.Variant(size=size, weight=E4M3, update=1, momentum=momentum)
    test_group_grad_weight.check_update(variant, variant.case(ROWS + 1, TILE + 3, 91, 80, whole=True))


@pytest.mark.parametrize("kernel", [(16, 64, 4, 2), (64, 128, 3, 0)], ids=str)
def test_a_step_in_one_pass(kernel: tuple[int, int, int, int]) -> None:
    size, slots, stages, momentum = kernel
    one_pass = test_group_step.Pass(
        weight=E4M3, momentum=momentum, size=size, batch=32, slots=slots, stages=stages
    )
    assert one_pass.loss == SQUARED_HINGE
    case = one_pass.whole(31, 6 * size + 1, 151, slots - 16)
    test_group_step.check_whole(one_pass, case)
    layers = []
    for order in range(2):
        layers.append(make_layer(case, E4M3, momentum))
        one_pass.run(case, layers[-1], (0, case.num_labels), order)
    assert layers[0].weight.tobytes() == layers[1].weight.tobytes()


def test_rounded_gradients() -> None:
    kernel = test_group_step.Pass(weight=E4M3, loss=BCE, momentum=2, batch=32, size=32)
    case = group_case(29, 5 * kernel.size + 5, 120, 48, kernel.size, E4M3)
    layer, before = (make_layer(case, E4M3, 2) for _ in range(2))
    result = kernel.run(case, layer, (0, case.num_labels))
    bias_error = 10 * float(RATE * SCALE) * kernel.gradient_error
    check_close(case, layer, before, result, kernel.loss, kernel.gradient_error, bias_error)


def test_the_best_labels() -> None:
    variant = test_group_topk.Variant(size=32, weight=E4M3, room=128)
    case = test_group_topk.ties(variant, 9, 3 * TILE + 5)
    expected = test_group_topk.sorted_best(case.exact.scores(), 20)
    test_group_topk.assert_same(variant.top(case, 20), expected)
