"""Launching: loading once, checks, the order of calls; and the reasons why kernels are unavailable.

There is no driver: a fake one records its calls. tests/kernels/test_launch.py runs on a GPU.
"""

import contextlib
import ctypes
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from xmcpipe.ops.nvrtc import compiler, launch
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


TYPES: tuple[Any, ...] = (ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int32, ctypes.c_int64, ctypes.c_float)


def read(addresses: int) -> list[int | float]:
    """The arguments of SCALE, as a driver reads them from an array of their addresses."""
    places = (ctypes.c_void_p * len(TYPES)).from_address(addresses)
    return [type_.from_address(place).value for type_, place in zip(TYPES, places, strict=True)]


class OnDevice(torch.Tensor):
    """A tensor of host memory that claims to be on the second GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA


@dataclass
class FakeDriver:
    """Records its calls."""

    widths: list[int]
    cuda: int = 13
    loads: list[Any] = field(default_factory=list)
    launches: list[Any] = field(default_factory=list)
    entered: list[int] = field(default_factory=list)

    def newest_cuda(self) -> int:
        return self.cuda

    def load(self, cubin: bytes, entry: str, device: int, shared: int) -> tuple[str, list[int]]:
        self.loads.append((cubin, entry, device, shared))
        return f"{entry} on {device}", self.widths

    def enter(self, device: int) -> None:
        self.entered.append(device)

    def stream(self, handle: int) -> str:
        return f"stream {handle}"

    def launch(self, *call: Any) -> None:
        *sizes, addresses = call
        self.launches.append((*sizes, read(addresses)))

    def occupancy(self, kernel: Any, device: int, block: int, shared: int) -> int:
        return block + shared


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDriver]:
    """A machine of two GPUs, as torch and a fake driver report it."""
    fake = FakeDriver([each.bytes for each in PARAMETERS])
    cubin = Cubin(b"cubin", Resources(32, 0, 0, 0, shared=1000), cached=False, seconds=0.1)
    for where, name, value in (
        (launch, "_driver", lambda: fake),
        (launch, "parameters", lambda _: PARAMETERS),
        (compiler, "compile_kernel", lambda *_: cubin),
        (compiler, "unavailable_reason", lambda: None),
        (compiler, "version", lambda: (13, 0)),
        (compiler, "_compiled_for", lambda: frozenset({80, 90})),
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
    """Forget which kernels are loaded, and which warnings were shown."""
    for each in (launch._load, launch._blocks, launch._unavailable_reason, launch._warn):
        each.cache_clear()


def arguments() -> dict[str, Any]:
    """The required arguments of SCALE."""
    return {"x": torch.zeros(8).as_subclass(OnDevice), "n": 8, "begin": 2**40, "rate": 0.5}


def test_a_launch_gets_the_stream_and_typed_arguments(driver: FakeDriver) -> None:
    named = arguments()
    launch.launch(SCALE.variant(), CUDA, (3, 2), 4000, **named)
    launch.launch(SCALE.variant(), torch.device("cuda"), (1,), 0, bias=None, **named)
    assert driver.loads == [(b"cubin", "scale", 1, 4000)]
    values = [named["x"].data_ptr(), 0, 8, 2**40, 0.5]
    first, second = driver.launches
    assert first == ("scale on 1", "stream 7", (3, 2, 1), 128, 4000, values)
    assert second == ("scale on 1", "stream 7", (1, 1, 1), 128, 0, values)
    assert driver.entered == [1, 1], "this thread's context is current before each"


def test_a_launch_is_started_again_with_some_arguments_changed(driver: FakeDriver) -> None:
    named, other = arguments(), torch.ones(8).as_subclass(OnDevice)
    ready = launch.Launch(SCALE.variant(), CUDA, (2,), 0, **named)
    assert driver.launches == []
    ready.start()
    ready.start(begin=7, bias=other)
    ready.start(n=3)
    first = [named["x"].data_ptr(), 0, 8, 2**40, 0.5]
    second = [first[0], other.data_ptr(), 8, 7, 0.5]
    assert [call[-1] for call in driver.launches] == [first, second, [*second[:2], 3, *second[3:]]]
    with pytest.raises(ValueError, match="scale: expected int32 for n, got 2147483648"):
        ready.start(n=2**31)
    assert len(driver.launches) == 3


def test_the_default_stream_is_the_legacy_one(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    launch.launch(SCALE.variant(), CUDA, (1,), 0, **arguments())
    assert driver.launches[0][1] == "stream 1"


def test_a_kernel_is_loaded_once_a_device_and_variant(driver: FakeDriver) -> None:
    kernel = Kernel("scale", threads=128, macros=(("MORE", (0, 1)),))
    for device in (0, 1, 0):
        for more in (0, 1):
            launch.load(kernel.variant(MORE=more), torch.device("cuda", device))
    assert [device for _, _, device, _ in driver.loads] == [0, 0, 1, 1]
    assert launch.blocks_per_multiprocessor(kernel.variant(), CUDA, 5) == 133


def test_a_graph_may_record_a_launch_but_not_a_load(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="scale isn't loaded on cuda:1 yet: run the step once"):
        launch.launch(SCALE.variant(), CUDA, (1,), 0, **arguments())
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    launch.load(SCALE.variant(), CUDA)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    launch.launch(SCALE.variant(), CUDA, (1,), 0, **arguments())
    assert (len(driver.loads), len(driver.launches)) == (1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 2**31}, "expected int32 for n, got 2147483648"),
        ({"n": 1.0}, "expected an integer for n, got 1.0"),
        ({"n": True}, "expected an integer for n, got True"),
        ({"rate": "fast"}, "expected a number for rate, got 'fast'"),
        ({"x": None}, "expected a tensor for x, got None"),
        ({"x": 12345}, "expected a tensor for x, got 12345"),
        ({"x": torch.zeros(8)}, "expected x contiguous float32 on cuda:1, got .* on cpu"),
        ({"x": torch.zeros(8, dtype=torch.float64).as_subclass(OnDevice)}, "expected x .* got torch.float64"),
        ({"x": torch.zeros(8, 2).T.as_subclass(OnDevice)}, r"expected x contiguous .* strides \(1, 2\)"),
        ({"bias": torch.zeros(8)}, "expected bias contiguous"),
        ({"speed": 3}, "no parameter speed; its parameters are x, bias, n, begin, rate"),
        ({"speed": 3, "n": "left out"}, "no argument for n; no parameter speed; its parameters are x"),
    ],
)
def test_wrong_arguments_are_refused(driver: FakeDriver, change: dict[str, Any], message: str) -> None:
    named = {name: value for name, value in {**arguments(), **change}.items() if value != "left out"}
    with pytest.raises(ValueError, match=f"scale: {message}"):
        launch.launch(SCALE.variant(), CUDA, (1,), 0, **named)
    assert driver.launches == []


@pytest.mark.parametrize(
    ("grid", "shared", "message"),
    [
        ((0, 2), 0, r"expected at least one block, got the grid \(0, 2\)"),
        ((1,), 4001, "expected at most 4000 bytes of dynamic shared memory, got 4001"),
    ],
)
def test_a_wrong_size_is_refused(
    driver: FakeDriver, grid: tuple[int, ...], shared: int, message: str
) -> None:
    with pytest.raises(ValueError, match=f"scale: {message}"):
        launch.launch(SCALE.variant(), CUDA, grid, shared, **arguments())
    assert driver.launches == []


def test_a_cubin_with_other_parameters_than_its_text_is_never_launched(driver: FakeDriver) -> None:
    driver.widths = [8, 8, 8, 8, 4]
    with pytest.raises(AssertionError, match=r"cubin of scale has parameters of \[8, 8, 8, 8, 4\]"):
        launch.load(SCALE.variant(), CUDA)


def test_kernels_are_available(driver: FakeDriver) -> None:
    assert launch.unavailable_reason(CUDA) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert launch.usable(torch.device("cuda"))


def test_the_reason_for_unavailable_kernels_is_shown_once(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launch.unavailable_reason(CPU) == "cpu is no CUDA device"
    monkeypatch.setattr(compiler, "unavailable_reason", lambda: "the 'gpu' extra isn't installed: no cuda")
    with pytest.warns(
        UserWarning, match=r"kernels unavailable, .*: the 'gpu' extra .*pip install 'xmcpipe\[gpu\]'"
    ):
        assert not launch.usable(CUDA)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not launch.usable(CUDA)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("driver", "the driver supports CUDA 12, NVRTC is CUDA 13 (update the driver)"),
        ("torch", "this torch isn't built for CUDA"),
        ("gpu", "torch sees no GPU"),
        ("device", "doesn't compile for compute capability 7.0"),
    ],
)
def test_reasons_for_unavailable_kernels(
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
    assert reason in (launch.unavailable_reason(CUDA) or "")
