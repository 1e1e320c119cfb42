"""`xmcpipe doctor`: what it finds on this machine, and on one where something is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from xmcpipe.cli.app import app
from xmcpipe.doctor import gpu, room
from xmcpipe.doctor.encoder import encoder
from xmcpipe.machine.cores import usable_cores
from xmcpipe.memory.predicted import Floor, Plan
from xmcpipe.memory.recipe_plan import RecipePlan
from xmcpipe.memory.shape import DataShape

NAMES = [
    "Python", "torch", "faiss", "CUDA", "driver", "NVRTC", "cuda-bindings", "threads", "store", "cache",
    "disk", "memory",
]  # fmt: skip


def planned(count: int) -> RecipePlan:
    """A plan that needs `count` bytes for weights."""
    plan = Plan("paper", "cpu", {"classifier weights": count}, {}, {}, Floor(1, 1, 1), 1)
    return RecipePlan(DataShape(), 1, "", [plan], 0, (0, 0), {}, [])


def doctor(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["doctor", *arguments])


def findings(*arguments: str) -> dict[str, dict[str, str]]:
    """The findings by name."""
    return {each["name"]: each for each in json.loads(doctor("--json", *arguments).stdout)["findings"]}


def test_this_machine(tmp_path: Path) -> None:
    found = findings("--store", str(tmp_path / "new"))
    assert [name for name in found if name != "GPU memory"] == NAMES
    assert found["torch"]["found"].startswith(torch.__version__)
    assert found["store"]["state"] == "ok"
    assert not (tmp_path / "new").exists()  # nothing is made


def test_lines_fit_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "file").touch()
    done = doctor("--store", str(tmp_path / "file" / "store"))
    assert done.exit_code == 2
    lines = done.stdout.splitlines()
    # A path is in one piece, so that it can be copied.
    assert all(len(line) <= 80 for line in lines if str(tmp_path) not in line)
    assert any(line.startswith("wrong    store") for line in lines)
    assert any("fix: name another one with --store DIR or XMCPIPE_STORE" in line for line in lines)


def test_with_a_recipe_it_looks_for_the_encoder_and_plans(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XMCPIPE_STORE", str(tmp_path / "store"))
    settings = ("--set", f"tokenize.encoder={tiny_encoder}", "--set", "train.device=cpu")
    found = findings("quickstart", *settings)
    assert found["encoder"]["state"] == "ok"
    assert found["plan"]["state"] == "warning"
    assert "tokenize" in found["plan"]["fix"]
    missing = doctor("quickstart", "--set", "tokenize.encoder=./nowhere")
    assert missing.exit_code == 2
    assert "there is no such folder" in missing.stdout


def test_a_name_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert encoder("nobody/nothing").state == "wrong"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    found = encoder("nobody/nothing")
    assert (found.state, found.fix) == ("warning", "hf download nobody/nothing")
    assert encoder("no name of the hub!").state != "ok"


def test_a_device_that_is_not_there() -> None:
    if torch.cuda.is_available():
        assert gpu.devices(wanted=True).state == "ok"
    else:
        assert gpu.devices(wanted=True).state == "wrong"
        assert gpu.devices(wanted=False).state in ("ok", "warning")


def test_the_driver_is_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file := tmp_path / "version").write_text("NVRM version: NVIDIA Module  550.54.15  Tue Mar 5\nGCC 12\n")
    monkeypatch.setattr(gpu, "DRIVER", file)
    assert gpu.driver().found == "550.54.15"


def test_more_threads_than_cores() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(usable_cores() + 1)
        found = room.threads()
    finally:
        torch.set_num_threads(before)
    assert (found.state, found.fix) == ("warning", f"export OMP_NUM_THREADS={usable_cores()}")


@pytest.mark.parametrize(("count", "state"), [(1, "ok"), (1 << 60, "wrong")])
def test_disk_and_memory_against_a_plan(tmp_path: Path, count: int, state: str) -> None:
    disk = room.disk(tmp_path, planned(count))
    (memory,) = room.memory(planned(count), "cpu")
    assert (disk.state, memory.state) == (state, state)
    assert "needed" in disk.found
    assert bool(disk.fix) == bool(memory.fix) == (state == "wrong")


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from xmcpipe.doctor import installed

    modules: Any = sys.modules
    monkeypatch.setitem(modules, "faiss", None)  # importing it is an ImportError
    assert (installed.faiss(True).state, installed.faiss(False).state) == ("wrong", "warning")
    assert installed.faiss(True).fix == "pip install 'xmcpipe[cpu]'"
