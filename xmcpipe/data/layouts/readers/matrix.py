"""Reads the labels of all documents, from any kind of label file, as one matrix in memory.

With 36 labels for each of 2.5 million documents, the matrix takes 360 MB. The texts, which are far larger,
are streamed.

Legend: N documents · P (document, label) pairs · L labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from xmcpipe.data.arrays import concatenate, row_offsets
from xmcpipe.data.layouts.readers.names import label_table
from xmcpipe.data.npz import read_csr
from xmcpipe.data.raw.vocabulary import in_order
from xmcpipe.data.tables.lines import text_lines
from xmcpipe.data.tables.selection import row_error
from xmcpipe.errors import XmcpipeError

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
HEADER = r"^\s*([0-9]{1,9})\s+([0-9]{1,9})\s*$"
PAIR = r"^([0-9]{1,9}):(.+)$"


@dataclass(frozen=True)
class LabelMatrix:
    """Labels of N documents in CSR: `indptr` int64 [N + 1], `labels` int32 [P].

    `num_labels` is L if the file states it, else None.
    """

    path: Path
    indptr: Int64s
    labels: Int32s
    num_labels: int | None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def lists(self, first: int, last: int) -> pl.Series:
        """The labels of documents [first, last): a column `labels`, list<int32>."""
        offsets = self.indptr[first : last + 1]
        values = self.labels[offsets[0] : offsets[-1]]
        lists = pa.LargeListArray.from_arrays(pa.array(offsets - offsets[0]), pa.array(values))
        return pl.Series("labels", lists)


def read_matrix(path: Path, encoding: str) -> LabelMatrix:
    """Read a label file: a CSR matrix in .npz, or text with a line `label:value label:value …` per document.

    Text may have a header `N L`. Labels with value 0 are dropped. Raises XmcpipeError for a file in another
    format, for a label out of range, and if the number of lines contradicts the header.
    """
    if path.suffix == ".npz":
        csr = read_csr(path).without_zeros()
        if csr.width >= 2**31:
            raise XmcpipeError(
                f"{path}: expected fewer than 2,147,483,648 labels, got {csr.width:,}",
                "label ids have 32 bits",
            )
        return LabelMatrix(path, csr.indptr, csr.indices.astype(np.int32, copy=False), csr.width)
    return _read_x_y(path, encoding)


def _read_x_y(path: Path, encoding: str) -> LabelMatrix:
    """The matrix in a text file."""
    rows = columns = None
    lengths: list[Int64s] = []
    labels: list[Int32s] = []
    for first, lines in text_lines(path, encoding):
        at = first  # number of the first line with labels in this block
        if first == 1 and (header := lines.head(1).str.extract_groups(HEADER).struct.unnest().row(0))[0]:
            rows, columns = map(int, header)
            lines, at = lines[1:], first + 1
        counts, numbers = _parse_pairs(lines, at, path)
        lengths.append(counts)
        labels.append(numbers)
    every = concatenate(labels, np.int32)
    indptr = row_offsets(concatenate(lengths, np.int64))
    if rows is not None and len(indptr) - 1 > rows and indptr[rows] == indptr[-1]:
        indptr = indptr[: rows + 1]  # blank lines after the last document
    if rows is not None and len(indptr) - 1 != rows:
        raise XmcpipeError(
            f"{path}: expected {rows:,} rows, as its header states, got {len(indptr) - 1:,}",
            "check that the file is complete",
        )
    if columns is not None and len(every) and int(every.max()) >= columns:
        raise XmcpipeError(
            f"{path}: expected labels below {columns:,}, as its header states, got {int(every.max())}",
            "labels are counted from 0",
        )
    return LabelMatrix(path, indptr, every, columns)


def _parse_pairs(lines: pl.Series, first: int, path: Path) -> tuple[Int64s, Int32s]:
    """The number of labels in each of n lines, int64 [n], and all labels end to end, int32 [P].

    `first` is the number of the first line, for errors.
    """
    words = lines.str.extract_all(r"\S+")
    counts = words.list.len().cast(pl.Int64).to_numpy()
    pairs = words.filter(words.list.len() > 0).explode().str.extract_groups(PAIR).struct.unnest()
    label, value = pairs["1"].cast(pl.Int32), pairs["2"].cast(pl.Float64, strict=False)
    wrong = label.is_null() | value.is_null() | value.is_nan()
    if wrong.any():
        place = int(wrong.arg_max() or 0)
        line = int(np.searchsorted(np.cumsum(counts), place, side="right"))  # the line of pair `place`
        raise row_error(
            path,
            f"line {first + line}",
            f"expected pairs label:value, got {lines[line][:60]!r}",
            "labels are whole numbers from 0, and each line is a document",
        )
    nonzero = (value != 0).to_numpy()
    owner = np.repeat(np.arange(len(counts)), counts)[nonzero]
    return np.bincount(owner, minlength=len(counts)), label.to_numpy()[nonzero]


def read_name_lines(paths: Mapping[str, Path], encoding: str) -> tuple[dict[str, LabelMatrix], pl.DataFrame]:
    """Read files with label names; returns the matrix of each split, and the table of all names.

    A file has one line per document, with names separated by blanks. The table is in the order of
    `vocabulary.in_order`: whole numbers first and by value.
    """
    parts: list[pa.DictionaryArray] = []
    lengths: dict[str, list[Int64s]] = {split: [] for split in paths}
    for split, path in paths.items():
        for _, lines in text_lines(path, encoding):
            words = lines.str.extract_all(r"\S+")
            lengths[split].append(words.list.len().cast(pl.Int64).to_numpy())
            names = words.filter(words.list.len() > 0).explode().to_arrow().cast(pa.string())
            parts.append(names.dictionary_encode())
    # Each block has its own dictionary of names. After unification, a name has the same code in all blocks.
    kind = pa.dictionary(pa.int32(), pa.string())
    unified = pa.chunked_array(parts, kind).unify_dictionaries()
    seen = unified.chunk(0).dictionary if parts else pa.array([], pa.string())
    table = in_order(pl.DataFrame({"label": pl.Series(seen, dtype=pl.String)}).with_row_index("code"))
    # Code -> row of the sorted table, which is the label.
    number = np.empty(len(table), np.int32)
    number[table["code"].to_numpy()] = np.arange(len(table), dtype=np.int32)
    labels = iter([number[chunk.indices.to_numpy()] for chunk in unified.chunks])
    matrices = {}
    for split, path in paths.items():
        blocks = [next(labels) for _ in lengths[split]]
        indptr = row_offsets(concatenate(lengths[split], np.int64))
        matrices[split] = LabelMatrix(path, indptr, concatenate(blocks, np.int32), len(table))
    return matrices, label_table(table["label"], None)
