"""Picking a device, and what it computes in."""

import pytest
import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.machine import processor
from xmcpipe.modeling.devices import arithmetic, autocast_dtype, pick_device, said_of

PRECISIONS = ("float32", "bfloat16", "float16")


def has(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset(flags))


def test_auto_picks_a_gpu_if_there_is_one() -> None:
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu").type == "cpu"


def test_the_error_names_a_device_that_does_not_exist() -> None:
    with pytest.raises(XmcpipeError, match="device 'tpu' can't be used"):
        pick_device("tpu")


def test_a_processor_without_instructions_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "avx2")
    assert [arithmetic(each, "cpu") for each in PRECISIONS] == ["float32"] * 3
    assert {autocast_dtype(each, "cpu") for each in PRECISIONS} == {None}
    assert said_of("bfloat16", "cpu") == (
        "this processor has no instructions for bfloat16 (AVX512-BF16 or AMX): computing in float32, which "
        "is faster here"
    )
    assert said_of("bfloat16", "cpu", stored=True).endswith("set train.precision = 'float32'")
    assert said_of("float32", "cpu") == ""


def test_a_processor_with_instructions_and_a_gpu_compute_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "avx512_bf16", "avx512_fp16")
    dtypes = [None, torch.bfloat16, torch.float16]
    assert [autocast_dtype(each, "cpu") for each in PRECISIONS] == dtypes
    has(monkeypatch)
    assert [autocast_dtype(each, "cuda") for each in PRECISIONS] == dtypes
    assert {said_of(each, "cuda") for each in PRECISIONS} == {""}
