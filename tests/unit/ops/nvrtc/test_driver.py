"""The driver's calls, through cuda-bindings, to a driver that tells them (tests/kernels/host/libcuda.cpp)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xmcpipe.ops.nvrtc import compiler, driver

TEXT = Path(__file__).parents[3] / "kernels" / "host" / "libcuda.cpp"
CALLS = """
import numpy, torch
from xmcpipe.ops.nvrtc.arguments import ArgumentMemory, Signature
from xmcpipe.ops.nvrtc.driver import Driver
from xmcpipe.ops.nvrtc.source import Parameter

driver = Driver()
print("newest", driver.newest_cuda())
kernel, widths = driver.load(b"cubin", "scale", 0, 77)
print("widths", widths)
print("blocks", driver.occupancy(kernel, 0, 128, 500))
print("clusters", driver.active_clusters(kernel, 0, 4, 128, 500))
numbers = {"n": "int32", "seed": "uint64", "rate": "float32"}
declared = [Parameter("x", "float32", pointer=True)]
declared += [Parameter(name, type_, pointer=False) for name, type_ in numbers.items()]
memory, x = ArgumentMemory(Signature("scale", declared)), torch.zeros(4)
memory.write({"x": x, "n": -5, "seed": 2**64 - 1, "rate": 0.25}, torch.device("cpu"))
driver.enter(0)
driver.launch(kernel, driver.stream(9), (3, 2, 1), 128, 500, memory.addresses)
memory.write({"n": 6}, torch.device("cpu"))
driver.launch(kernel, driver.stream(9), (3, 2, 1), 128, 500, memory.addresses)
print("address", hex(x.data_ptr()))
try:
    driver.launch(kernel, driver.stream(9), (1, 1, 1), 128, 1001, memory.addresses)
except RuntimeError as error:
    print(error)
"""


@pytest.fixture
def said(tmp_path: Path) -> list[str]:
    """The lines of a process that makes CALLS."""
    if (reason := compiler.unavailable_reason()) or shutil.which("g++") is None:
        pytest.skip(reason or "no g++")
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["g++", "-shared", "-fPIC", "-o", str(library), str(TEXT)], check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    unbuffered = ["stdbuf", "-o0", sys.executable, "-c", CALLS]
    done = subprocess.run(unbuffered, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_kernel_is_loaded_and_launched_by_the_driver_s_own_rules(said: list[str]) -> None:
    address = next(line for line in said if line.startswith("address")).split()[1]
    launch = "launch 3 2 1 block 128 shared 500 stream 9"
    assert said == [
        "newest 13",
        "retain 0",
        "enter 1",
        "load cubin",
        "function scale",
        "attribute 8 77",
        "load function",
        "widths [8, 4, 8, 4]",
        "occupancy 128 500",
        "blocks 3",
        "clusters 4 128 1 shared 500 attribute 4: 4 1 1",
        "clusters 7",
        f"{launch}: {address} -5 18446744073709551615 0.25",
        f"{launch}: {address} 6 18446744073709551615 0.25",
        f"address {address}",
        "CUDA driver call failed: CUDA_ERROR_OUT_OF_MEMORY",
    ]


def test_an_old_cuda_bindings_is_one_line_with_the_version_that_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bindings = pytest.importorskip("cuda.bindings.driver")
    assert driver.missing_reason() is None
    monkeypatch.delattr(bindings, "cuFuncGetParamInfo")
    monkeypatch.setattr(driver, "version", lambda _: "12.0.0")
    compiler.unavailable_reason.cache_clear()
    try:
        reason = compiler.unavailable_reason()
    finally:
        compiler.unavailable_reason.cache_clear()
    assert reason == "cuda-bindings 12.0.0 is too old, 12.4 or newer is needed"
