import errno
from pathlib import Path

import pytest

from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.disk import disk_error


def test_a_full_disk_is_found_in_the_chain_of_causes(tmp_path: Path) -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise ValueError("the table wasn't written") from error
    except ValueError as error:
        found = disk_error(error, "tokenize", tmp_path)
    assert found
    assert found.message.startswith(f"disk full: tokenize could not write to {tmp_path} (")
    assert "xmcpipe gc" in found.hint


def test_a_missing_store_is_no_further_error() -> None:
    assert disk_error(OSError(errno.ENOSPC, ""), "train", Path("/nowhere/at/all"))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.EIO, "broken", "shards/a.arrow"),
            "train could not read or write shards/a.arrow: Input",
        ),
        (OSError("[Errno 5] Error writing bytes. Detail: [errno 5] Input/output error"), "a file in "),
        (
            PermissionError(errno.EACCES, "denied", "a.lock"),
            "a.lock: Permission denied (check its permissions",
        ),
        (OSError(errno.EROFS, "read-only", "a"), "a: Read-only file system"),
        (OSError(errno.EMFILE, "many", "a"), "a: Too many open files (raise the limit"),
    ],
)
def test_other_failures_of_a_disk_name_the_file(error: Exception, message: str, tmp_path: Path) -> None:
    assert message in str(disk_error(error, "train", tmp_path))


def test_an_error_for_the_user_is_not_replaced(tmp_path: Path) -> None:
    assert disk_error(XmcpipeError("x can't be read: permission denied"), "train", tmp_path) is None


@pytest.mark.parametrize("error", [OSError(errno.EINVAL, "invalid"), RuntimeError("space"), ValueError()])
def test_any_other_error_is_not_one(error: Exception, tmp_path: Path) -> None:
    assert disk_error(error, "train", tmp_path) is None
