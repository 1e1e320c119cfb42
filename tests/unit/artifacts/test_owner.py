"""Whose an unfinished folder is, and when another process may take it over; without file locks too."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xmcpipe.artifacts import owner, scratch
from xmcpipe.artifacts.owner import Watch, machine, name_of, owned, owner_of, touching
from xmcpipe.artifacts.scratch import attempts, discard, forget, owning
from xmcpipe.errors import XmcpipeError

NAME = "model-0123456789abcdef"


@pytest.fixture
def ended() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "BEAT", 0.01)
    monkeypatch.setattr(owner, "SILENT", 0.3)
    monkeypatch.setattr(scratch, "WAIT", 0.01)


def folder_of(folder: Path, place: str, process: str) -> Path:
    path = folder / f"{NAME}.host.{place}.{process}.0badcafe"
    path.mkdir()
    (path / "checkpoint").write_text("state")
    return path


def test_a_name_tells_its_owner(tmp_path: Path) -> None:
    path = tmp_path / owned(NAME)
    found = owner_of(path)
    assert found is not None
    assert (found.pid, found.is_here, found.is_alive) == (os.getpid(), True, True)
    assert name_of(path) == NAME
    assert owner_of(tmp_path / NAME) is None
    assert name_of(tmp_path / NAME) == NAME


def test_another_process_with_the_same_id_is_not_the_owner(tmp_path: Path) -> None:
    assert Watch().is_abandoned(folder_of(tmp_path, machine(), f"{os.getpid()}-1"))


@pytest.mark.parametrize("left", ["free", "dead", "silent"])
def test_what_an_ended_process_left_is_taken_over(tmp_path: Path, ended: int, left: str) -> None:
    if left == "free":
        folder_of(tmp_path, machine(), f"{ended}-1").rename(tmp_path / NAME)
    else:
        folder_of(tmp_path, machine() if left == "dead" else "elsewhere", f"{ended}-1")
    with owning(tmp_path, NAME, "the model") as path:
        assert (path / "checkpoint").read_text() == "state"
        (mine,) = attempts(tmp_path)
        assert (mine.scratch, mine.name, mine.running) == (path, NAME, True)
    (free,) = attempts(tmp_path, NAME)
    assert (free.scratch, free.running) == (tmp_path / NAME, False)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_living_owner_is_waited_for(tmp_path: Path, where: str) -> None:
    busy = folder_of(tmp_path, machine() if where == "here" else where, owned("").split(".")[3])
    entered, leave = threading.Event(), threading.Event()

    def enter() -> None:
        with owning(tmp_path, NAME, "the model") as path:
            assert not any(path.iterdir())
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=enter)
    with touching(busy):
        thread.start()
        assert not entered.wait(0.6)  # longer than one that is silent would be waited for
        discard(busy)
    assert entered.wait(10)
    leave.set()
    thread.join()
    assert list(tmp_path.iterdir()) == []


def test_many_at_once_never_share_a_folder(tmp_path: Path, ended: int) -> None:
    for number in range(4):
        folder_of(tmp_path, machine(), f"{ended}-{number}")
    start, paths = threading.Barrier(8), []

    def enter() -> None:
        start.wait()
        with owning(tmp_path, NAME, "the model") as path:
            paths.append(path)
            content = path / "log" / "mine"
            content.parent.mkdir()
            content.write_text(path.name)
            assert content.read_text() == path.name
            forget(path)

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*paths}) == 8
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_taken_over_stops_with_one_line(tmp_path: Path) -> None:
    def lose() -> None:
        with owning(tmp_path, NAME, "the model") as path:
            path.rename(tmp_path / "taken")
            (path / "checkpoint").write_text("state")

    with pytest.raises(XmcpipeError, match="another process has taken over the unfinished work on the model"):
        lose()
    assert (tmp_path / "taken").is_dir()


def test_an_error_of_its_own_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), owning(tmp_path, NAME, "the model"):
        (tmp_path / "missing").read_text()
