"""Writes shards as the tokenize stage does."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.data.schema import LABELS
from xmcpipe.data.shards.files import ShardWriter, shard_path

Document = tuple[list[int], list[int]]  # its tokens and its labels
BATCH_ROWS = 3  # rows of a record batch


def write_shards(
    folder: Path,
    documents: Sequence[Document],
    num_labels: int = 10,
    rows_per_shard: int = 4,
    split: str = "train",
) -> None:
    """`documents` in several shards of several record batches, and a table of `num_labels` labels."""
    for number, first in enumerate(range(0, len(documents), rows_per_shard)):
        part = documents[first : first + rows_per_shard]
        with ShardWriter(shard_path(folder, split, number)) as shard:
            for begin in range(0, len(part), BATCH_ROWS):
                some = part[begin : begin + BATCH_ROWS]
                ids = pa.array([str(first + begin + row) for row in range(len(some))])
                lists = [pa.array([pair[side] for pair in some], pa.list_(pa.int32())) for side in (0, 1)]
                shard.write(ids, *lists)
    names = {"label": [f"l{label}" for label in range(num_labels)], "text": [None] * num_labels}
    pq.write_table(pa.table(names, schema=LABELS), folder / "labels.parquet")
