"""The text of kernels/group_step.cu on the host: bit for bit if sums are exact, else close to float64."""

from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.cases.batch import (
    BCE,
    BFLOAT16,
    FLOAT16,
    SQUARED_HINGE,
    Case,
    assert_bands,
    banded,
    far,
    poisoned,
    to_tensor,
)
from tests.kernels.cases.step import BLOCKS, NO_LABEL, Result, check_close, check_exact, whole_case
from tests.kernels.cases.update import (
    FIRST_LABEL,
    RATE,
    SCALE,
    STEP,
    Layer,
    assert_same_layer,
    make_layer,
    sgd_arguments,
)
from tests.kernels.group.cases import group_case
from tests.kernels.host.kernel import HostKernel
from xmcpipe.ops.nvrtc.group_kernels import step_bytes


@dataclass(frozen=True)
class Pass:
    """A specialisation of the kernel."""

    weight: int = BFLOAT16
    loss: int = SQUARED_HINGE
    momentum: int = 0
    size: int = 16
    batch: int = 64
    slots: int = 64
    stages: int = 4

    @property
    def macros(self) -> dict[str, int]:
        names = ("WEIGHT", "LOSS", "MOMENTUM", "GROUP_SIZE", "BATCH", "SLOTS", "STAGES")
        return dict(zip(names, astuple(self), strict=True))

    @property
    def gradient_error(self) -> float:
        """Relative error of the gradient of a score: the spacing of 16-bit numbers."""
        return 2.0**-10 if self.weight == FLOAT16 else 2.0**-7

    def whole(self, batch: int, labels: int, features: int, fan_in: int, seed: int = 0) -> Case:
        return whole_case(batch, labels, features, fan_in, self.weight, seed, self.size)

    # Long: one launch, with a line for each argument.
    def run(
        self,
        case: Case,
        layer: Layer,
        labels: tuple[int, int],
        order: int = 0,
        first_label: int = FIRST_LABEL,
    ) -> Result:
        """Take the step of the labels [begin, end) in `layer`."""
        partial_SDB, losses = poisoned((BLOCKS, *case.x.shape)), poisoned((BLOCKS,))
        # A list of positives may be padded.
        rows = banded(np.concatenate([case.positive_rows, np.zeros(3, np.int64)]))
        pairs = banded(np.concatenate([case.positive_labels, np.full(3, NO_LABEL)]))
        HostKernel("group_step", self.macros)(
            (BLOCKS,),
            step_bytes(self.macros, len(case.x)),
            order,
            features_DB=case.x,
            index_RK=case.index,
            partial_SDB=partial_SDB,
            partial_loss=losses,
            positive_rows=rows,
            positive_labels=pairs,
            num_positives=len(rows),
            begin=labels[0],
            end=labels[1],
            batch=case.batch,
            **case.sizes,
            **layer.arguments,
            **sgd_arguments(STEP, first_label),
        )
        assert_bands(partial_SDB, losses)
        layer.assert_bands()
        features = to_tensor(partial_SDB).sum(0).T[: case.batch]
        return Result(float(to_tensor(losses).sum()), features.contiguous())


def check_whole(kernel: Pass, case: Case, labels: tuple[int, int] | None = None, bias: bool = True) -> None:
    labels = labels or (0, case.num_labels)
    layer, before = (make_layer(case, kernel.weight, kernel.momentum, bias) for _ in range(2))
    check_exact(case, layer, before, kernel.run(case, layer, labels), labels)


PASSES = [
    Pass(),
    Pass(weight=FLOAT16, momentum=2, batch=32, slots=128, stages=3),
    Pass(momentum=1, size=32),
    Pass(size=64, slots=128),
]
ROUNDED = [Pass(loss=BCE), Pass(weight=FLOAT16, loss=BCE, size=64, slots=128, batch=32, momentum=1)]


@pytest.mark.parametrize("kernel", PASSES, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_at_every_edge(kernel: Pass, edge: int) -> None:
    batch, fan_in = kernel.batch + min(edge, 0), kernel.slots + 16 * min(edge, 0)
    check_whole(kernel, kernel.whole(batch, 6 * kernel.size + edge, 150 + edge, fan_in, seed=edge))


@pytest.mark.parametrize(
    ("batch", "labels", "features", "fan_in"), [(1, 1, 16, 16), (7, 2, 17, 16), (17, 70, 100, 48)]
)
def test_any_shape(batch: int, labels: int, features: int, fan_in: int) -> None:
    check_whole(PASSES[0], PASSES[0].whole(batch, labels, features, fan_in, seed=batch))


@pytest.mark.parametrize("kernel", PASSES, ids=str)
def test_a_range_of_labels_without_bias(kernel: Pass) -> None:
    case = kernel.whole(9, 5 * kernel.size, 40, 32)
    check_whole(kernel, case, (kernel.size, 4 * kernel.size - 5), bias=False)


@pytest.mark.parametrize("kernel", ROUNDED, ids=str)
def test_rounded_gradients(kernel: Pass) -> None:
    case = group_case(kernel.batch - 3, 5 * kernel.size + 5, 120, 48, kernel.size, kernel.weight)
    layer, before = (make_layer(case, kernel.weight, kernel.momentum) for _ in range(2))
    result = kernel.run(case, layer, (0, case.num_labels))
    # Biases are of order 1, and their step is a sum of rounded gradients of order 10.
    bias_error = 10 * float(RATE * SCALE) * kernel.gradient_error
    check_close(case, layer, before, result, kernel.loss, kernel.gradient_error, bias_error)


@pytest.mark.parametrize("kernel", PASSES, ids=str)
def test_bits_depend_on_no_order_of_lanes(kernel: Pass) -> None:
    """All groups share features here."""
    case = group_case(kernel.batch - 1, 7 * kernel.size - 7, 50, 32, kernel.size, kernel.weight)
    runs = []
    for order in range(3):
        layer = make_layer(case, kernel.weight, kernel.momentum)
        result = kernel.run(case, layer, (0, case.num_labels), order)
        arrays = (layer.weight, layer.momentum, layer.bias, result.features.numpy())
        runs.append((result.loss, *(array.tobytes() for array in arrays if array is not None)))
    assert runs[1:] == runs[:1] * 2


def test_weights_past_two_to_the_31(tmp_path: Path) -> None:
    """Labels whose weights start past 2^31 get the bits that they get at the start of an array."""
    first, labels, kernel = 2**31 // 128, 40, PASSES[3]
    near_case = group_case(5, labels, 150, 128, kernel.size)
    near = make_layer(near_case, BFLOAT16, 0)
    far_layer = near.far(first, tmp_path)
    far_case = Case(
        **{
            **vars(near_case),
            "index": far(near_case.index, first // kernel.size, tmp_path / "index"),
            "positive_labels": banded(near_case.positive_labels + first),
        }
    )
    near_result = kernel.run(near_case, near, (0, labels), first_label=FIRST_LABEL + first)
    far_result = kernel.run(far_case, far_layer, (first, first + labels))
    assert far_result.loss == near_result.loss
    assert (far_result.features == near_result.features).all()
    assert_same_layer(far_layer, near, first)
