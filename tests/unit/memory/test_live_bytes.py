"""Live bytes: views share, what is freed goes, parts add up to the peak, our own operators are seen into."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from xmcpipe.memory.live_bytes import LiveBytes

DEVICES = ["cpu", "meta"]
SCRATCH = 1000  # float32 values that the operator below needs and lets go


@torch.library.custom_op("xmcpipe::test_live_bytes", mutates_args=())
def doubled(values: torch.Tensor) -> torch.Tensor:
    """2 * values, by a detour over a large scratch."""
    scratch = torch.ones(SCRATCH)
    return values * (scratch.sum() * 2 / SCRATCH)


@doubled.register_fake
def _fake(values: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(values)


@pytest.mark.parametrize("where", DEVICES)
def test_views_share_their_storage_and_what_is_let_go_is_gone(where):
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
def test_it_goes_on_counting_when_entered_again(where):
    meter = LiveBytes()
    with meter:
        first = torch.zeros(10, device=where)
    second = torch.zeros(20, device=where)  # unseen, until an operator reads it
    assert meter.live == 40
    with meter:
        third = first.sum() + second.sum()
        assert meter.live == 40 + 80 + 4
    del first, second, third
    assert meter.live == 0
    assert meter.peak == 40 + 80 + 3 * 4


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5000)), max_size=30), st.sampled_from([1, 512]))
def test_peak_and_live_are_those_of_a_ledger(events, block):
    meter, held, live, peak = LiveBytes(block), [], 0, 0
    with meter:
        for come, size in events:
            if come or not held:
                held.append((torch.empty(size, dtype=torch.uint8), -(-size // block) * block))
                live += held[-1][1]
            else:
                live -= held.pop(size % len(held))[1]
            peak = max(peak, live)
            assert (meter.live, meter.peak) == (live, peak)


@pytest.mark.parametrize("where", DEVICES)
def test_the_parts_of_the_peak_add_up_and_are_named_by_what_they_were(where):
    weight = torch.ones(50, 50, device=where, requires_grad=True)
    meter = LiveBytes()
    meter.hold([weight], "weights")
    weight.register_hook(lambda gradient: meter.name(gradient, "gradient"))
    with meter:
        meter.begin("activations")
        total = (weight @ weight).exp().sum()
        meter.end()
        total.backward()
    assert meter.now() == {"weights": 10_000, "gradient": 10_000, "activations": 4}
    peak, most = meter.at_peak(), meter.most()
    assert sum(peak.values()) == meter.peak
    assert peak["weights"] == 10_000
    assert most["gradient"] == 10_000
    assert most["activations"] >= 20_000  # the product and its exponential
    assert all(peak[part] <= most[part] for part in peak)


@pytest.mark.parametrize("where", DEVICES)
def test_a_storage_that_grows_is_counted_anew(where):
    meter = LiveBytes()
    with meter:
        values = torch.empty(10, device=where)
        values.resize_(1000)
    assert meter.live == 4000
    del values
    assert meter.live == 0


def test_what_is_inside_of_our_own_operators_on_a_cpu_is_seen():
    values = torch.ones(10)
    meter = LiveBytes()
    with meter:
        result = doubled(values)
    assert result.tolist() == [2.0] * 10
    assert meter.peak >= 4 * SCRATCH + 40
    assert meter.live == 80


def test_bytes_that_no_tensor_shows():
    meter = LiveBytes(512)
    done = meter.add("workspace", 1000)
    assert (meter.live, meter.now()) == (1024, {"workspace": 1024})
    done()
    assert (meter.live, meter.peak) == (0, 1024)
