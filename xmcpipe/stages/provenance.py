"""The provenance of an artifact: versions, host, command, time and memory.

It is recorded in the manifest (`made_by`), and is not part of the fingerprint.
"""

import os
import platform
import resource
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xmcpipe

LIBRARIES = (
    "faiss-cpu", "faiss-gpu-cu12", "numpy", "polars", "pyarrow", "safetensors", "scikit-learn", "scipy",
    "tokenizers", "torch", "transformers",
)  # fmt: skip
# Linux resets the peak memory of a process when 5 is written to clear_refs, see proc(5). This gives each
# stage of one `run` its own peak.
CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass
class Meter:
    """Measures the time and memory of a stage: create it before the stage runs, and read it afterwards."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _start: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        _reset_peak()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds since the start."""
        return round(time.perf_counter() - self._start, 3)

    def made_by(self, command: list[str], runtime: dict[str, Any]) -> dict[str, Any]:
        """The value of `made_by` in the manifest (JSON types).

        `runtime` holds those settings that are not part of the fingerprint.
        """
        return {
            "xmcpipe": xmcpipe.__version__,
            "python": platform.python_version(),
            "libraries": _versions(),
            "host": platform.node(),
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "command": command,
            "runtime": runtime,
            "started": self.started.isoformat(timespec="milliseconds"),
            "seconds": self.seconds,
            "peak_rss_bytes": _peak(),
            "peak_rss_bytes_largest_child": _kilobytes(
                resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            ),
        }


def _versions() -> dict[str, str]:
    """The installed versions of LIBRARIES."""
    # Imported here because it takes a tenth of the time of `--help`.
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue  # an optional extra that isn't installed
    return versions


def _reset_peak() -> None:
    try:
        CLEAR_REFS.write_text("5", encoding="ascii")
    except OSError:
        return  # not Linux, or not permitted: `_peak` then reports the peak since the process started


def _peak() -> int:
    """Peak resident memory in bytes: since `_reset_peak` on Linux, else since the process started."""
    try:
        for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):  # the "high water mark" of resident memory, in KiB
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _kilobytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _kilobytes(value: int) -> int:
    """A value of getrusage in bytes: it is in KiB on Linux, and in bytes on macOS."""
    return value if sys.platform == "darwin" else value * 1024
