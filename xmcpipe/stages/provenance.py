"""Who made an artifact, where, with what and at what cost: in its manifest, and no part of its identity."""

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
# Linux forgets a process's peak when 5 is written here, so that each stage of one `run` gets a peak of its
# own.
CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass
class Meter:
    """Started before a stage runs, read once it has: seconds and memory."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _start: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        _reset_peak()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds since the start."""
        return round(time.perf_counter() - self._start, 3)

    def made_by(self, command: list[str], runtime: dict[str, Any]) -> dict[str, Any]:
        """The manifest's `made_by` (JSON types). `runtime`: the settings that changed how the stage ran."""
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
    from importlib.metadata import PackageNotFoundError, version  # a tenth of what `--help` takes

    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue  # an extra that isn't installed
    return versions


def _reset_peak() -> None:
    try:
        CLEAR_REFS.write_text("5", encoding="ascii")
    except OSError:
        return  # not Linux, or not allowed: the peak is then that of the whole process


def _peak() -> int:
    """Peak resident memory in bytes, since `_reset_peak` where the system tells that."""
    try:
        for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _kilobytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _kilobytes(value: int) -> int:
    """getrusage counts in KiB, but on macOS in bytes."""
    return value if sys.platform == "darwin" else value * 1024
