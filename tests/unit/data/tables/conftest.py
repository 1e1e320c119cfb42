"""The fixture `read`, which imports a file."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.data.tables.contents import Import
from tests.unit.data.tables.importing import Imported, imported


@pytest.fixture
def read(tmp_path: Path) -> Import:
    """Import a file of this name and content; without content, what has this name already."""

    def run(name: str, content: str | bytes | pa.Table | None = None, **table: Any) -> Imported:
        path = tmp_path / name
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        elif content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return imported(tmp_path, path, **table)

    return run
