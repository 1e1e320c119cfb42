"""How many cores there are to use."""

import os


def usable_cores() -> int:
    """The cores that this process may run on, where the system says so; else all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
