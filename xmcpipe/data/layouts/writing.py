"""Writes the files that other systems read: lines of text, CSR matrices and X_Y files, batch by batch.

A document is one line, so line breaks inside a text become blanks. lbl.json holds the exact name and text of
each label, so that an import restores exported labels that the other files can't express.

Legend: B rows of a batch · P (document, label) pairs of a batch · N documents · L labels.
"""

from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from xmcpipe.data.arrays import concatenate, row_offsets
from xmcpipe.data.filter_pairs import FilterPairs

# All characters that some reader treats as the end of a line (the same as in Python's str.splitlines).
LINE_BREAKS = r"[\n\v\f\r\x{1c}-\x{1e}\x{85}\x{2028}\x{2029}]+"


def write_text_lines(file: IO[bytes], texts: pa.Array) -> None:
    """Append texts, string [B], one per line."""
    _write_lines(file, pc.replace_substring_regex(texts.cast(pa.large_string()), LINE_BREAKS, " "))


def write_pairs(file: IO[bytes], lists: pa.ListArray, values: pa.ListArray | None = None) -> None:
    """Append a line `label:value label:value …` for each list of label ids; without `values`, they are 1."""
    labels = lists.flatten().cast(pa.large_string())
    numbers = (
        pa.scalar("1", pa.large_string()) if values is None else values.flatten().cast(pa.large_string())
    )
    words = pc.binary_join_element_wise(labels, numbers, pa.scalar(":", pa.large_string()))
    rows = pa.LargeListArray.from_arrays(pa.array(row_offsets(_lengths(lists))), words)
    _write_lines(file, pc.binary_join(rows, pa.scalar(" ", pa.large_string())))


class CsrColumns:
    """Collects lists of label ids, and writes them as one CSR matrix, float32 [N, num_labels]."""

    def __init__(self, num_labels: int) -> None:
        self._num_labels = num_labels
        self._lengths: list[npt.NDArray[np.int64]] = []
        self._labels: list[npt.NDArray[np.int32]] = []

    def add(self, lists: pa.ListArray) -> None:
        """Append B rows."""
        self._lengths.append(_lengths(lists))
        self._labels.append(lists.flatten().to_numpy(zero_copy_only=False))

    def write(self, path: Path) -> None:
        """Write the rows, with a 1 for each label, for `scipy.sparse.load_npz`."""
        from scipy import sparse  # only this function uses it

        lengths, labels = concatenate(self._lengths, np.int64), concatenate(self._labels, np.int32)
        indptr = row_offsets(lengths)
        matrix = sparse.csr_matrix(
            (np.ones(len(labels), np.float32), labels, indptr), (len(lengths), self._num_labels)
        )
        with path.open("wb") as file:
            sparse.save_npz(file, matrix)


def write_label_texts(path: Path, labels: pa.Table) -> None:
    """Write a line per label, in order: its text or, if it has none, its name (see schema.LABELS)."""
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        for batch in labels.combine_chunks().to_batches():
            write_text_lines(file, pc.coalesce(batch["text"], batch["label"]))


def write_label_json(path: Path, labels: pa.Table) -> None:
    """Write a JSON object per label: its name as `uid`, its text or the empty string as `title`."""
    frame = pl.DataFrame(labels)
    frame.select(uid="label", title=pl.col("text").fill_null("")).write_ndjson(path)


def write_filter_pairs(path: Path, pairs: FilterPairs) -> None:
    """Write a line `row label` per pair, both from 0; no file if there are no pairs."""
    if len(pairs):
        rows, labels = (
            pa.array(part).cast(pa.large_string()) for part in np.divmod(pairs.keys, pairs.num_labels)
        )
        with path.open("wb") as file:
            _write_lines(file, pc.binary_join_element_wise(rows, labels, pa.scalar(" ", pa.large_string())))


def header(rows: int, num_labels: int) -> bytes:
    """The first line of an X_Y file."""
    return f"{rows} {num_labels}\n".encode()


def _lengths(lists: pa.ListArray) -> npt.NDArray[np.int64]:
    return np.asarray(pc.list_value_length(lists).to_numpy(zero_copy_only=False), np.int64)


def _write_lines(file: IO[bytes], lines: pa.LargeStringArray) -> None:
    """Append the lines, each with a line feed, in one write.

    Arrow stores the texts of a column end to end in one buffer. With a line feed after each text, that buffer
    is the content of the file, so no text becomes a Python object.
    """
    # Joining each line with an empty text puts the separator, a line feed, after it.
    empty, feed = (pa.scalar(text, pa.large_string()) for text in ("", "\n"))
    ended = pc.binary_join_element_wise(lines, empty, feed)
    offsets = np.frombuffer(ended.buffers()[1], np.int64, len(ended) + 1, 8 * ended.offset)
    if len(ended):
        file.write(memoryview(ended.buffers()[2])[offsets[0] : offsets[-1]])
