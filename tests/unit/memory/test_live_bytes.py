"""Live bytes: views share storage, parts sum to the peak, and our own operators are counted inside."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from xmcpipe.memory.live_bytes import LiveBytes

DEVICES = ["cpu", "meta"]
SCRATCH = 1000  # float32 values that the operator below allocates and frees


@torch.library.custom_op("xmcpipe::test_live_bytes", mutates_args=())
def doubled(values: torch.Tensor) -> torch.Tensor:
    """2 * values, with a large scratch."""
    scratch = torch.ones(SCRATCH)
    return values * (scratch.sum() * 2 / SCRATCH)


@doubled.register_fake
def _fake(values: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(values)


@pytest.mark.parametrize("where", DEVICES)
def test_views_share_their_storage_and_freed_tensors_are_not_counted(where: str) -> None:
    meter = LiveBytes()
    with meter:
        values = torch.zeros(100, 10, device=where)
        assert meter.live == 4000
        views = [values[10:], values.T, values.view(-1), values.detach()]
        assert meter.live == 4000
        more = values + 1
        assert meter.live == 8000
        del values, more
        assert meter.live == 4000
        del views
        assert meter.live == 0
    assert meter.peak == 8000


@pytest.mark.parametrize("where", DEVICES)
def test_it_continues_to_count_when_entered_again(where: str) -> None:
    meter = LiveBytes()
    with meter:
        first = torch.zeros(10, device=where)
    second = torch.zeros(20, device=where)  # not counted until an operator reads it
    assert meter.live == 40
    with meter:
        third = first.sum() + second.sum()
        assert meter.live == 40 + 80 + 4
    del first, second, third
    assert meter.live == 0
    assert meter.peak == 40 + 80 + 3 * 4


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5000)), max_size=30), st.sampled_from([1, 512]))
def test_peak_and_live_equal_those_of_a_ledger(events: list[tuple[bool, int]], block: int) -> None:
    meter, live, peak = LiveBytes(block), 0, 0
    tensors: list[tuple[torch.Tensor, int]] = []
    with meter:
        for allocate, size in events:
            if allocate or not tensors:
                tensors.append((torch.empty(size, dtype=torch.uint8), -(-size // block) * block))
                live += tensors[-1][1]
            else:
                live -= tensors.pop(size % len(tensors))[1]
            peak = max(peak, live)
            assert (meter.live, meter.peak) == (live, peak)


@pytest.mark.parametrize("where", DEVICES)
def test_the_parts_of_the_peak_sum_to_it_and_have_their_last_names(where: str) -> None:
    weight = torch.ones(50, 50, device=where, requires_grad=True)
    meter = LiveBytes()
    meter.count([weight], "weights")
    weight.register_hook(  # type: ignore[no-untyped-call]
        lambda gradient: meter.assign(gradient, "gradient")
    )
    with meter:
        meter.begin("activations")
        total = (weight @ weight).exp().sum()
        meter.end()
        torch.autograd.backward(total)
    assert meter.live_parts() == {"weights": 10_000, "gradient": 10_000, "activations": 4}
    at_peak, peaks = meter.parts_at_peak(), meter.part_peaks()
    assert sum(at_peak.values()) == meter.peak
    assert at_peak["weights"] == 10_000
    assert peaks["gradient"] == 10_000
    assert peaks["activations"] >= 20_000  # the product and its exponential
    assert all(at_peak[part] <= peaks[part] for part in at_peak)


@pytest.mark.parametrize("where", DEVICES)
def test_a_storage_that_is_resized_is_counted_with_its_new_size(where: str) -> None:
    meter = LiveBytes()
    with meter:
        values = torch.empty(10, device=where)
        values.resize_(1000)
    assert meter.live == 4000
    del values
    assert meter.live == 0


def test_allocations_inside_our_own_operators_are_counted_on_a_cpu() -> None:
    values = torch.ones(10)
    meter = LiveBytes()
    with meter:
        result = doubled(values)
    assert result.tolist() == [2.0] * 10
    assert meter.peak >= 4 * SCRATCH + 40
    assert meter.live == 80


def test_bytes_that_belong_to_no_tensor() -> None:
    meter = LiveBytes(512)
    done = meter.add("workspace", 1000)
    assert (meter.live, meter.live_parts()) == (1024, {"workspace": 1024})
    done()
    assert (meter.live, meter.peak) == (0, 1024)
