"""Documents on their way to the raw artifact, whatever they come from: a table, a dataset's folder, an index.

Imports neither polars nor pyarrow, so that a stage's configuration can name what it reads cheaply.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True)
class DocumentSet:
    """Documents and labels in the form that `raw.writing.write_raw` takes.

    splits: `train` and `test`, or `all` for documents still to be split, mapped to batches `id` string,
      `text` string, `labels` list<string> or list<int32>, without nulls, in the order of the source. Each may
      be iterated once.
    label_table: `label` string, distinct; `text` string or null. It gives the labels their order and texts.
      Integer labels are rows of it. If it is None, labels are sorted, whole numbers first and by value, and
      integer labels are their own names.
    filters: splits mapped to tables of pairs that count neither as hit nor as miss: `row` int64, the row of
      the split as read, from 0, and `label` int32, as in the batches.
    """

    splits: "Mapping[str, Iterable[pl.DataFrame]]"
    label_table: "pl.DataFrame | None" = None
    filters: "Mapping[str, pa.Table]" = field(default_factory=dict)
