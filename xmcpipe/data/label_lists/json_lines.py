"""Reads label lists from JSON, as Arrow batches of the columns id, labels and scores.

There are four dialects. Ours has the keys `labels` and, optionally, `id` and `scores`. In the output of
`xmcpipe predict --json`, the elements of `labels` are objects with `label` and `score`. Arrow parses both,
block by block. The output of PECOS (`pecos.apps.text2text.predict`) has the key `data`, a list of [label,
score]; `labels` may be such a list too. Arrow has no type for a list of a string and a number, so Python's
json module reads it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pj

from xmcpipe.data.label_lists.json_text import json_line_blocks
from xmcpipe.data.label_lists.table.column_names import named_columns
from xmcpipe.data.tables.json_shapes import way_out_of_line
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json

CHANGED = re.compile(r"Column\(/(\S+)\) changed from (\w+) to (\w+) in row (\d+)")
LIST_AS_TEXT = re.compile(r"(?s)\s*\[.*\]\s*")
SCANNED = 1000  # rows in which the types of ids and scores are looked for


@dataclass(frozen=True)
class Dialect:
    """How the rows of a file are read: `pairs` is the key of lists of [label, score], "" if Arrow reads them.

    `columns` are the keys in the file -> the columns; `schema` has the types of the keys.
    """

    pairs: str
    columns: dict[str, str]
    schema: pa.Schema


def read_json_lines(path: Path, role: str) -> Iterator[pa.RecordBatch]:
    """Yield batches in the order of the file; ids of training documents are not read.

    Raises XmcpipeError, with the line, for anything but one of the dialects.
    """
    unit, blocks = json_line_blocks(path)
    dialect: Dialect | None = None
    known: set[str] | None = None  # the columns of the rows so far
    for number, block in blocks:
        dialect = dialect or _dialect(path, role)
        place = f"{path}, rows counted from {unit} {number}"
        if dialect.pairs:
            batches: Iterable[pa.RecordBatch] = [_pairs_batch(path, unit, number, block, dialect)]
        else:
            batches = map(_split, _batches(place, block, dialect))
        for batch in batches:
            known = _same_columns(place, batch, known)
            yield batch.select(sorted(known))


def require_labels(path: Path, present: list[str], way_out: str = "") -> None:
    """Raise XmcpipeError unless `labels` is one of the columns `present` in the file."""
    if "labels" not in present:
        shown = ", ".join(map(repr, present[:8])) + (", …" if len(present) > 8 else "")
        raise XmcpipeError(
            f"{path}: expected a column 'labels', got {shown or 'none'}",
            way_out or "columns are id, labels and, for predictions, scores",
        )


def _same_columns(place: str, batch: pa.RecordBatch, known: set[str] | None) -> set[str]:
    """The columns of a batch that hold values, and those of earlier ones.

    Raises XmcpipeError if earlier rows lack one of them: a row without scores is no row of scores.
    """
    filled = {name for name in batch.schema.names if batch[name].null_count < len(batch) or name == "labels"}
    if known is None:
        return filled
    if missing := filled - known:
        raise XmcpipeError(
            f"{place}: expected the keys of the rows before, got {sorted(missing)[0]!r} too",
            "write the same keys in every row",
        )
    return known


def _batches(place: str, block: bytes, dialect: Dialect) -> list[pa.RecordBatch]:
    """The rows of a block, parsed by Arrow, under our names."""
    options = pj.ParseOptions(explicit_schema=dialect.schema, unexpected_field_behavior="ignore")
    try:
        read = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
        batches: list[pa.RecordBatch] = pj.read_json(pa.BufferReader(block), read, options).to_batches()
    except pa.ArrowException as error:
        what = str(error)
        if (found := CHANGED.search(what)) is not None:
            key = found[1].split("/")[0]
            what = f"values of {key!r} are of two types: {found[2]} before, and {found[3]} in row {found[4]}"
        raise XmcpipeError(
            f"{place}: {what}", "write one object per line, with labels of one type, and scores as numbers"
        ) from error
    return [batch.rename_columns([dialect.columns[name] for name in batch.schema.names]) for batch in batches]


def _split(batch: pa.RecordBatch) -> pa.RecordBatch:
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


def _pairs_batch(path: Path, unit: str, first: int, block: bytes, dialect: Dialect) -> pa.RecordBatch:
    """The lines of a block with lists of pairs as a batch; `first` is the number of its first line."""
    lines = block.split(b"\n")
    rows = [_row(path, unit, first + at, line) for at, line in enumerate(lines) if line.strip()]
    try:
        data = [row[dialect.pairs] or [] for row in rows]
        columns = {
            "labels": pa.array([[label for label, _ in pairs] for pairs in data]),
            "scores": pa.array(
                [[float(score) for _, score in pairs] for pairs in data], pa.list_(pa.float64())
            ),
        }
        if not any(data):
            columns["labels"] = pa.array(data, pa.list_(pa.string()))
        for key, name in dialect.columns.items():
            if name == "id":
                columns["id"] = pa.array([row.get(key) for row in rows])
    except (KeyError, ValueError, TypeError, pa.ArrowException) as error:
        raise XmcpipeError(
            f"{path}, rows counted from {unit} {first}: {error}",
            f'write lines of {{"{dialect.pairs}": [[label, score], …]}}',
        ) from error
    return pa.record_batch(columns)


def _dialect(path: Path, role: str) -> Dialect:
    """The keys and types of the known columns: of labels, the type of the first one; of others, of the first.

    Without a schema, Arrow would infer types for each block separately.
    """
    names, seen, labels = _first_values(path)
    lists = {key for key in names if _is_list(seen[key])}
    floats = {key for key in lists if all(isinstance(item, float) for item in seen[key])}
    columns = named_columns(path, names, lists, role, floats)
    if "labels" not in seen:
        return Dialect("data", columns, pa.schema([]))
    example: Any = labels[0] if labels else 0
    if isinstance(example, list):
        if not (len(example) == 2 and (isinstance(example[1], float) or _is_decimal(example[1]))):
            raise XmcpipeError(
                f"{path}: expected a list of labels, or of [label, score], got a list of lists: "
                f"{labels[:2]!r:.60}",
                "write an object for each document, with one list of its labels",
            )
        return Dialect("labels", columns, pa.schema([]))
    objects = isinstance(example, dict) and example.keys() >= {"label", "score"}
    scores = next((seen[key] for key, name in columns.items() if name == "scores"), None)
    score = _score_type(example["score"] if objects else next(iter(scores or []), None))
    kind = pa.struct([("label", pa.string()), ("score", score)]) if objects else _json_type(example)
    kinds = {"labels": pa.list_(kind), "scores": pa.list_(score)}
    # Keys that only later rows have are read too: the rows before then lack them, which is an error.
    others = [name for name in ("id", "scores") if name not in columns.values() and role != "train"]
    columns |= {name: name for name in others}
    fields = [
        (key, _json_type(seen.get(key)) if name == "id" else kinds[name])
        for key, name in columns.items()
        if not (objects and name == "scores")
    ]
    return Dialect("", columns, pa.schema(fields))


def _first_values(path: Path) -> tuple[list[str], dict[str, Any], list[Any]]:
    """The keys of the first rows, the first value of each that isn't null or empty, and the first labels.

    The file of PECOS has the key `data` in place of `labels`.
    """
    seen: dict[str, Any] = {}
    labels: list[Any] = []
    for at, (unit, number, row) in enumerate(_rows(path)):
        pecos = "data" in row and "labels" not in row
        if at == 0 and not pecos:
            by_id = len(row) > 1 and all(isinstance(value, list | dict) for value in row.values())
            way_out = 'write {"id": KEY, "labels": […]} on a line for each key' if by_id else ""
            require_labels(path, list(row), way_out)
        for key, value in row.items():
            seen[key] = value if seen.get(key) in (None, []) else seen[key]
        given = row.get("labels") or []
        if not isinstance(given, list):
            raise XmcpipeError(
                f"{path}, {unit} {number}: expected a list in 'labels', got {given!r}",
                "write one list per document",
            )
        labels = labels or given
        # Leading rows may have empty lists, which show no type.
        if at >= SCANNED and (labels or pecos):
            break
    return list(seen), seen, labels


def _rows(path: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """The rows of the file: what is counted, the number of the row, and its object."""
    unit, blocks = json_line_blocks(path)
    for first, block in blocks:
        for at, line in enumerate(block.split(b"\n")):
            if line.strip():
                yield unit, first + at, _row(path, unit, first + at, line)


def _row(path: Path, unit: str, number: int, line: bytes) -> dict[str, Any]:
    """The object in a line. Raises XmcpipeError, with the line, for anything else."""
    try:
        row = parse_json(line)
    except UnicodeDecodeError as error:
        raise XmcpipeError(f"{path}, {unit} {number}: invalid UTF8", "write the file in UTF-8") from error
    except ValueError as error:
        raise XmcpipeError(
            f"{path}, {unit} {number}: invalid JSON: {error}", way_out_of_line(line.decode())
        ) from error
    if not isinstance(row, dict):
        raise XmcpipeError(
            f"{path}, {unit} {number}: expected an object, got {type(row).__name__}",
            'write lines of {"id": …, "labels": […]}',
        )
    return row


def _is_list(value: Any) -> bool:
    """Whether a value is a list, also as text, or an object of scores."""
    if isinstance(value, dict):
        return bool(value) and all(isinstance(item, float) for item in value.values())
    return isinstance(value, list) or (isinstance(value, str) and LIST_AS_TEXT.fullmatch(value) is not None)


def _is_decimal(value: Any) -> bool:
    """Whether a text is a number with a point, 0.9, as a score and seldom a label."""
    return isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d*\.\d+(?:[eE][-+]?\d+)?\s*", value) is not None


def _score_type(example: Any) -> pa.DataType:
    """Scores may be written as text; `ListsBuilder` reads the numbers in it."""
    return pa.string() if isinstance(example, str) else pa.float64()


def _json_type(value: Any) -> pa.DataType:
    if isinstance(value, bool):
        return pa.bool_()
    if not isinstance(value, int | float):
        return pa.string()
    return pa.int64() if isinstance(value, int) else pa.float64()
