"""A folder in which a test runs the command line as users do."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Workplace:
    """A recipe and a store in a folder of their own."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "artifacts"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "xmcpipe", *arguments]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "XMCPIPE_STORE": str(self.store), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def call(self, *arguments: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `xmcpipe ARGUMENTS` in the folder; the test fails unless it ends with `code`."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def run(self, *arguments: str) -> dict[str, Any]:
        """`xmcpipe run tiny.toml --json ARGUMENTS`."""
        result: dict[str, Any] = json.loads(self.call("run", "tiny.toml", "--json", *arguments).stdout)
        return result
