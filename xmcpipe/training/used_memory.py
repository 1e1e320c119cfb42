"""How much memory a process has used: on a GPU by the allocator's count, on the host by resident set size."""

import resource
from pathlib import Path

import torch


def host_bytes() -> int:
    """Resident memory of this process now, bytes (0 where /proc is absent)."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * resource.getpagesize() if status.exists() else 0


def peak_bytes(device: torch.device) -> dict[str, int]:
    """Peaks since the start: `host` (resident set size) and, on a GPU, `gpu` (`max_memory_allocated`)."""
    peaks = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if device.type == "cuda":
        peaks["gpu"] = torch.cuda.max_memory_allocated(device)
    return peaks


def used_bytes(device: torch.device) -> int:
    """Memory in use now where training happens, bytes."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else host_bytes()
