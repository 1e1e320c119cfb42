"""The number of CPU cores that this process may use."""

import os


def usable_cores() -> int:
    """The number of cores that this process may run on; all cores if the system has no CPU affinity."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
