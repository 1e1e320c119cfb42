"""A Parquet file on a full disk: the error is raised once, and nothing is printed when the writer goes."""

import errno
import gc
import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xmcpipe.data.parquet import ParquetFileWriter

TABLE = pa.table({"text": ["some words"] * 1000})


class Disk(io.BytesIO):
    """A file on a disk that may be full."""

    full = False

    def write(self, data: Any, /) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("closed", [True, False])
def test_a_full_disk_is_said_once(closed: bool) -> None:
    """What Python prints when a `__del__` fails makes a test fail."""
    writer = ParquetFileWriter(disk := Disk(), TABLE.schema)
    writer.write_table(TABLE)
    disk.full = True
    if closed:
        with pytest.raises(OSError, match="No space left"):
            writer.close()
    del writer
    gc.collect()


def test_a_file_that_is_written_can_be_read(tmp_path: Path) -> None:
    with ParquetFileWriter(tmp_path / "table.parquet", TABLE.schema, compression="zstd") as writer:
        writer.write_table(TABLE)
        writer.write_batch(TABLE.to_batches()[0])
    assert pq.read_table(tmp_path / "table.parquet") == pa.concat_tables([TABLE, TABLE])
