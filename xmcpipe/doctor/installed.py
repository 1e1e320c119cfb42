"""Python and the libraries."""

import importlib
import platform
from importlib.metadata import PackageNotFoundError, version

from xmcpipe.clustering.swaps import load_faiss
from xmcpipe.doctor.finding import Finding
from xmcpipe.errors import XmcpipeError

FAISS = ("faiss-gpu-cu12", "faiss-cpu")  # distributions of the module faiss
CPU_EXTRA = "pip install 'xmcpipe[cpu]'"


def python() -> Finding:
    """The interpreter; the package can't be installed on an older one than it supports."""
    return Finding("Python", "ok", f"{platform.python_version()} ({platform.machine()})")


def torch() -> Finding:
    """PyTorch, and whether it is built for CUDA."""
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:  # OSError: a library that it loads is missing
        return Finding("torch", "wrong", _first_line(error), "pip install torch")
    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU alone"
    return Finding("torch", "ok", f"{torch.__version__}, {build}")


def faiss(required: bool) -> Finding:
    """faiss, which clustering needs; `required` if the recipe makes clusters."""
    try:
        found = load_faiss()
    except XmcpipeError as error:
        return Finding("faiss", "wrong" if required else "warning", error.message, CPU_EXTRA)
    names = [name for name in FAISS if installed(name)] or ["faiss"]
    options = " ".join(found.get_compile_options().split())
    return Finding("faiss", "ok", f"{found.__version__} ({', '.join(names)}; {options})")


def installed(distribution: str) -> str:
    """The version of a distribution, "" if it is absent."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
