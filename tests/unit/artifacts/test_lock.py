import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xmcpipe.artifacts.lock import exclusive, is_held


def test_it_is_held_for_the_block_and_leaves_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    assert not is_held(lock)
    with exclusive(lock, "a"):
        assert is_held(lock)
    assert not is_held(lock)
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_block_releases_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="boom"), exclusive(tmp_path / "a.lock", "a"):
        raise RuntimeError("boom")
    assert not is_held(tmp_path / "a.lock")


def test_many_at_once_are_never_two_at_once(tmp_path: Path) -> None:
    inside, most, entered = 0, 0, 0
    start = threading.Barrier(8)

    def enter() -> None:
        nonlocal inside, most, entered
        start.wait()
        for _ in range(20):
            with exclusive(tmp_path / "a.lock", "a"):
                inside += 1
                most, entered = max(most, inside), entered + 1
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, entered) == (1, 160)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    program = (
        "import sys, time; from pathlib import Path; from xmcpipe.artifacts.lock import exclusive\n"
        "with exclusive(Path(sys.argv[1]), 'a'): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    assert is_held(lock)
    process.kill()
    process.communicate()
    assert not is_held(lock)
    with exclusive(lock, "a"):
        assert is_held(lock)
