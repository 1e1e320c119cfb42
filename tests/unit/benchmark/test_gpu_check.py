"""`make gpu-check` as a plain script, where packages are missing, and killed in the middle of its work."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tests.bench.gpu import steps
from tests.bench.gpu.jobs import SANITIZED, Job, jobs
from tests.bench.gpu.machine import machine
from tests.bench.gpu.report import Part, Report
from xmcpipe.benchmark import implementations, timing

ROOT = Path(__file__).resolve().parents[3]
BLOCKED = ("polars", "faiss", "optimi", "tensorboardX", "matplotlib", "altair")
BLOCK = f"""
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_spec(cls, name, path=None, target=None):
    return None if name.partition(".")[0] in {BLOCKED} else find(name, path, target)
PathFinder.find_spec = classmethod(find_spec)
"""
PARTS = ("compile", "steps", "amazon-670k-grouped light", "bench")
PATIENCE = 600.0  # seconds; reached only if the script hangs


@pytest.fixture
def without_packages(tmp_path: Path) -> dict[str, str]:
    """An environment in which importing the packages of BLOCKED fails, in every process."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(BLOCK)
    environment = {**os.environ, "PYTHONPATH": str(site), "XMCPIPE_CACHE": str(tmp_path / "cache")}
    for package in BLOCKED:
        command = [sys.executable, "-c", f"import {package}"]
        found = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert "ModuleNotFoundError" in found.stderr
    return environment


def start(out: Path, environment: dict[str, str], cwd: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "tests/bench/gpu_check.py"), "--out", str(out), *more]
    return subprocess.Popen(
        command, env=environment, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(out: Path, check: subprocess.Popen[str], enough: Callable[[dict[str, Any]], object]) -> None:
    """Read the report again and again until it has enough: at each moment it must be whole."""
    path, ends = out / "cpu-check.json", time.monotonic() + PATIENCE
    while not (path.is_file() and enough(json.loads(path.read_text()))):
        assert check.poll() is None, check.communicate()[0]
        assert time.monotonic() < ends
        time.sleep(0.05)


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {part["name"]: part["verdict"] for part in document["parts"]}


# Long: a run, its kill, and all that must be left.
@pytest.mark.skipif("gpu" in machine(), reason="the machine has a GPU, on which the check takes minutes")
@pytest.mark.slow
def test_a_killed_check_leaves_a_report_of_what_was_done(
    tmp_path: Path, without_packages: dict[str, str]
) -> None:
    out = tmp_path / "out"
    check = start(out, without_packages, tmp_path, "--parts", ",".join(PARTS))
    wait_for(out, check, lambda document: (document["bench"] or {}).get("comparisons"))
    check.kill()
    said = check.communicate()[0]
    document = json.loads((out / "cpu-check.json").read_text())
    found = verdicts(document)
    assert list(found) == list(PARTS)
    assert [found[name] for name in PARTS[:-1]] == ["ok"] * 3, said
    assert found["bench"] in ("running", "ok")
    assert [row["memory"] for row in document["shapes"]] == ["light"]
    assert len(document["steps"]) == 4
    assert all(row["ms"].keys() == {"ffi", "grouped", "dense"} for row in document["steps"])
    assert all(row["group"] > 1 for row in document["steps"])
    assert all(0 < row["grouped_floor_ms"] < row["floor_ms"] for row in document["steps"])
    assert all(part["expected_seconds"] > 0 for part in document["parts"])
    assert document["machine"]["torch"] in said
    page = (out / "cpu-check.md").read_text()
    assert "| amazon-670k-grouped light | ok |" in page
    assert str(ROOT) not in page
    assert json.loads((out / "bench" / "bench.json").read_text())["comparisons"]
    assert "tests.bench.gpu.steps" in (out / "gpu-check.log").read_text()


@pytest.mark.skipif("gpu" in machine(), reason="the machine has a GPU, on which the check takes minutes")
@pytest.mark.slow
def test_a_signal_stops_the_part_too(tmp_path: Path, without_packages: dict[str, str]) -> None:
    check = start(tmp_path, without_packages, tmp_path, "--parts", "steps,bench")
    wait_for(tmp_path, check, lambda document: len(document["steps"]) >= 1)
    check.terminate()
    said = check.communicate()[0]
    assert check.returncode == 1
    assert "stopped by SIGTERM" in said
    document = json.loads((tmp_path / "cpu-check.json").read_text())
    assert verdicts(document) == {"steps": "stopped", "bench": "not run"}
    assert len(document["steps"]) >= 1


def test_a_shape_that_fails_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = implementations.FixedFanIn.step

    def step(self: implementations.FixedFanIn) -> tuple[Tensor, ...]:
        sizes = self.problem.shape.batch, self.problem.shape.labels
        if sizes == (2, 64):
            raise OSError("the device is lost\nand more")
        loss, gradient = right(self)
        return (loss, 2.0 * gradient) if sizes == (2, 32) else (loss, gradient)

    monkeypatch.setattr(implementations.FixedFanIn, "step", step)
    monkeypatch.setattr(steps, "SMALL", ((64, 32), (4, 2), 8))
    for name in ("COPIED_BYTES", "SWEPT_BYTES"):
        monkeypatch.setattr(timing, name, {"cpu": 1 << 20, "cuda": 1 << 20})
    monkeypatch.setattr(sys, "argv", ["steps", "--small", "--seconds", "0.01"])
    assert steps.main() == 1
    part = Part("steps", "", 1.0, "steps")
    for line in capsys.readouterr().out.splitlines():
        part.take(line)
    assert [list(row["ms"]) for row in part.rows] == [["ffi", "grouped", "dense"]] * 2 + [[], ["dense"]]
    assert part.rows[2]["notes"] == {"all": "failed: the device is lost"}
    assert part.rows[3]["notes"]["ffi"].startswith("wrong: dX off by")
    report = Report(Path(), {}, [part], Path())
    assert "| 64 | 8 | 2 |  | all | failed: the device is lost |" in report._markdown()


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    check = start(tmp_path, dict(os.environ), tmp_path, "--parts", "step")
    assert check.communicate()[0].splitlines()[-1].startswith("expected --parts from compile, kernel tests,")
    assert check.returncode == 1


def test_the_parts_on_a_gpu_name_files_and_tests_that_exist() -> None:
    """Nothing runs them here; a test that was renamed would leave its part empty on a lent GPU."""
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *SANITIZED], cwd=ROOT, capture_output=True
    )
    assert listed.stdout.decode().count("::") == len(SANITIZED)
    on_gpu, on_cpu = jobs("sm_90", Path("bench")), jobs(None, Path("bench"))
    assert [job.name for job in on_gpu] == [job.name for job in on_cpu]
    assert sum(job.expected for job in on_gpu[:6]) <= 300.0  # the first call
    for job in on_gpu:
        _require_files(job)


def _require_files(job: Job) -> None:
    for argument in job.command:
        if argument.startswith("tests/"):
            assert (ROOT / argument.partition("::")[0]).exists(), argument
        elif argument.startswith("tests."):
            assert (ROOT / f"{argument.replace('.', '/')}.py").is_file(), argument
