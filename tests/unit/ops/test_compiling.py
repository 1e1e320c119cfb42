"""The cache of compiled kernels: an edit of any of them makes all anew, and one process compiles for all."""

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from numba import config

from xmcpipe.ops.cpu import step
from xmcpipe.ops.cpu.simd import compiling

KERNEL = """
import sys
from pathlib import Path
from xmcpipe.ops.cpu.simd import compiling

compiling._cache_folder = lambda: Path(sys.argv[1])

@compiling.compiled
def inner(values):
    total = 0.0
    for value in values:
        total += value
    return total

@compiling.compiled
def outer(values):
    return inner(values) + inner(values[1:])
"""
CALLED = """
import sys
import numpy as np
import kernel

print("ready", flush=True)
sys.stdin.readline()
assert kernel.outer(np.arange(4.0)) == 12.0
for each in (kernel.inner, kernel.outer):
    print(each.__name__, sum(each.stats.cache_misses.values()), sum(each.stats.cache_hits.values()))
"""


def test_the_cache_is_named_by_the_text_of_all_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numba itself would keep a function whose callee in another file has changed."""
    (tmp_path / "simd").mkdir()
    for name, text in (("simd/compiling.py", "one"), ("ffi.py", "two")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "simd" / "compiling.py"))
    folders = []
    for name, text in (("ffi.py", "two"), ("ffi.py", "three"), ("simd/compiling.py", "four")):
        (tmp_path / name).write_text(text)
        compiling._cache_folder.cache_clear()
        folders.append(compiling._cache_folder())
    compiling._cache_folder.cache_clear()
    assert len({folder.name for folder in folders}) == 3
    assert {folder.parent for folder in folders} == {tmp_path / "__pycache__"}


def test_kernels_use_that_folder_and_other_code_does_not() -> None:
    texts = [path.read_bytes() for path in sorted(Path(compiling.__file__).parents[1].rglob("*.py"))]
    name = hashlib.sha256(b"".join(texts)).hexdigest()[:16]
    cache = step.step_slice._cache._cache_path  # type: ignore[attr-defined]
    assert f"/{name}/" in Path(cache).as_posix()
    assert name not in str(config.CACHE_DIR)


def test_of_processes_that_need_a_kernel_one_compiles_it(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CALLED, str(tmp_path / "cache")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers: list[str] = [""] * len(processes)

    def answer(number: int) -> None:
        answers[number] = processes[number].communicate("go\n")[0]

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(len(processes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.returncode for process in processes] == [0, 0, 0]
    compiled = "inner 1 0\nouter 1 0\n"
    assert answers.count(compiled) == 1
    # The others read the outer one, which has the inner one in it, from the cache.
    assert [text for text in answers if text != compiled] == ["inner 0 0\nouter 0 1\n"] * 2


def test_a_kernel_is_compiled_where_no_file_can_be_locked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with compiling._locked(tmp_path / "file" / "folder", "name"):
        pass
