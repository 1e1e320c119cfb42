"""The text of kernels/ffi_step_gather.cu on the host: bit for bit where sums are exact, else near float64."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from cases import BCE, BFLOAT16, BYTES, FLOAT16, FLOAT32, SQUARED_HINGE, Case, make_case
from step_cases import (
    THREADS,
    Layer,
    Result,
    check_close,
    check_exact,
    check_far,
    make_layer,
    run_step,
    whole_case,
)


@dataclass(frozen=True)
class Gather:
    """A specialisation of the kernel."""

    weight: int = BFLOAT16
    loss: int = SQUARED_HINGE
    momentum: int = 0
    group: int = 4

    @property
    def rows(self) -> int:
        return 8 * self.group

    @property
    def tile(self) -> int:
        return THREADS // self.group

    def macros(self) -> dict[str, int]:
        names = ("WEIGHT", "FEATURE", "LOSS", "MOMENTUM", "GROUP")
        values = (self.weight, self.weight, self.loss, self.momentum, self.group)
        return dict(zip(names, values, strict=True))

    def shared(self, num_features: int) -> int:
        return num_features * self.rows * (4 + BYTES[self.weight])

    def run(self, case: Case, layer: Layer, labels: tuple[int, int], order: int = 0) -> Result:
        return run_step(
            "ffi_step_gather", self.macros(), self.shared(len(case.x)), case, layer, labels, order
        )


def check_whole(step: Gather, case: Case, labels: tuple[int, int] | None = None, bias: bool = True) -> None:
    labels = labels or (0, len(case.index))
    layer, before = (make_layer(case, step.weight, step.momentum, bias) for _ in range(2))
    check_exact(case, layer, before, step.run(case, layer, labels), labels)


STEPS = [
    Gather(momentum=1),
    Gather(weight=FLOAT16, momentum=2, group=1),
    Gather(weight=FLOAT32, group=8),
]
ROUNDED = [Gather(loss=BCE, group=2), Gather(weight=FLOAT32, group=8)]


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_at_every_tile_edge(step: Gather, edge: int) -> None:
    fan_in = 16 * step.group + 8 * edge
    case = whole_case(
        step.rows + min(edge, 0), 2 * step.tile + edge, 150 + edge, fan_in, step.weight, seed=edge
    )
    check_whole(step, case)


@pytest.mark.parametrize(
    ("batch", "labels", "features", "fan_in"),
    [(1, 1, 8, 8), (7, 2, 9, 8), (31, 65, 25, 24), (3, 40, 517, 512)],
)
def test_any_shape(batch: int, labels: int, features: int, fan_in: int) -> None:
    check_whole(STEPS[0], whole_case(batch, labels, features, fan_in, BFLOAT16, seed=batch))


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_range_of_labels_without_bias(step: Gather) -> None:
    check_whole(step, whole_case(8, 90, 33, 16, step.weight), (5, 77), bias=False)


@pytest.mark.parametrize("step", ROUNDED, ids=str)
def test_real_numbers(step: Gather) -> None:
    case = make_case(step.rows - 1, step.tile + 5, 120, 40, step.weight, step.weight)
    layer, before = (make_layer(case, step.weight, step.momentum) for _ in range(2))
    result = step.run(case, layer, (0, len(case.index)))
    check_close(case, layer, before, result, step.loss, gradient_error=0.0)


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_bits_depend_on_no_order_of_lanes(step: Gather) -> None:
    case = make_case(step.rows, step.tile + 7, 100, 24, step.weight, step.weight)
    runs = []
    for order in range(3):
        layer = make_layer(case, step.weight, step.momentum)
        result = step.run(case, layer, (0, len(case.index)), order)
        arrays = (layer.weight, layer.momentum, layer.bias, result.features.numpy())
        runs.append((result.loss, *(array.tobytes() for array in arrays if array is not None)))
    assert runs[1:] == runs[:1] * 2


def test_weights_past_two_to_the_31(tmp_path: Path) -> None:
    step = STEPS[0]
    check_far("ffi_step_gather", step.macros(), step.shared(530), step.momentum, tmp_path)
