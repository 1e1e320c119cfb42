"""Reads label lists from JSON lines, as Arrow batches of the columns id, labels and scores.

There are three dialects. Ours has the keys `labels` and, optionally, `id` and `scores`. In the output of
`xmcpipe predict --json`, the elements of `labels` are objects with `label` and `score`. Arrow parses both,
block by block. The output of PECOS (`pecos.apps.text2text.predict`) has the key `data`, a list of [label,
score]. Arrow has no type for a list of a string and a number, so Python's json module reads it.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pj

from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json

BLOCK_BYTES = 1 << 23
COLUMNS = ("id", "labels", "scores")


def read_json_lines(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield batches in the order of the file.

    Raises XmcpipeError, with the line, for anything but one of the three dialects.
    """
    options: pj.ParseOptions | None = None
    line, pecos = 1, None  # the number of the block's first line; the dialect, unknown before the first block
    for block in _line_blocks(path):
        if pecos is None:
            pecos = _is_pecos(path)
        if pecos:
            yield _pecos_batch(path, line, block)
        else:
            if options is None:
                schema = _json_schema(path)
                options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
            yield from map(_columns, _batches(path, line, block, options))
        line += block.count(b"\n")


def require_labels(path: Path, present: list[str]) -> None:
    """Raise XmcpipeError unless `labels` is one of the columns `present` in the file."""
    if "labels" not in present:
        raise XmcpipeError(
            f"{path}: expected a column 'labels', got {', '.join(map(repr, present)) or 'none'}",
            "columns are id, labels and, for predictions, scores",
        )


def _batches(path: Path, line: int, block: bytes, options: pj.ParseOptions) -> list[pa.RecordBatch]:
    """The rows of a block, parsed by Arrow; `line` is the number of its first line."""
    try:
        read = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
        batches: list[pa.RecordBatch] = pj.read_json(pa.BufferReader(block), read, options).to_batches()
    except pa.ArrowException as error:
        raise XmcpipeError(
            f"{path}, rows counted from line {line}: {error}",
            "write one object per line, with labels of one type",
        ) from error
    return batches


def _columns(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch; if its labels are objects, they are split into the columns labels and scores."""
    kind = batch.schema.field("labels").type
    if not pa.types.is_struct(kind.value_type):
        return batch
    pairs = batch["labels"]
    values = pairs.values
    lists = {
        name: pa.ListArray.from_arrays(pairs.offsets, values.field(key), mask=pairs.is_null())
        for name, key in (("labels", "label"), ("scores", "score"))
    }
    rest = {name: batch[name] for name in batch.schema.names if name == "id"}
    return pa.record_batch({**rest, **lists})


def _is_pecos(path: Path) -> bool:
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                row = _json_row(path, number, line)
                return "data" in row and "labels" not in row
    return False


def _pecos_batch(path: Path, first: int, block: bytes) -> pa.RecordBatch:
    """The lines of a block in the dialect of PECOS as a batch; `first` is the number of its first line."""
    lines = block.split(b"\n")
    rows = [_json_row(path, first + at, line) for at, line in enumerate(lines) if line.strip()]
    try:
        data = [row["data"] for row in rows]
        columns = {
            "labels": pa.array([[label for label, _ in pairs] for pairs in data], pa.list_(pa.string())),
            "scores": pa.array([[score for _, score in pairs] for pairs in data], pa.list_(pa.float64())),
        }
    except (KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise XmcpipeError(
            f"{path}, rows counted from line {first}: {error}", 'write lines of {"data": [[label, score], …]}'
        ) from error
    return pa.record_batch(columns)


def _line_blocks(path: Path) -> Iterator[bytes]:
    """Yield the file in blocks of whole lines; blank blocks are skipped."""
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
    """The types of the known columns, inferred from the first line and from the first line with a label.

    Without a schema, Arrow would infer types for each block separately.
    """
    first: dict[str, Any] | None = None
    labels: list[Any] = []
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            row = _json_row(path, number, line)
            first = first or row
            require_labels(path, list(row))
            labels = row["labels"] or []
            if not isinstance(labels, list):
                raise XmcpipeError(
                    f"{path}, line {number}: expected a list in 'labels', got {labels!r}",
                    "write one list per document",
                )
            if labels:  # leading rows may have empty lists, which show no type
                break
    assert first is not None, "a block holds a line that isn't blank"
    example = labels[0] if labels else 0
    objects = isinstance(example, dict) and example.keys() >= {"label", "score"}
    kind = pa.struct([("label", pa.string()), ("score", pa.float64())]) if objects else _json_type(example)
    kinds = {"id": _json_type(first.get("id")), "labels": pa.list_(kind), "scores": pa.list_(pa.float64())}
    present = [name for name in COLUMNS if name in first and not (objects and name == "scores")]
    return pa.schema([(name, kinds[name]) for name in present])


def _json_row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """The object in a line. Raises XmcpipeError, with the line, for anything else."""
    try:
        row = parse_json(line)
    except ValueError as error:
        raise XmcpipeError(
            f"{path}, line {number}: invalid JSON: {error}", "write one object per line"
        ) from error
    if not isinstance(row, dict):
        raise XmcpipeError(
            f"{path}, line {number}: expected an object, got {type(row).__name__}",
            'write lines of {"id": …, "labels": […]}',
        )
    return row


def _json_type(value: Any) -> pa.DataType:
    if isinstance(value, bool):
        return pa.bool_()
    if not isinstance(value, int | float):
        return pa.string()
    return pa.int64() if isinstance(value, int) else pa.float64()
