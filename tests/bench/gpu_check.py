"""Builds, checks and times everything that needs a GPU, in less than 10 minutes: `make gpu-check`.

1. `xmcpipe kernels build`: compiles every kernel for the GPU;
2. the tests marked `gpu`: every operator against float64 on the CPU, streams, graphs, offsets above 2^31;
3. tests/bench/step_designs.py: compares the two designs of the fused step;
4. tests/bench/shapes.py: peak memory, predicted and measured, and seconds per step, for the paper's datasets
   in the modes `paper` and `light`, and for 100,000,000 labels;
5. `xmcpipe bench` over a grid, next to dense, CSR and embedding_bag;
6. compute-sanitizer, with memcheck and racecheck, on small layers, if it is installed.

Each part is a process with a time limit, so that a failure doesn't stop the other parts: its output is in the
report. Writes gpu-NAME.json and gpu-NAME.md into --out (results/gpu/), where NAME is that of the GPU.
Without a GPU the same parts run on the CPU with small shapes, which shows that the script works; the files
are then called cpu-check.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.gpu_report import ROOT, Part, machine, write_report

TIMED_OUT = 124  # exit status
TAIL = 3000  # characters of a part's output in the report


def finish(arguments: Sequence[str], seconds: float, environment: dict[str, str]) -> tuple[int, str, str]:
    """Run a command; returns status, output and errors. At the time limit all its processes are killed."""
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # a remaining process would occupy GPU memory
        out, err = process.communicate()
        return TIMED_OUT, out, err
    return process.returncode, out, err


class Check:
    """Runs the parts one after another until `seconds` have passed."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.parts: list[Part] = []

    def run(self, name: str, *arguments: str, limit: float, more: dict[str, str] | None = None) -> Part:
        """Run a command in the repository's root; `result` of the part is its whole standard output.

        `more` is added to its environment.
        """
        left = min(limit, self.ends - time.monotonic())
        shown = " ".join(arguments).replace(sys.executable, "python").replace(f"{ROOT}/", "")
        begin = time.monotonic()
        print(f"# {name}: {shown}", flush=True)
        if left < 5:
            part = Part(name, shown, None, 0.0, "no time left")
        else:
            env = {**os.environ, "HF_HUB_OFFLINE": "1"}
            env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [env.get("PYTHONPATH")])])
            status, out, err = finish(arguments, left, {**env, **(more or {})})
            tail = (out + err).strip()[-TAIL:]
            if status == TIMED_OUT:
                tail += f"\nstopped after {left:.0f} s"
            part = Part(name, shown, status, time.monotonic() - begin, tail, out)
        self.parts.append(part)
        print(f"  {part.verdict}, {part.seconds:.0f} s", flush=True)
        if part.status:
            print("  " + part.tail[-1500:].replace("\n", "\n  "), flush=True)
        return part

    def skip(self, name: str, why: str) -> None:
        """Record that a part was not run, and why."""
        self.parts.append(Part(name, "", None, 0.0, why))


PYTEST = (sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider")


def check_tests(check: Check, on_gpu: bool) -> None:
    """Run the tests that need a GPU; without one, those of the step."""
    places = [
        "tests/kernels",
        "tests/unit/ops",
        "tests/unit/modeling",
        "tests/unit/training",
        "tests/unit/memory",
    ]
    marked = ["-m", "gpu"]
    if not on_gpu:
        places, marked = ["tests/unit/ops"], ["-k", "step"]
    check.run("tests", *PYTEST, *marked, *places, limit=150)


def check_sanitizer(check: Check, on_gpu: bool) -> None:
    """Run compute-sanitizer's tools on small layers: each product, each design of the step."""
    sanitizer = shutil.which("compute-sanitizer")
    if not on_gpu or sanitizer is None:
        check.skip("sanitizer", "no GPU" if not on_gpu else "compute-sanitizer is not installed")
        return
    # API errors are not reported, because looking up functions by name fails now and then without harm.
    # torch's memory cache is off, because it would hide reads outside a tensor.
    options = ["--error-exitcode", "9", "--report-api-errors", "no"]
    small = ["tests/kernels/test_device.py", "-k", "(equal_float64 and 64-torch.bfloat16) or the_step_on"]
    for tool in ("memcheck", "racecheck"):
        uncached = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"} if tool == "memcheck" else {}
        check.run(tool, sanitizer, "--tool", tool, *options, *PYTEST, *small, limit=60, more=uncached)


def check_bench(check: Check, on_gpu: bool, out: Path) -> Any:
    """Run the bench grid, and return its JSON document."""
    grid = ["--labels", "131072,670091", "--fan-in", "64,128", "--batch", "32,64,128,512"]
    grid += ["--dtype", "bfloat16"]
    if not on_gpu:
        grid = ["--quick"]
    folder = out / "bench-check"
    command = [sys.executable, "-m", "xmcpipe", "bench", *grid, "--out", str(folder)]
    part = check.run("bench", *command, limit=150)
    written = folder / "bench.json"
    part.result = json.loads(written.read_text()) if written.is_file() else None
    shutil.rmtree(folder, ignore_errors=True)
    return part.result


def check_designs(check: Check, on_gpu: bool) -> list[dict[str, Any]]:
    """Time both designs of the step, and return a row per shape."""
    if not on_gpu:
        check.skip("step designs", "both need a GPU")
        return []
    part = check.run("step designs", sys.executable, "tests/bench/step_designs.py", limit=60)
    return [json.loads(line) for line in (part.result or "").splitlines() if line.startswith("{")]


def check_shapes(check: Check, on_gpu: bool) -> list[dict[str, Any]]:
    """Measure memory and seconds per step of each shape, and return a row per shape and mode."""
    from tests.bench.shapes import SHAPES

    rows = []
    for name in SHAPES:
        for memory in ("light", "paper"):
            if name == "100m" and memory == "paper":
                continue  # 100M x 128 float32 weights with gradient and moments would take 200 GB
            command = [sys.executable, "tests/bench/shapes.py", name, "--memory", memory]
            large = name == "100m"  # drawing and rewiring 12.8 billion connections takes most of the time
            steps = ["--steps", "6"] if large else []
            sizes = steps if on_gpu else ["--small", "--steps", "5"]
            part = check.run(f"{name}, {memory}", *command, *sizes, limit=200 if large else 90)
            lines = (part.result or "").strip().splitlines()
            part.result = json.loads(lines[-1]) if part.status == 0 and lines else None
            if part.result:
                rows.append(part.result)
    return rows


def main() -> int:
    """Run all parts; the exit status is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu")
    parser.add_argument("--seconds", type=float, default=570.0)
    options = parser.parse_args()
    import torch

    on_gpu = torch.cuda.is_available()
    facts, check = machine(on_gpu), Check(options.seconds)
    arch = "sm_{}{}".format(*torch.cuda.get_device_capability()) if on_gpu else "sm_90"
    check.run("compile", sys.executable, "-m", "xmcpipe", "kernels", "build", "--arch", arch, limit=120)
    check_tests(check, on_gpu)
    designs, rows = check_designs(check, on_gpu), check_shapes(check, on_gpu)
    bench = check_bench(check, on_gpu, options.out)
    check_sanitizer(check, on_gpu)
    page = write_report(check.parts, facts, rows, designs, bench, options.out)
    print("\n" + page.read_text())
    return int(any(part.status for part in check.parts))


if __name__ == "__main__":
    sys.exit(main())
