"""`xmcpipe` run in forks of a process that has already imported the slow packages.

A command then starts in a tenth of a second, and is otherwise the same: a process with its own folder,
environment and streams. Tests of starting, importing or killing use new processes instead
(`places.Workplace.patched`).
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from pathlib import Path
from tempfile import TemporaryDirectory

IMPORTED = (
    "torch",
    "numba",
    "pyarrow.parquet",
    "transformers.models.bert.modeling_bert",
    "xmcpipe.stages.train",
)
STREAMS = ("stdin", "stdout", "stderr")


def finish(
    arguments: Sequence[str], folder: Path, environment: dict[str, str], stdin: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `xmcpipe ARGUMENTS` in `folder`, as subprocess.run would."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    _start(environment)
    with TemporaryDirectory() as place:
        files = [Path(place) / name for name in STREAMS]
        files[0].write_text(stdin, "utf-8")
        process = context.Process(target=_main, args=(list(arguments), folder, environment, files))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(["xmcpipe", *arguments], timeout)
        printed = [file.read_text("utf-8") if file.exists() else "" for file in files[1:]]
    return subprocess.CompletedProcess(["xmcpipe", *arguments], process.exitcode, *printed)


def _start(environment: dict[str, str]) -> None:
    """Start the process to fork from; its imports see this environment."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _main(arguments: list[str], folder: Path, environment: dict[str, str], files: list[Path]) -> None:
    """Run the command, in the fork."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, (name, file) in enumerate(zip(STREAMS, files, strict=True)):
        opened = os.open(file, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
        mode = "r" if name == "stdin" else "w"
        setattr(sys, name, os.fdopen(os.dup(number), mode, encoding="utf-8"))
    sys.argv = ["xmcpipe", *arguments]
    from xmcpipe.cli.app import main

    main()
