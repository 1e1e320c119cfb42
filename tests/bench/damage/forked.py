"""Runs commands of xmcpipe in forks of one process that has imported everything, with or without a bad disk.

    with Forks() as forks:
        done = forks.run(["train", "tiny.toml"], folder, Fault("write", 3, 1, errno.EIO))

A command then starts at once. This module is also that process: it reads requests as lines of JSON from
standard input, forks for each, and answers on standard output.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

# The kinds of calls, numbered as in failing_disk.c.
KINDS = ("open", "read", "write", "sync", "rename", "mkdir", "unlink")
SOURCE = Path(__file__).with_name("failing_disk.c")
HUNG = 124  # exit code of a command that took too long, as that of `timeout`


@dataclass(frozen=True)
class Fault:
    """Calls of `kind` fail with `errno`: `count` of them from number `first` on, or all later ones if 0."""

    kind: str
    first: int
    count: int
    errno: int


@dataclass(frozen=True)
class Done:
    """What a command did: its exit code, its output, the calls of each kind, its largest memory in bytes."""

    code: int
    stdout: str
    stderr: str
    calls: dict[str, int]
    most_bytes: int

    @property
    def is_clean(self) -> bool:
        """Whether it succeeded, or ended in one line that says why."""
        errors = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return self.code == 0 or (self.code == 2 and len(errors) == 1 and "Traceback" not in self.stderr)


def compile_failing_disk(out: Path) -> Path:
    """The library, compiled. Raises FileNotFoundError where there is no C compiler."""
    library = out / "failing_disk.so"
    subprocess.run(
        ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"],
        check=True,
        capture_output=True,
    )
    return library


class Forks:
    """The process to fork from; `library` is the compiled failing disk, None to run without faults."""

    def __init__(self, library: Path | None = None, seconds: int = 600) -> None:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        if library is not None:
            environment["LD_PRELOAD"] = str(library)
        command = [sys.executable, "-m", "tests.bench.damage.forked"]
        self._seconds = seconds
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def __enter__(self) -> "Forks":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, arguments: Sequence[str], folder: Path, fault: Fault | None = None) -> Done:
        """Run `xmcpipe ARGUMENTS` in `folder`; calls on files below its store, `artifacts`, may fail."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {
            "arguments": list(arguments),
            "folder": str(folder.resolve()),
            "fault": None if fault is None else asdict(fault),
            "seconds": self._seconds,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Done(**json.loads(self._process.stdout.readline()))


def _serve() -> None:
    """Answer requests until standard input ends."""
    import faiss  # noqa: F401
    import numba  # noqa: F401
    import polars  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch  # noqa: F401
    import transformers.models.bert.modeling_bert  # noqa: F401

    import xmcpipe.cli.app
    import xmcpipe.stages.train  # noqa: F401

    for line in sys.stdin:
        with tempfile.TemporaryDirectory() as name:
            answer = _answer(json.loads(line), Path(name))
        print(json.dumps(answer), flush=True)


def _answer(request: dict[str, Any], place: Path) -> dict[str, Any]:
    files = [(place / name).open("w+") for name in ("stdout", "stderr", "calls")]
    process = os.fork()
    if process == 0:
        _run(request, *files)
    _, status, usage = os.wait4(process, 0)
    code = os.waitstatus_to_exitcode(status)
    for file in files:
        file.seek(0)
    stdout, stderr, calls = (file.read() for file in files)
    return {
        "code": HUNG if code == -signal.SIGALRM else code,
        "stdout": stdout,
        "stderr": stderr,
        "calls": json.loads(calls or "{}"),
        "most_bytes": usage.ru_maxrss * 1024,
    }


def _run(request: dict[str, Any], stdout: IO[str], stderr: IO[str], calls: IO[str]) -> None:
    """Run the command, in the fork, and end it."""
    folder, code = Path(request["folder"]), 1
    os.chdir(folder)
    os.environ["XMCPIPE_STORE"] = str(folder / "artifacts")
    # What the command starts runs without the library: a request is of one process.
    preloaded = os.environ.pop("LD_PRELOAD", "")
    nothing = os.open(os.devnull, os.O_RDONLY)  # standard input holds the next requests
    for number, descriptor in enumerate((nothing, stdout.fileno(), stderr.fileno())):
        os.dup2(descriptor, number)
    sys.argv = ["xmcpipe", *request["arguments"]]
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(request["seconds"])
    from xmcpipe.cli.app import main

    count = _arm(folder / "artifacts", request["fault"]) if preloaded else None
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    if count is not None:
        json.dump(count(), calls)
        calls.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _arm(store: Path, fault: dict[str, Any] | None) -> Any:
    """Let the calls of the fault fail from now on; returns a function that returns the number of calls."""
    import ctypes

    library = ctypes.CDLL(None)
    library.failing_disk_calls.restype = ctypes.c_long
    kind, first, count, number = -1, 0, 0, 0
    if fault is not None:
        kind, first = KINDS.index(fault["kind"]), fault["first"]
        count, number = fault["count"], fault["errno"]
    library.failing_disk_arm(os.fsencode(store), kind, ctypes.c_long(first), ctypes.c_long(count), number)
    return lambda: {name: library.failing_disk_calls(place) for place, name in enumerate(KINDS)}


if __name__ == "__main__":
    _serve()
