"""A folder in which a test runs the command line as users do."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.pipeline.forks import Fork

TIMEOUT = 250  # seconds, for a command

# The mode without stored gradients; the learning rate of the head is for SGD and a loss summed over labels.
LIGHT = [
    "train.memory=light",
    "train.precision=bfloat16",
    "train.head.optimizer=sgd",
    "train.head.lr=1.0",
]


def settings(lines: Sequence[str]) -> list[str]:
    """The command-line options that set these keys."""
    return [word for line in lines for word in ("--set", line)]


@dataclass(frozen=True)
class Workplace:
    """A folder with a recipe and a store."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "artifacts"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "xmcpipe", *arguments]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "XMCPIPE_STORE": str(self.store), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def call(self, *arguments: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `xmcpipe ARGUMENTS` in the folder; the test fails unless the exit code is `code`."""
        done = Fork(arguments, self.folder, self.environment(), stdin).finish(TIMEOUT)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def start(self, *arguments: str, patch: str = "") -> Fork:
        """Start `xmcpipe ARGUMENTS` in the folder, in a process that first runs the Python text `patch`."""
        return Fork(arguments, self.folder, self.environment(), patch=patch)

    def run(self, *arguments: str) -> dict[str, Any]:
        """`xmcpipe run tiny.toml --json ARGUMENTS`."""
        result: dict[str, Any] = json.loads(self.call("run", "tiny.toml", "--json", *arguments).stdout)
        return result

    def patched(self, patch: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`xmcpipe ARGUMENTS` in a new process that first runs the Python text `patch`; any exit code."""
        start = "import sys\nfrom xmcpipe.cli.app import main\nsys.argv[0] = 'xmcpipe'\nmain()\n"
        return subprocess.run(
            [sys.executable, "-c", patch + start, *arguments],
            cwd=self.folder,
            env=self.environment(),
            input="",
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
