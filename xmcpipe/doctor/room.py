"""Room: threads and cores, folders that must be writable, disk and memory against the plan of a recipe."""

import os
import shutil
import tempfile
from pathlib import Path

from xmcpipe import cache
from xmcpipe.doctor.finding import Finding
from xmcpipe.machine.cores import usable_cores
from xmcpipe.memory.predicted import Plan
from xmcpipe.memory.recipe_plan import RecipePlan

GIB = 1 << 30
# What a checkpoint holds, of the parts of a plan (memory.parts).
SAVED = (
    "encoder weights",
    "encoder moments",
    "classifier weights",
    "classifier indices",
    "classifier moments",
)
CHECKPOINTS = 3  # the third is written before the first is removed


def threads() -> Finding:
    """The threads that torch uses, against the cores that this process may use."""
    import torch

    cores, all_cores, used = usable_cores(), os.cpu_count() or 1, torch.get_num_threads()
    found = f"{used} threads, {cores} of {all_cores} cores usable"
    if used > cores:
        fix = f"export OMP_NUM_THREADS={cores}"
        return Finding("threads", "warning", f"{found}: they wait for each other", fix)
    return Finding("threads", "ok", found)


def caches(store: Path) -> list[Finding]:
    """Whether the folders that are written can be: the store, the cache, and that of compiled CPU code."""
    places = {
        "store": (store, "name another one with --store DIR or XMCPIPE_STORE", True),
        "cache": (cache.folder("kernels").parent, f"name another one with {cache.VARIABLE}", False),
    }
    if folder := os.environ.get("NUMBA_CACHE_DIR"):
        places["CPU code"] = (Path(folder), "name another one with NUMBA_CACHE_DIR", False)
    return [_writable(name, folder, fix, required) for name, (folder, fix, required) in places.items()]


def disk(store: Path, planned: RecipePlan | None) -> Finding:
    """The free space of the store, against the checkpoints of the recipe's training."""
    free = shutil.disk_usage(_existing(store)).free
    if planned is None:
        return Finding("disk", "ok" if free > GIB else "warning", f"{_gib(free)} free")
    needed = CHECKPOINTS * sum(planned.plans[0].parts.get(part, 0) for part in SAVED)
    found = f"{_gib(free)} free, at least {_gib(needed)} needed for {CHECKPOINTS} checkpoints"
    if free > needed:
        return Finding("disk", "ok", found)
    return Finding("disk", "wrong", found, "`xmcpipe gc`, or another store with --store DIR")


def memory(planned: RecipePlan | None, device: str) -> list[Finding]:
    """The free memory of host and GPU, against the recipe's plan for `device`, "cpu" or "cuda"."""
    import torch

    from xmcpipe.benchmark.memory import available_bytes

    plan, process = (None, 0) if planned is None else (planned.plans[0], planned.process)
    on_host = process + sum(plan.host.values()) if plan else 0
    if plan and device == "cpu":
        on_host += plan.total
    found = [_against("memory", available_bytes(torch.device("cpu")), on_host, plan)]
    if device == "cuda" and torch.cuda.is_available():
        free = available_bytes(torch.device("cuda", torch.cuda.current_device()))
        found.append(_against("GPU memory", free, plan.total if plan else 0, plan))
    return found


def _against(name: str, free: int, needed: int, plan: Plan | None) -> Finding:
    if plan is None:
        return Finding(name, "ok", f"{_gib(free)} free")
    found = f"{_gib(free)} free, {_gib(needed)} needed by the plan of the training"
    if free > needed:
        return Finding(name, "ok", found)
    fix = "see `xmcpipe plan`: memory = 'light', a smaller batch_size or label_chunk"
    return Finding(name, "wrong", found, fix)


def _writable(name: str, folder: Path, fix: str, required: bool) -> Finding:
    """Write a file into the folder or, if it doesn't exist yet, into the one in which it will be made."""
    place = _existing(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=place) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        found = f"{folder} can't be written: {error.strerror}"
        return Finding(name, "wrong" if required else "warning", found, fix)
    return Finding(name, "ok", f"{folder} can be written")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())


def _gib(count: int) -> str:
    return f"{count / GIB:,.1f} GiB"
