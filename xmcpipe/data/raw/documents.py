"""The input of the raw artifact: documents from a table, the folder of a dataset, or a package index.

This module imports neither polars nor pyarrow, so that importing the config of a stage stays fast.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True)
class DocumentSet:
    """Documents and labels, the input of `raw.writing.write_raw`.

    splits: split -> batches of documents. The splits are `train` and `test`, or `all` for documents that are
      still to be split. A batch has the columns `id` string, `text` string, and `labels` list<string> or
      list<int32>, without nulls, in the order of the source. The batches can be iterated only once.
    label_table: the columns `label` string, distinct, and `text` string or null. It determines the order and
      the texts of labels; integer labels are row numbers in it. If it is None, labels are sorted, whole
      numbers first and by value, and an integer label is its own name.
    filters: split -> table of filter pairs (see filter_pairs.py): `row` int64, the row in the split as it was
      read, from 0, and `label` int32, as in the batches.
    one_label: whether the user has said that each document has one label: then no separator can be wrong.
    """

    splits: "Mapping[str, Iterable[pl.DataFrame]]"
    label_table: "pl.DataFrame | None" = None
    filters: "Mapping[str, pa.Table]" = field(default_factory=dict)
    one_label: bool = False
