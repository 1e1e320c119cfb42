"""Writes the figures of each label as a table, CSV or Parquet, one row per label.

label           its name, or its id
documents       training documents with the label; only with training labels
support         test documents with the label
predicted@k     test documents of which it is among the first k predictions
precision@k recall@k F1@k        fractions; 0/0 is 0
"""

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.errors import XmcpipeError

if TYPE_CHECKING:
    import pyarrow as pa

    from xmcpipe.measuring.lists import Measurement

ENDINGS = (".csv", ".parquet")


def require_ending(path: Path) -> None:
    """Raise XmcpipeError unless the table can be written to `path`."""
    if path.suffix.lower() not in ENDINGS:
        raise XmcpipeError(f"expected a file that ends in .csv or .parquet, got {path}", "rename it")
    if not path.absolute().parent.is_dir():
        raise XmcpipeError(f"{path} can't be written: its folder does not exist", "make the folder first")


def per_label_table(measurement: "Measurement") -> "pa.Table":
    """The table of a measurement of one system, in the order of the labels' numbers."""
    import numpy as np
    import pyarrow as pa

    (system,) = measurement.systems
    columns: dict[str, Any] = dict(system.by_label())
    labels = measurement.labels
    count = len(columns["support"])
    return pa.table({"label": np.arange(count) if labels is None else labels[:count], **columns})


def write_per_label(path: Path, measurement: "Measurement") -> None:
    """Write the table to `path`, which appears when it is complete."""
    import pyarrow.csv
    import pyarrow.parquet as pq

    require_ending(path)
    table = per_label_table(measurement)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        if path.suffix.lower() == ".csv":
            pyarrow.csv.write_csv(table, unfinished)
        else:
            pq.write_table(table, unfinished, compression="zstd")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
