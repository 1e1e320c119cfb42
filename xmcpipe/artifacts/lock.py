"""Locks: only one process at a time makes an artifact, and none that is being read is removed.

Locks are advisory and belong to an open file. The kernel therefore releases them when the process ends, even
if it is killed. Some file systems have no locks, or don't show them to other machines. There, two processes
may do the same work, and nothing worse happens: each has folders of its own (see `artifacts.owner`), and
`Store.publish` renames in one step, so one of the two results is used.
"""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Errors that file systems without locks raise, for example some network mounts.
CANNOT_LOCK = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
logger = logging.getLogger(__name__)


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Wait for the lock file `path`, and hold it during the block; `what` names the artifact in the log."""
    descriptor = _acquire(path, what)
    try:
        yield
    finally:
        # Unlink while holding the lock: a process that waited for this file then sees that the path no longer
        # refers to the file that it locked, and tries again with a new file.
        # A file that can't be removed excludes nobody once it is closed, and the work is done.
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock file `path`."""
    try:
        descriptor = _open_to_look(path)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Hold the file `path`, which exists, for reading: `unread` is then False for it.

    Raises FileNotFoundError if it was removed before the lock was had.
    """
    with path.open("rb") as file:
        _flock(file.fileno(), fcntl.LOCK_SH)  # waits only while another process removes it
        if not _is_named(file.fileno(), path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        yield


@contextmanager
def unread(path: Path) -> Iterator[bool | None]:
    """Whether no process holds `path` for reading, and none can during the block; None without file locks."""
    try:
        # Network file systems lock a file exclusively only if it was opened for writing.
        descriptor = os.open(path, os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY)
    except FileNotFoundError:
        yield True
        return
    try:
        yield _flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def _open_to_look(path: Path) -> int:
    """A descriptor of the lock file, to write if possible: some file systems lock no other."""
    try:
        return os.open(path, os.O_RDWR)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return os.open(path, os.O_RDONLY)


def _acquire(path: Path, what: str) -> int:
    """A descriptor of the lock file, which holds the lock until it is closed."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try_lock(descriptor):
                logger.info("another process is making %s: waiting for it", what)
                _flock(descriptor, fcntl.LOCK_EX)  # blocks until the holder releases it or ends
            # The previous holder unlinked its file: a lock on that file excludes nobody.
            if _is_named(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Try to acquire the lock. Returns False if another process holds it, and True without file locks."""
    return _flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB) is not False


def _flock(descriptor: int, operation: int) -> bool | None:
    """Whether the lock was acquired; None without file locks."""
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in CANNOT_LOCK:
            raise
        return None
    return True


def _is_named(descriptor: int, path: Path) -> bool:
    """Whether `path` still refers to the open file."""
    try:
        current = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), current)
