"""Parquet files that are written in batches, and given up without a word after an error."""

from contextlib import suppress

import pyarrow.parquet as pq


class ParquetFileWriter(pq.ParquetWriter):  # type: ignore[misc]
    """pyarrow's writer. One whose file can't be finished says so once, and not again when it is collected."""

    def close(self) -> None:
        """Finish the file. Raises OSError, for example for a full disk."""
        try:
            super().close()
        finally:
            self.is_open = False

    def __del__(self) -> None:
        with suppress(OSError):  # what made the work end is known already
            super().__del__()
