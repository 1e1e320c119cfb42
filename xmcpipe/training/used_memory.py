"""Reports the memory of this process: torch's allocator on a GPU, the resident set size on the host."""

import resource
from pathlib import Path

import torch


def host_bytes() -> int:
    """Current resident memory of this process in bytes, 0 on a system without /proc."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * resource.getpagesize() if status.exists() else 0


def peak_bytes(device: torch.device) -> dict[str, int]:
    """Peaks since the process began, in bytes: `host` (resident set size), and `gpu` (allocator) on a GPU."""
    peaks = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}  # Linux reports KiB
    if device.type == "cuda":
        peaks["gpu"] = torch.cuda.max_memory_allocated(device)
    return peaks


def used_bytes(device: torch.device) -> int:
    """Memory currently in use on `device`, in bytes."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else host_bytes()
