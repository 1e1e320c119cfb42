"""Threads: as many as there are cores, by affinity and control groups; they wait passively by default."""

import os
from pathlib import Path

import pytest

from xmcpipe.machine import cores
from xmcpipe.machine.cores import THREADS, WAITING, group_limits, set_thread_defaults, usable_cores


def limits(folder: Path, membership: str, files: dict[str, str]) -> list[float]:
    """The limits of a process with this membership where the system shows these files."""
    for name, text in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "membership").write_text(membership)
    return list(group_limits(folder / "groups", folder / "membership"))


def test_limits_of_version_2_count_at_every_level(tmp_path: Path) -> None:
    files = {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n", "cpu.max": "800000 100000\n"}
    assert limits(tmp_path, "0::/a/b\n", files) == [1.5, 8.0]


def test_limits_of_version_1(tmp_path: Path) -> None:
    job, period = "cpu,cpuacct/job/cpu.cfs_", "100000\n"
    files = {f"{job}quota_us": "200000\n", f"{job}period_us": period, "cpu,cpuacct/cpu.cfs_quota_us": "-1\n"}
    assert limits(tmp_path, "5:memory:/job\n4:cpu,cpuacct:/job\n", files) == [2.0]


@pytest.mark.parametrize("text", ["", "max\n", "a b\n", "1 0\n"])
def test_what_cannot_be_read_is_no_limit(tmp_path: Path, text: str) -> None:
    assert limits(tmp_path, "0::/\n", {"cpu.max": text}) == []
    assert list(group_limits(tmp_path, tmp_path / "missing")) == []


def test_the_fewest_cores_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5, 7}, raising=False)
    monkeypatch.setattr(cores, "group_limits", lambda *_: [2.5, 8.0])
    assert usable_cores() == 3
    monkeypatch.setattr(cores, "group_limits", lambda *_: [0.1])
    assert usable_cores() == 1
    monkeypatch.setattr(cores, "group_limits", lambda *_: [])
    assert usable_cores() == 4


def test_the_settings_of_the_user_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", own := dict.fromkeys((WAITING[1], THREADS), "5"))
    set_thread_defaults()
    assert own == {"GOMP_SPINCOUNT": "5", "OMP_NUM_THREADS": "5"}
    monkeypatch.setattr(os, "environ", none := dict[str, str]())
    set_thread_defaults()
    assert none == {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(usable_cores())}
