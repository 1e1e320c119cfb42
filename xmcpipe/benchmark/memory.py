"""Measures the peak memory of a call, in addition to its operands.

On a GPU this is `max_memory_allocated` during the call, minus the memory allocated before. On a CPU torch's
profiler reports each allocation and release of torch's allocator, also inside operators; the peak is the
largest running sum. Neither includes memory that libraries allocate themselves.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Bytes allocated at the peak of one call, with its results and without its operands."""
    return _peak_on_gpu(call, device) if device.type == "cuda" else _peak_on_cpu(call)


def held_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors; a shared storage counts once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def available_bytes(device: torch.device) -> int:
    """Free memory on the device, in bytes; on a GPU with the unused part of torch's cache."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _peak_on_gpu(call: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peak_on_cpu(call: Callable[[], object]) -> int:
    from torch.profiler import ProfilerActivity, profile

    # Without this, the profiler prints lines to standard error when it starts and stops.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    # Each event is an allocation (positive bytes) or a release (negative).
    changes = [event for event in events if event["name"] == "[memory]"]
    live = peak = 0
    for event in sorted(changes, key=lambda event: float(event["ts"])):
        live += event["args"]["Bytes"]
        peak = max(peak, live)
    return peak
