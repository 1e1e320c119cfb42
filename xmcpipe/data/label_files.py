"""Reads `LabelLists` from the files that users hold, and from artifacts.

    .parquet                     columns labels, and id and scores where there are any; row group by row group
    .jsonl .ndjson (also .gz)    the same keys, an object a line; block by block
    .npz                         a SciPy CSR matrix, a row a document; without ids, so joined by row number
    a folder                     an artifact: predictions, raw or shards, with the vocabulary that it holds

Labels are integers or strings. In a matrix of predictions every stored value is a score, zeros too; in one of
truth a stored zero is no label. Nothing is ever unpickled.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from xmcpipe.artifacts.versions import PREDICTIONS_VERSION
from xmcpipe.data.label_columns import ListsBuilder
from xmcpipe.data.label_lists import LabelLists
from xmcpipe.data.npz import read_csr
from xmcpipe.data.shards import Shards
from xmcpipe.errors import XmcpipeError, require_file

Role = Literal["predictions", "truth", "train"]
ROWS = 1 << 16
BLOCK_BYTES = 1 << 23
COLUMNS = ("id", "labels", "scores")
SUFFIXES = {".parquet": "parquet", ".jsonl": "json", ".ndjson": "json", ".npz": "npz"}


def read_label_lists(path: Path, role: Role, top: int | None = None) -> LabelLists:
    """The labels in `path`: for predictions with scores, and cut to those that can reach the `top` best.

    Raises XmcpipeError for a file that is not there, is not what its name says, lacks a column or has a type
    that isn't wanted.
    """
    if path.is_dir():
        return _read_artifact(path, role, top)
    require_file(path, role)
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    kind = SUFFIXES.get(suffix)
    if kind is None or (kind != "json" and path.name.endswith(".gz")):
        raise XmcpipeError(
            f"{role}: {path} is of no known format", "known: .parquet, .jsonl, .jsonl.gz, .npz and artifacts"
        )
    builder = ListsBuilder(str(path), role == "predictions", top)
    if kind == "npz":
        return _read_npz(path, role, builder)
    for batch in _parquet_batches(path) if kind == "parquet" else _json_batches(path):
        builder.add(batch)
    names = None
    folder = path.parent
    if (folder / "manifest.json").is_file() and (folder / "labels.parquet").is_file():
        names = read_label_names(folder)  # a table of an artifact: its integers are ids of that vocabulary
    return builder.finish(names, None if names is None else len(names))


def read_label_names(folder: Path) -> pa.Array:
    """The vocabulary of an artifact, string [L]: element i is the name of label id i."""
    path = require_file(folder / "labels.parquet", "vocabulary")
    try:
        return pq.read_table(path, columns=["label"]).column("label").cast(pa.string()).combine_chunks()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise XmcpipeError(f"{path} can't be read as a vocabulary: {error}", "run the stage again") from error


def _read_artifact(folder: Path, role: Role, top: int | None) -> LabelLists:
    split = "train" if role == "train" else "test"
    table = folder / ("predictions.parquet" if role == "predictions" else f"{split}.parquet")
    names = read_label_names(folder) if (folder / "labels.parquet").is_file() else None
    width = None if names is None else len(names)
    if table.is_file():
        builder = ListsBuilder(str(folder), role == "predictions", top)
        for batch in _parquet_batches(table):
            builder.add(batch)
        return builder.finish(names, width)
    if role != "predictions" and (folder / f"{split}-00000.arrow").is_file():
        shards = Shards(folder, split)
        indptr, labels = shards.label_csr()
        return LabelLists(str(folder), shards.ids(), indptr, labels, None, names, width)
    wanted = "predictions" if role == "predictions" else "raw or shards"
    raise XmcpipeError(
        f"{role}: {folder} is no artifact of {wanted}", "name a file, or the folder a stage made"
    )


def _parquet_batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            version = (file.schema_arrow.metadata or {}).get(b"xmcpipe.predictions")
            if version not in (None, str(PREDICTIONS_VERSION).encode()):
                raise XmcpipeError(
                    f"{path} has format {version.decode()}, this xmcpipe reads {PREDICTIONS_VERSION}",
                    "run `xmcpipe predict` again",
                )
            there = file.schema_arrow.names
            _require_labels(path, there)
            yield from file.iter_batches(ROWS, columns=[name for name in COLUMNS if name in there])
    except (pa.ArrowException, OSError) as error:
        raise XmcpipeError(f"{path} can't be read as Parquet: {error}", "check the file") from error


def _json_batches(path: Path) -> Iterator[pa.RecordBatch]:
    options: pj.ParseOptions | None = None
    line = 1
    for block in _line_blocks(path):
        if options is None:
            schema = _json_schema(path)
            options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        try:
            read = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
            table = pj.read_json(pa.BufferReader(block), read, options)
        except pa.ArrowException as error:
            raise XmcpipeError(
                f"{path}, rows counted from line {line}: {error}",
                "write an object a line, with labels of one type",
            ) from error
        yield from table.to_batches()
        line += block.count(b"\n")


def _line_blocks(path: Path) -> Iterator[bytes]:
    """The file in pieces of whole lines."""
    try:
        with _opened(path) as file:
            rest = b""
            while piece := file.read(BLOCK_BYTES):
                lines, newline, rest = (rest + piece).rpartition(b"\n")
                if (lines + newline).strip():
                    yield lines + newline
            if rest.strip():
                yield rest
    except (OSError, EOFError, zlib.error) as error:
        raise XmcpipeError(f"{path} can't be read: {error}", "check the file") from error


def _opened(path: Path) -> Any:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")


def _json_schema(path: Path) -> pa.Schema:
    """The types of the known columns, from the first line and the first that has a label."""
    first: dict[str, Any] | None = None
    labels: list[Any] = []
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            row = _json_row(path, number, line)
            first = first or row
            _require_labels(path, list(row))
            labels = row["labels"] or []
            if not isinstance(labels, list):
                raise XmcpipeError(
                    f"{path}, line {number}: labels are {labels!r}, a list was wanted",
                    "write a list a document",
                )
            if labels:
                break
    assert first is not None, "there is a line that isn't blank"
    kinds = {"id": _json_type(first.get("id")), "labels": pa.list_(_json_type(labels[0] if labels else 0))}
    kinds["scores"] = pa.list_(pa.float64())
    return pa.schema([(name, kinds[name]) for name in COLUMNS if name in first])


def _json_row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise XmcpipeError(f"{path}, line {number} is not JSON: {error}", "write an object a line") from error
    if not isinstance(row, dict):
        raise XmcpipeError(
            f"{path}, line {number}: an object was wanted", 'write {"id": …, "labels": […]} a line'
        )
    return row


def _json_type(value: Any) -> pa.DataType:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return pa.string()
    return pa.int64() if isinstance(value, int) else pa.float64()


def _require_labels(path: Path, there: list[str]) -> None:
    if "labels" not in there:
        raise XmcpipeError(
            f"{path} has no column 'labels', it has {', '.join(map(repr, there)) or 'none'}",
            "columns are id, labels and, for predictions, scores",
        )


def _read_npz(path: Path, role: Role, builder: ListsBuilder) -> LabelLists:
    matrix = read_csr(path) if role == "predictions" else read_csr(path).without_zeros()
    for first in range(0, len(matrix), ROWS):
        piece = matrix.indptr[first : first + ROWS + 1]
        pairs = slice(int(piece[0]), int(piece[-1]))
        scores = matrix.values[pairs] if role == "predictions" else None
        builder.append(np.diff(piece), matrix.indices[pairs], scores)
    return builder.finish(width=matrix.width)
