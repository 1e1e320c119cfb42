"""Arguments, and the order of things around a launch.

No driver is here: a fake one notes what it is asked. What cuda-core makes of the arguments is looked at in
the memory that it would hand to the driver. tests/kernels/test_launch.py is the real thing, on a GPU.
"""

import contextlib
import ctypes
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.ops.nvrtc import compiler as nvrtc
from xmcpipe.ops.nvrtc import launch as launching
from xmcpipe.ops.nvrtc.arguments import pack, packer
from xmcpipe.ops.nvrtc.compiler import Cubin, Resources
from xmcpipe.ops.nvrtc.source import Parameter
from xmcpipe.ops.nvrtc.variant import Kernel

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 1)
SCALE = Kernel("scale", threads=128, optional=("bias",))
PARAMETERS = (
    Parameter("x", "float32", pointer=True),
    Parameter("bias", "float32", pointer=True, optional=True),
    Parameter("n", "int32", pointer=False),
    Parameter("begin", "int64", pointer=False),
    Parameter("rate", "float32", pointer=False),
)


class OnDevice(torch.Tensor):
    """A tensor of host memory that says it is on the second GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA


@dataclass
class FakeDriver:
    """Notes what it is asked."""

    widths: list[int]
    cuda: int = 13
    loads: list[Any] = field(default_factory=list)
    launches: list[Any] = field(default_factory=list)

    def newest_cuda(self) -> int:
        return self.cuda

    def load(self, cubin: bytes, entry: str, device: int, shared: int) -> tuple[str, list[int]]:
        self.loads.append((cubin, entry, device, shared))
        return f"{entry} on {device}", self.widths

    def launch(self, *asked: Any) -> None:
        self.launches.append(asked)

    def occupancy(self, kernel: Any, device: int, block: int, shared: int) -> int:
        return block + shared


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDriver]:
    """A machine of two GPUs, by torch's word and a fake driver's."""
    fake = FakeDriver([each.bytes for each in PARAMETERS])
    cubin = Cubin(b"cubin", Resources(32, 0, 0, 0, shared=1000), cached=False, seconds=0.1)
    for where, name, value in (
        (launching, "_driver", lambda: fake),
        (launching, "parameters", lambda _: PARAMETERS),
        (nvrtc, "compile_kernel", lambda *_: cubin),
        (nvrtc, "missing", lambda: None),
        (nvrtc, "version", lambda: (13, 0)),
        (nvrtc, "_compiled_for", lambda: frozenset({80, 90})),
        (torch.version, "cuda", "13.0"),
        (torch.cuda, "device", lambda _: contextlib.nullcontext()),
        (torch.cuda, "is_available", lambda: True),
        (torch.cuda, "current_device", lambda: 1),
        (torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=7)),
        (torch.cuda, "is_current_stream_capturing", lambda: False),
        (torch.cuda, "get_device_capability", lambda _: (9, 0)),
        (
            torch.cuda,
            "get_device_properties",
            lambda _: SimpleNamespace(shared_memory_per_block_optin=5000),
        ),
    ):
        monkeypatch.setattr(where, name, value)
    forget()
    yield fake
    forget()


def forget() -> None:
    """Nothing is loaded, nothing was said."""
    for each in (launching._load, launching._blocks, launching._unavailable, launching._warn):
        each.cache_clear()


def arguments() -> list[Any]:
    return [torch.zeros(8).as_subclass(OnDevice), None, 8, 2**40, 0.5]


def test_a_launch_gets_the_stream_and_typed_arguments(driver: FakeDriver) -> None:
    given = arguments()
    launching.launch(SCALE.variant(), CUDA, (3, 2), 128, 4000, *given)
    launching.launch(SCALE.variant(), torch.device("cuda"), (1,), 128, 0, *given)
    assert driver.loads == [(b"cubin", "scale", 1, 4000)]
    (kernel, device, stream, grid, block, shared, values), second = driver.launches
    assert (kernel, device, stream, grid, block, shared) == ("scale on 1", 1, 7, (3, 2), 128, 4000)
    assert values == [given[0].data_ptr(), 0, 8, 2**40, 0.5]
    assert [type(value) for value in values] == [int, int, np.int32, np.int64, np.float32]
    assert second[3:6] == ((1,), 128, 0)


def test_a_kernel_is_loaded_once_a_device_and_variant(driver: FakeDriver) -> None:
    kernel = Kernel("scale", threads=128, macros=(("MORE", (0, 1)),))
    for device in (0, 1, 0):
        for more in (0, 1):
            launching.load(kernel.variant(MORE=more), torch.device("cuda", device))
    assert [device for _, _, device, _ in driver.loads] == [0, 0, 1, 1]
    assert launching.blocks_per_multiprocessor(kernel.variant(), CUDA, 5) == 133


def test_a_graph_may_record_a_launch_but_not_a_load(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="scale isn't loaded on cuda:1 yet: run the step once"):
        launching.launch(SCALE.variant(), CUDA, (1,), 128, 0, *arguments())
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    launching.load(SCALE.variant(), CUDA)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    launching.launch(SCALE.variant(), CUDA, (1,), 128, 0, *arguments())
    assert (len(driver.loads), len(driver.launches)) == (1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": (0, 2)}, r"a grid of blocks of 128 is wanted, got \(0, 2\), 128"),
        ({"block": 256}, r"a grid of blocks of 128 is wanted, got \(1,\), 256"),
        ({"shared": 4001}, "at most 4000 bytes of shared memory are there, got 4001"),
        ({"arguments": arguments()[:4]}, "5 arguments are wanted, got 4"),
        ({2: 2**31}, "n = 2147483648 doesn't fit int32"),
        ({2: 1.0}, "n must be a whole number, got 1.0"),
        ({2: True}, "n must be a whole number, got True"),
        ({4: "fast"}, "rate must be a number, got 'fast'"),
        ({0: None}, "x must be a tensor, got None"),
        ({0: 12345}, "x must be a tensor, got 12345"),
        ({0: torch.zeros(8)}, "x must be contiguous float32 on cuda:1, got .* on cpu"),
        ({0: torch.zeros(8, dtype=torch.float64).as_subclass(OnDevice)}, "x must .* got torch.float64"),
        ({0: torch.zeros(8, 2).T.as_subclass(OnDevice)}, r"x must be contiguous .* strides \(1, 2\)"),
        ({1: torch.zeros(8)}, "bias must be contiguous"),
    ],
)
def test_what_the_text_does_not_take_is_refused(
    driver: FakeDriver, change: dict[Any, Any], message: str
) -> None:
    given = change.get("arguments", arguments())
    given = [change.get(place, value) for place, value in enumerate(given)]
    with pytest.raises(ValueError, match=f"scale: {message}"):
        launching.launch(
            SCALE.variant(),
            CUDA,
            change.get("grid", (1,)),
            change.get("block", 128),
            change.get("shared", 0),
            *given,
        )
    assert driver.launches == []


def test_a_cubin_with_other_parameters_than_its_text_is_never_launched(driver: FakeDriver) -> None:
    driver.widths = [8, 8, 8, 8, 4]
    with pytest.raises(AssertionError, match=r"scale takes \[8, 8, 8, 8, 4\]"):
        launching.load(SCALE.variant(), CUDA)


def test_kernels_are_available(driver: FakeDriver) -> None:
    assert launching.available(CUDA) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert launching.usable(torch.device("cuda"))


def test_why_they_are_not_is_said_once(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    assert launching.available(CPU) == "cpu is no CUDA device"
    monkeypatch.setattr(nvrtc, "missing", lambda: "the 'gpu' extra isn't installed: No module named 'cuda'")
    with pytest.warns(
        UserWarning, match=r"kernels aren't used, .*: the 'gpu' extra .*pip install 'xmcpipe\[gpu\]'"
    ):
        assert not launching.usable(CUDA)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not launching.usable(CUDA)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("driver", "the driver knows CUDA 12, NVRTC is of CUDA 13 (update the driver)"),
        ("torch", "this torch isn't built for CUDA"),
        ("gpu", "torch sees no GPU"),
        ("device", "doesn't compile for compute capability 7.0"),
    ],
)
def test_what_makes_them_unavailable(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, change: str, reason: str
) -> None:
    if change == "driver":
        driver.cuda = 12
    elif change == "torch":
        monkeypatch.setattr(torch.version, "cuda", None)
    elif change == "gpu":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    else:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    assert reason in (launching.available(CUDA) or "")


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**64 - 1), st.floats(width=32, allow_nan=False))
def test_cuda_core_hands_on_each_argument_in_its_own_width(whole: int, seed: int, rate: float) -> None:
    handler = pytest.importorskip("cuda.core._kernel_arg_handler", exc_type=ImportError)
    x = torch.zeros(4)
    takes = [
        Parameter("x", "float32", pointer=True),
        Parameter("n", "int32", pointer=False),
        Parameter("seed", "uint64", pointer=False),
        Parameter("rate", "float32", pointer=False),
        Parameter("words", "uint32", pointer=True, optional=True),
        Parameter("bits", "uint32", pointer=False),
    ]
    given = [x, whole, seed, rate, None, seed % 2**32]
    held = handler.ParamHolder(tuple(pack([packer(each) for each in takes], given, CPU)))
    places = (ctypes.c_void_p * len(takes)).from_address(held.ptr)
    widths = [
        ctypes.c_uint64,
        ctypes.c_int32,
        ctypes.c_uint64,
        ctypes.c_float,
        ctypes.c_uint64,
        ctypes.c_uint32,
    ]
    found = [width.from_address(place).value for width, place in zip(widths, places, strict=True)]
    assert found == [x.data_ptr(), whole, seed, rate, 0, seed % 2**32]


@pytest.mark.parametrize(
    ("type_", "dtypes"),
    [
        ("uint16", (torch.uint16, torch.int16)),
        ("uint32", (torch.uint32, torch.int32)),
        ("uint64", (torch.uint64, torch.int64)),
        ("int64", (torch.int64,)),
        ("bfloat16", (torch.bfloat16,)),
        ("float16", (torch.float16,)),
    ],
)
def test_a_pointer_takes_its_type_and_bits_either_sign(type_: str, dtypes: tuple[torch.dtype, ...]) -> None:
    takes = packer(Parameter("x", type_, pointer=True))
    for dtype in (
        torch.uint16,
        torch.int16,
        torch.uint32,
        torch.int32,
        torch.int64,
        torch.uint64,
        torch.float32,
    ):
        x = torch.zeros(4, dtype=dtype)
        if dtype in dtypes:
            assert takes(x, CPU) == x.data_ptr()
        else:
            with pytest.raises(ValueError, match=f"x must be contiguous {type_}"):
                takes(x, CPU)
    anything = packer(Parameter("scratch", "any", pointer=True))
    assert anything(torch.zeros(3, dtype=torch.uint8), CPU) > 0
