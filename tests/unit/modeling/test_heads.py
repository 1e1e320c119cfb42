"""Heads: sizes, errors, and drawing of weights."""

import pytest
import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import heads
from xmcpipe.modeling.heads import HeadShape


def test_the_bottleneck_has_as_many_parameters_as_the_ffi_layer() -> None:
    ffi, bottleneck = (heads.build(HeadShape(kind, 384, 20_000, 64, False)) for kind in ("ffi", "bottleneck"))
    assert abs(bottleneck.num_parameters - ffi.num_parameters) / ffi.num_parameters < 0.01


def test_bytes_of_the_layers() -> None:
    assert heads.build(HeadShape("ffi", 384, 1000, 64, False)).num_bytes == 1000 * 64 * (4 + 2)
    assert heads.build(HeadShape("dense", 384, 1000, 64, True)).num_bytes == 1000 * (384 + 1) * 4


def test_half_precision_is_the_same_draw_rounded_to_nearest() -> None:
    full, half = (heads.build(HeadShape("ffi", 16, 50, 4, False, dtype=d)) for d in ("float32", "bfloat16"))
    full.reset_parameters()
    half.reset_parameters()
    assert torch.equal(half.weight, full.weight.bfloat16())
    assert torch.equal(half.index.int(), full.index.int())
    assert half.num_bytes == 50 * 4 * (2 + 2)


def test_eight_bits_are_the_same_draw_rounded_to_nearest() -> None:
    full, eighth = (heads.build(HeadShape("ffi", 16, 50, 4, False, dtype=d)) for d in ("float32", "float8"))
    full.reset_parameters()
    eighth.reset_parameters()
    stored = (full.weight.detach() * 64).to(torch.float8_e4m3fn)
    assert torch.equal(eighth.weight.detach().view(torch.uint8), stored.view(torch.uint8))
    assert eighth.num_bytes == 50 * 4 * (1 + 2)


def test_more_fan_in_than_features_is_an_error() -> None:
    with pytest.raises(XmcpipeError, match=r"got K = 65 and D = 64.*lower train\.head\.fan_in"):
        heads.build(HeadShape("ffi", 64, 10, 65, False))


@pytest.mark.parametrize("kind", ["ffi", "dense", "bottleneck"])
def test_drawing_depends_on_the_seed_alone(kind: str) -> None:
    def draw(seed: int) -> torch.Tensor:
        head = heads.build(HeadShape(kind, 16, 50, 4, False, seed=seed))
        torch.rand(3)  # torch's own generator must not matter
        head.reset_parameters()
        return head.weight.detach().clone()

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert abs(float(draw(1).std()) * draw(1).shape[1] ** 0.5 - 1.0) < 0.2
