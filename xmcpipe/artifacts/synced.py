"""Writes that are on the disk when the call returns, so that a power cut doesn't undo them."""

import os
from pathlib import Path


def write_synced(path: Path, content: bytes) -> None:
    """Write a file, and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk; a rename is durable only once its folder is synced."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Sync a folder and all that is below it."""
    for path in [folder, *folder.rglob("*")]:
        sync(path)
