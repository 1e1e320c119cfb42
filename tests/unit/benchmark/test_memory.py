"""The peak memory of a call."""

import torch

from xmcpipe.benchmark.grid import Shape
from xmcpipe.benchmark.implementations import Dense, FixedFanIn
from xmcpipe.benchmark.memory import available_bytes, held_bytes, peak_bytes
from xmcpipe.benchmark.problem import draw

MEGABYTE = 1 << 20


def test_the_peak_counts_tensors_that_are_live_at_the_same_time(device: str) -> None:
    def call() -> torch.Tensor:
        first = torch.empty(3 * MEGABYTE, dtype=torch.int8, device=device)
        second = torch.empty(2 * MEGABYTE, dtype=torch.int8, device=device)
        del first, second
        return torch.empty(4 * MEGABYTE, dtype=torch.int8, device=device)

    assert peak_bytes(call, torch.device(device)) == 5 * MEGABYTE


def test_memory_from_before_the_call_and_its_release_do_not_count(device: str) -> None:
    held = [torch.empty(8 * MEGABYTE, dtype=torch.int8, device=device)]

    def call() -> None:
        held.clear()
        torch.empty(MEGABYTE, dtype=torch.int8, device=device)

    assert peak_bytes(call, torch.device(device)) <= MEGABYTE


def test_memory_inside_an_operator_counts() -> None:
    @torch.library.custom_op("xmcpipe_test::scratch", mutates_args=())
    def scratch(values: torch.Tensor) -> torch.Tensor:
        torch.empty(6 * MEGABYTE, dtype=torch.int8)
        return values + 1

    assert 6 * MEGABYTE <= peak_bytes(lambda: scratch(torch.ones(4)), torch.device("cpu")) < 7 * MEGABYTE


def test_the_dense_step_holds_no_gradient_of_its_weights() -> None:
    drawn = draw(Shape(4000, 8, 64, 4, "float32"), torch.device("cpu"), 0, large_steps=False)
    dense = Dense(drawn)
    weights = 4000 * 64 * 4
    assert held_bytes(dense.operands()) == weights + 4 * 64 * 4
    assert peak_bytes(dense.step, torch.device("cpu")) < weights / 2
    assert peak_bytes(dense.call("backward"), torch.device("cpu")) >= weights


def test_a_storage_is_held_once() -> None:
    tensor = torch.zeros(100)
    assert held_bytes([tensor, tensor[3:], torch.zeros(5)]) == 420


def test_operands_of_the_sparse_layer_take_six_bytes_a_connection() -> None:
    drawn = draw(Shape(1000, 8, 64, 4, "float32"), torch.device("cpu"), 0, large_steps=False)
    assert held_bytes(FixedFanIn(drawn).operands()) == 1000 * 8 * 6 + 4 * 64 * 4


def test_some_memory_is_available(device: str) -> None:
    assert available_bytes(torch.device(device)) > MEGABYTE
