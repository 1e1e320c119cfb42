"""Which labels each document has, from whatever file says so, as one matrix in memory.

At 36 labels for each of 2.5 million documents it is 360 MB: little beside the texts, which are streamed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from xmcpipe.data.layouts.names import named
from xmcpipe.data.npz import read_csr
from xmcpipe.data.raw.staging import joined
from xmcpipe.data.raw.vocabulary import in_order
from xmcpipe.data.tables.columns import bad_row
from xmcpipe.data.tables.lines import text_lines
from xmcpipe.errors import XmcpipeError

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
HEADER = r"^\s*([0-9]{1,9})\s+([0-9]{1,9})\s*$"
PAIR = r"^([0-9]{1,9}):(.+)$"


@dataclass(frozen=True)
class LabelMatrix:
    """Labels of N documents in CSR: `indptr` int64 [N + 1], `labels` int32 [P]; `num_labels` where the file
    states it.
    """

    path: Path
    indptr: Int64s
    labels: Int32s
    num_labels: int | None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def lists(self, first: int, last: int) -> pl.Series:
        """The labels of documents [first, last), list<int32> `labels`."""
        offsets = self.indptr[first : last + 1]
        values = self.labels[offsets[0] : offsets[-1]]
        lists = pa.LargeListArray.from_arrays(pa.array(offsets - offsets[0]), pa.array(values))
        return pl.Series("labels", lists)


def read_matrix(path: Path, encoding: str) -> LabelMatrix:
    """A CSR matrix in .npz, or text: a line `label:value label:value` a document, below `N L` or without it.

    Labels of value 0 are left out. Raises XmcpipeError for a file that is neither, a label that is out of
    range, and other lines than the header states.
    """
    if path.suffix == ".npz":
        csr = read_csr(path).without_zeros()
        if csr.width >= 2**31:
            raise XmcpipeError(
                f"{path} has {csr.width:,} labels", "fewer than 2,147,483,648 can be told apart"
            )
        return LabelMatrix(path, csr.indptr, csr.indices.astype(np.int32, copy=False), csr.width)
    return _read_x_y(path, encoding)


def _read_x_y(path: Path, encoding: str) -> LabelMatrix:
    rows = columns = None
    lengths: list[Int64s] = []
    labels: list[Int32s] = []
    for first, lines in text_lines(path, encoding):
        at = first
        if first == 1 and (header := lines.head(1).str.extract_groups(HEADER).struct.unnest().row(0))[0]:
            rows, columns = map(int, header)
            lines, at = lines[1:], first + 1
        counts, numbers = _parse_pairs(lines, at, path)
        lengths.append(counts)
        labels.append(numbers)
    every = joined(labels, np.int32)
    indptr = np.concatenate([[0], np.cumsum(joined(lengths, np.int64))])
    if rows is not None and len(indptr) - 1 > rows and indptr[rows] == indptr[-1]:
        indptr = indptr[: rows + 1]  # blank lines after the last
    if rows is not None and len(indptr) - 1 != rows:
        raise XmcpipeError(
            f"{path} states {rows:,} rows and has {len(indptr) - 1:,}", "check that the file is whole"
        )
    if columns is not None and len(every) and int(every.max()) >= columns:
        raise XmcpipeError(
            f"{path} states {columns:,} labels and has the label {int(every.max())}", "labels begin at 0"
        )
    return LabelMatrix(path, indptr, every, columns)


def _parse_pairs(lines: pl.Series, first: int, path: Path) -> tuple[Int64s, Int32s]:
    """How many labels each line has, int64 [n], and all of them."""
    words = lines.str.extract_all(r"\S+")
    counts = words.list.len().cast(pl.Int64).to_numpy()
    pairs = words.filter(words.list.len() > 0).explode().str.extract_groups(PAIR).struct.unnest()
    label, value = pairs["1"].cast(pl.Int32), pairs["2"].cast(pl.Float64, strict=False)
    wrong = label.is_null() | value.is_null() | value.is_nan()
    if wrong.any():
        place = int(wrong.arg_max() or 0)
        line = int(np.searchsorted(np.cumsum(counts), place, side="right"))
        raise bad_row(
            path,
            f"line {first + line}",
            f"{lines[line][:60]!r} was given, pairs label:value were wanted",
            "labels are whole numbers from 0, and a line is a document",
        )
    given = (value != 0).to_numpy()
    owner = np.repeat(np.arange(len(counts)), counts)[given]
    return np.bincount(owner, minlength=len(counts)), label.to_numpy()[given]


def read_name_lines(paths: Mapping[str, Path], encoding: str) -> tuple[dict[str, LabelMatrix], pl.DataFrame]:
    """Matrices of files with label names, blank-separated, a line a document; and the table of all names.

    The table is in the order of `vocabulary.in_order`: whole numbers first and by value.
    """
    parts: list[pa.DictionaryArray] = []
    lengths: dict[str, list[Int64s]] = {split: [] for split in paths}
    for split, path in paths.items():
        for _, lines in text_lines(path, encoding):
            words = lines.str.extract_all(r"\S+")
            lengths[split].append(words.list.len().cast(pl.Int64).to_numpy())
            names = words.filter(words.list.len() > 0).explode().to_arrow().cast(pa.string())
            parts.append(names.dictionary_encode())
    kind = pa.dictionary(pa.int32(), pa.string())
    unified = pa.chunked_array(parts, kind).unify_dictionaries()
    seen = unified.chunk(0).dictionary if parts else pa.array([], pa.string())
    table = in_order(pl.DataFrame({"label": pl.Series(seen, dtype=pl.String)}).with_row_index("code"))
    number = np.empty(len(table), np.int32)
    number[table["code"].to_numpy()] = np.arange(len(table), dtype=np.int32)
    labels = iter([number[chunk.indices.to_numpy()] for chunk in unified.chunks])
    matrices = {}
    for split, path in paths.items():
        mine = [next(labels) for _ in lengths[split]]
        indptr = np.concatenate([[0], np.cumsum(joined(lengths[split], np.int64))])
        matrices[split] = LabelMatrix(path, indptr, joined(mine, np.int32), len(table))
    return matrices, named(table["label"], None)
