"""The hardware and versions that a check runs on, without host name or path."""

import os
import platform
import shutil
import subprocess
from importlib import metadata
from typing import Any

# In the order of the report: those on which the kernels depend come first.
PACKAGES = (
    "cuda-bindings", "nvidia-cuda-nvrtc", "cuda-core", "torch", "triton", "transformers", "numba", "numpy",
    "pyarrow", "typer", "rich", "pytest", "torch-optimi", "polars", "faiss-cpu", "tensorboardX",
)  # fmt: skip
TOOLS = ("nvcc", "compute-sanitizer", "cuobjdump", "g++")
CUDA_TOOLS = "/usr/local/cuda/bin"  # where an installation that didn't change PATH has them
GIB = 1 << 30


def machine() -> dict[str, Any]:
    """Versions first; then tools and, if there is a GPU, its properties. A missing package is None."""
    facts: dict[str, Any] = {package: _version(package) for package in PACKAGES}
    facts |= {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    facts |= {"cores": os.cpu_count(), "tools": [tool for tool in TOOLS if tool_path(tool)]}
    import torch

    facts["torch"] = torch.__version__
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        facts |= {"gpu": card.name, "cuda": torch.version.cuda, "driver": _driver()}
        facts["memory_gib"] = round(card.total_memory / GIB, 1)
        facts["capability"] = f"{card.major}.{card.minor}"
        facts["multiprocessors"] = card.multi_processor_count
        facts["l2_mib"] = card.L2_cache_size >> 20
    return facts


def tool_path(name: str) -> str | None:
    """The path of a program, None if it is not installed."""
    return shutil.which(name) or shutil.which(name, path=CUDA_TOOLS)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _driver() -> str | None:
    """The version of the GPU's driver, None if nvidia-smi doesn't say it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        return None
