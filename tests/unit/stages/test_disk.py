import errno
from pathlib import Path

import pytest

from xmcpipe.stages.disk import disk_full


def test_a_full_disk_is_found_in_the_chain_of_causes(tmp_path: Path) -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise ValueError("the table wasn't written") from error
    except ValueError as error:
        found = disk_full(error, "tokenize", tmp_path)
    assert found
    assert found.message.startswith(f"disk full: tokenize could not write to {tmp_path} (")
    assert "xmcpipe gc" in found.hint


def test_a_missing_store_is_no_further_error() -> None:
    assert disk_full(OSError(errno.ENOSPC, ""), "train", Path("/nowhere/at/all"))


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "denied"), RuntimeError("space"), ValueError()])
def test_any_other_error_is_not_one(error: Exception, tmp_path: Path) -> None:
    assert disk_full(error, "train", tmp_path) is None
