"""Describes the machine of a measurement: hardware and versions, and no host name or path."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

import xmcpipe
from xmcpipe.machine.cores import usable_cores


def facts(device: torch.device) -> dict[str, Any]:
    """Hardware and versions, in JSON types."""
    machine: dict[str, Any] = {
        "device": device.type,
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "large_pages": os.environ.get("THP_MEM_ALLOC_ENABLE") == "1",  # of torch
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "xmcpipe": xmcpipe.__version__,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        machine |= {
            "gpu": properties.name,
            "gpu_memory_bytes": properties.total_memory,
            "gpu_capability": f"{properties.major}.{properties.minor}",
            "gpu_l2_bytes": properties.L2_cache_size,
            "cuda": torch.version.cuda,
        }
    return machine


def name(machine: dict[str, Any]) -> str:
    """One line about a machine that `facts` describes."""
    part = machine.get("gpu") or f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads"
    return f"{part} · torch {machine['torch']}"


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
