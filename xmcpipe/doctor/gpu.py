"""What training on a GPU needs: a device that torch sees, the driver, NVRTC and cuda-bindings."""

import re
from pathlib import Path

from xmcpipe.doctor.finding import Finding
from xmcpipe.doctor.installed import installed

DRIVER = Path("/proc/driver/nvidia/version")
GPU_EXTRA = "pip install 'xmcpipe[gpu]'"
GIB = 1 << 30


def devices(wanted: bool) -> Finding:
    """The GPUs that torch sees; `wanted` if the recipe names one as its device."""
    import torch

    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        shown = [
            f"{card.name}, sm_{card.major}{card.minor}, {card.total_memory / GIB:.0f} GiB" for card in cards
        ]
        return Finding("CUDA", "ok", "; ".join(shown))
    if DRIVER.exists():
        fix = "install a torch that is built for CUDA" if torch.version.cuda is None else "see `nvidia-smi`"
        found = "the machine has a GPU that torch can't use"
        return Finding("CUDA", "wrong" if wanted else "warning", found, fix)
    if wanted:
        return Finding("CUDA", "wrong", "no GPU", 'set device = "auto" or "cpu" in the recipe')
    return Finding("CUDA", "ok", "no GPU: everything runs on the CPU")


def driver() -> Finding:
    """The version of the NVIDIA driver."""
    try:
        text = DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Finding("driver", "ok", "none")
    numbers = re.search(r"\d+\.\d+(\.\d+)?", text)
    return Finding("driver", "ok", numbers[0] if numbers else text.splitlines()[0])


def nvrtc() -> Finding:
    """The compiler of the CUDA kernels."""
    from xmcpipe.ops.nvrtc import compiler

    reason = compiler.unavailable_reason()
    if reason is None:
        return Finding("NVRTC", "ok", ".".join(map(str, compiler.version())))
    if not DRIVER.exists():
        return Finding("NVRTC", "ok", "absent, and not needed without a GPU")
    return Finding("NVRTC", "warning", f"{reason}: a slower way in torch is used", GPU_EXTRA)


def cuda_bindings() -> Finding:
    """The version of cuda-bindings, through which kernels are compiled and launched."""
    found = installed("cuda-bindings")
    if not found and not DRIVER.exists():
        return Finding("cuda-bindings", "ok", "absent, and not needed without a GPU")
    if not found:
        return Finding("cuda-bindings", "warning", "absent: a slower way in torch is used", GPU_EXTRA)
    from xmcpipe.ops.nvrtc.driver import NEEDED

    parts = [int(part) for part in re.findall(r"\d+", found)[:2]]
    if parts < [int(part) for part in NEEDED.split(".")]:
        return Finding("cuda-bindings", "warning", f"{found}, expected {NEEDED} or later", GPU_EXTRA)
    return Finding("cuda-bindings", "ok", found)
