"""A folder that appears whole, or not at all."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xmcpipe.errors import XmcpipeError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder next to `out`; it is renamed to `out` unless the block raises an error."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise XmcpipeError(
            f"expected a new or empty folder, got {out}, which has files in it", "name another folder"
        )
    out = out.resolve()  # "." and ".." have no name to derive the temporary one from
    building = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    try:
        building.mkdir(parents=True)
    except OSError as error:
        raise XmcpipeError(f"{out} can't be written: {error.strerror}", "name another folder") from error
    try:
        yield building
        building.rename(out)  # POSIX rename replaces an empty folder
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def sizes_of_files(folder: Path) -> dict[str, int]:
    """The size in bytes of each file below `folder`, by its path from there."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
