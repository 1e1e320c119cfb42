"""`xmcpipe` run in forks of a process that has already imported the slow packages.

A command then starts in a tenth of a second, and is otherwise the same: a process with its own folder,
environment and streams. Tests of starting and importing use new processes instead.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
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


class Fork:
    """`xmcpipe ARGUMENTS` running in `folder`, in a process and process group of its own.

    `patch` is Python text that the process runs first.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: dict[str, str],
        stdin: str = "",
        patch: str = "",
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(IMPORTED))
        _start(environment)
        self.arguments = ["xmcpipe", *arguments]
        self._place = TemporaryDirectory()
        self._files = [Path(self._place.name) / name for name in STREAMS]
        self._files[0].write_text(stdin, "utf-8")
        self._process = context.Process(
            target=_main, args=(list(arguments), folder, environment, self._files, patch)
        )
        self._process.start()

    @property
    def is_running(self) -> bool:
        return self._process.exitcode is None

    def send(self, number: int, group: bool = False) -> None:
        """Send a signal to the process, or to its group as a terminal does."""
        assert self._process.pid is not None
        with suppress(ProcessLookupError):  # it has just ended
            (os.killpg if group else os.kill)(self._process.pid, number)

    def finish(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """Wait for the end, as subprocess.run does."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise subprocess.TimeoutExpired(self.arguments, timeout)
        printed = [file.read_text("utf-8") if file.exists() else "" for file in self._files[1:]]
        self._place.cleanup()
        return subprocess.CompletedProcess(self.arguments, self._process.exitcode, *printed)


def _start(environment: dict[str, str]) -> None:
    """Start the process to fork from; its imports see this environment."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _main(
    arguments: list[str], folder: Path, environment: dict[str, str], files: list[Path], patch: str
) -> None:
    """Run the command, in the fork."""
    os.setpgrp()
    for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(ending, signal.SIG_DFL)  # a shell, or nohup, may have had some of them ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
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
    exec(patch, {})
    from xmcpipe.cli.app import main

    main()
