"""The cores that this process may really use, and how its threads wait for each other.

Affinity (`taskset`, batch systems) and the limits of control groups (containers) allow fewer cores than the
machine has. More threads than cores only wait for each other.

The OpenMP of torch, faiss and scikit-learn waits by spinning: a thread that has finished its part burns a
core until the others have. On a core that somebody else needs as well, it takes the time that the others were
to finish in (results/robustness.md has the measurement). Threads that sleep cost little on free cores.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # each says how threads wait
THREADS = "OMP_NUM_THREADS"
GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def usable_cores() -> int:
    """The number of cores that affinity and control groups allow; all cores if the system has neither."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(limit) for limit in group_limits(GROUPS, MEMBERSHIP))]))


def set_thread_defaults() -> None:
    """Let the threads of libraries wait passively, as many as there are cores. The user's settings win.

    Call it before torch is imported: OpenMP reads the environment once.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault(THREADS, str(usable_cores()))


def group_limits(groups: Path, membership: Path) -> Iterator[float]:
    """The numbers of cores that this process's control groups and those above them allow.

    `groups` is where the system shows the groups, and `membership` lists those of the process.
    """
    lines = []
    with suppress(OSError):  # not Linux
        lines = membership.read_text("utf-8").splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers
        for folder in [root / path.lstrip("/"), *(root / path.lstrip("/")).parents]:
            yield from _limit(folder)
            if folder == groups:
                break


def _limit(folder: Path) -> Iterator[float]:
    """The limit of one group, in version 2 or 1 of control groups."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text("ascii").split()
        if quota != "max":
            yield int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
        if int(quota) > 0:  # -1: no limit
            yield int(quota) / int(period)
