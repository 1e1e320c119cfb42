"""The parts of `make gpu-check`, in the order of their value, each with its expected seconds.

The seconds of a GPU are estimates for a machine of 16 cores; nothing has run on one yet. A part is stopped
after a multiple of them, so that one that hangs leaves time for the others.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.gpu.machine import tool_path

PATIENCE = {"gpu": 2.0, "cpu": 15.0}  # a part's time limit, in expected times: a CPU may be slow and shared
# -W default: other versions of libraries warn of other things, and a warning is no failure here.
PYTEST = (sys.executable, "-m", "pytest", "-v", "-W", "default", "-p", "no:cacheprovider")
DEVICE_TESTS = "tests/kernels/test_device.py"
GROUP_TESTS = "tests/kernels/group/test_group_device.py"
SANITIZED = (
    f"{DEVICE_TESTS}::test_scores_and_gradients_equal_float64[64-torch.bfloat16]",
    f"{DEVICE_TESTS}::test_the_step_on_the_gpu_is_the_step_on_the_cpu[torch.bfloat16-True]",
    f"{DEVICE_TESTS}::test_a_step_in_clusters_is_that_of_the_cpu[128]",
    f"{DEVICE_TESTS}::test_a_step_of_warpgroups_is_that_of_the_cpu[384-128]",
    f"{GROUP_TESTS}::test_scores_and_gradients_equal_float64[64-16-torch.bfloat16]",
    f"{GROUP_TESTS}::test_the_step_is_that_of_the_cpu[48-False-16-torch.bfloat16]",
)
# API errors are not reported, because looking up functions by name fails now and then without harm.
SANITIZER = ("--error-exitcode", "9", "--report-api-errors", "no")
# torch's memory cache would hide reads outside a tensor.
UNCACHED = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
PLAIN_SHAPES = ("amazon-670k", "amazon-3m")
FIRST_SHAPES = tuple(name for plain in PLAIN_SHAPES for name in (plain, f"{plain}-grouped"))
OTHER_SHAPES = ("lf-amazontitles-131k", "wiki-500k")


@dataclass(frozen=True)
class Job:
    """A command, or in `skipped` why it isn't run; `table` is the key of its rows in the report."""

    name: str
    expected: float
    command: tuple[str, ...] = ()
    table: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    skipped: str = ""


def jobs(architecture: str | None, bench: Path) -> list[Job]:
    """All parts for a GPU of this architecture; with None small ones that the CPU can do.

    `xmcpipe bench` writes its results into the folder `bench`.
    """
    return _gpu_jobs(architecture, bench) if architecture else _cpu_jobs(bench)


def _gpu_jobs(architecture: str, bench: Path) -> list[Job]:
    grid = ("--labels", "131072,670091", "--fan-in", "64,128", "--batch", "32,64,128,512")
    others = ("tests/unit/ops", "tests/unit/modeling", "tests/unit/benchmark")
    return [
        Job("compile", 30, _xmcpipe("kernels", "build", "--arch", architecture)),
        Job("kernel tests", 75, (*PYTEST, "-m", "gpu", "tests/kernels")),
        Job("steps", 60, _script("gpu/steps.py"), "steps"),
        Job("step designs", 60, _script("gpu/designs.py"), "step_designs"),
        Job("step in clusters", 30, _script("gpu/designs.py", "--clusters"), "step_designs"),
        *(_shape(name, "light", 35) for name in FIRST_SHAPES),
        _sanitizer("memcheck", 120, UNCACHED),
        Job("other tests", 60, (*PYTEST, "-m", "gpu", *others)),
        *(_shape(name, "paper", 35) for name in PLAIN_SHAPES),
        *(_shape(name, memory, 35) for name in OTHER_SHAPES for memory in ("light", "paper")),
        # Drawing and rewiring 12.8 billion connections takes most of the time. In "paper" 100M x 128 float32
        # weights with gradient and moments would take 200 GB.
        _shape("100m", "light", 120, "--steps", "6"),
        Job("bench", 150, _xmcpipe("bench", *grid, "--dtype", "bfloat16", "--out", str(bench))),
        _sanitizer("racecheck", 120),
    ]


def _cpu_jobs(bench: Path) -> list[Job]:
    no_gpu = "needs a GPU"
    small = ("--small", "--steps", "5")
    return [
        Job("compile", 10, _xmcpipe("kernels", "list")),
        Job("kernel tests", 10, (*PYTEST, "tests/kernels/test_unknown_macros.py")),
        Job("steps", 10, _script("gpu/steps.py", "--small"), "steps"),
        Job("step designs", 60, skipped=no_gpu),
        Job("step in clusters", 30, skipped=no_gpu),
        *(_shape(name, "light", 10, *small) for name in FIRST_SHAPES),
        Job("memcheck", 120, skipped=no_gpu),
        Job("other tests", 20, (*PYTEST, "tests/unit/ops/test_step_arguments.py")),
        *(_shape(name, "paper", 10, *small) for name in PLAIN_SHAPES),
        *(_shape(name, memory, 10, *small) for name in OTHER_SHAPES for memory in ("light", "paper")),
        _shape("100m", "light", 10, *small),
        Job("bench", 20, _xmcpipe("bench", "--quick", "--out", str(bench))),
        Job("racecheck", 120, skipped=no_gpu),
    ]


def _xmcpipe(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "xmcpipe", *arguments)


def _script(name: str, *arguments: str) -> tuple[str, ...]:
    module = name.removesuffix(".py").replace("/", ".")
    return (sys.executable, "-m", f"tests.bench.{module}", *arguments)


def _shape(name: str, memory: str, expected: float, *more: str) -> Job:
    """Memory and seconds of whole training steps."""
    command = _script("shapes.py", name, "--memory", memory, *more)
    return Job(f"{name} {memory}", expected, command, "shapes")


def _sanitizer(tool: str, expected: float, environment: dict[str, str] | None = None) -> Job:
    """A tool of compute-sanitizer on each product and on the step in one pass."""
    sanitizer = tool_path("compute-sanitizer")
    if sanitizer is None:
        return Job(tool, expected, skipped="compute-sanitizer is not installed")
    command = (sanitizer, "--tool", tool, *SANITIZER, *PYTEST, *SANITIZED)
    return Job(tool, expected, command, environment=environment or {})
