"""The files that bulk prediction writes: one row for each input row, in the order of the input.

    .parquet    id string · labels list<string>, best first · scores list<float> · probabilities list<float>
    .jsonl      {"id": …, "labels": [{"label": …, "text": …, "score": …, "probability": …}, …]}, the rows of
                `predict --json`
    .csv        id, labels, scores, probabilities; lists as JSON, because a label may hold any separator
    .npz        SciPy CSR matrix [N, L] of scores; column i is row i of the model's labels.parquet; no ids.
                Its member `probabilities` has them in the order of `data`

Where a model has no probabilities, they are null, an empty cell, or no member. A writer reads finished blocks
(tables of `data.predictions`), one at a time, and label names.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.data.parquet import ParquetFileWriter
from xmcpipe.data.predictions import write_predictions_npz
from xmcpipe.errors import XmcpipeError

FLOATS = pa.list_(pa.float32())
NAMED = pa.schema(
    [("id", pa.string()), ("labels", pa.list_(pa.string())), ("scores", FLOATS), ("probabilities", FLOATS)]
)
SCORE_DIGITS = 6  # after the decimal point, in text; of probabilities too

Writer = Callable[[Sequence[Path], pa.Table, Path], None]


def output_format(out: Path, named: str | None) -> str:
    """The format to write: the one that was `named`, else the ending of `out`.

    Raises XmcpipeError for a format that there isn't.
    """
    found = named or out.suffix.lower().removeprefix(".")
    if found not in WRITERS:
        given = f"--format {named}" if named else f"-o {out}"
        raise XmcpipeError(
            f"expected an output of format {', '.join(WRITERS)}, got {given}",
            "end the name of the file with one of them, or name one with --format",
        )
    return found


def require_writable(out: Path) -> None:
    """Raise XmcpipeError, before any work, if the file `out` can't be written."""
    folder = out.absolute().parent
    if out.is_dir():
        raise XmcpipeError(f"expected a file to write, got the folder -o {out}", "name a file in it")
    if not folder.is_dir():
        raise XmcpipeError(f"there is no folder {folder}", "create it, or write another file with -o")
    if not os.access(folder, os.W_OK):
        raise XmcpipeError(f"{folder} can't be written: permission denied", "write another file with -o")


def _write_parquet(blocks: Sequence[Path], labels: pa.Table, out: Path) -> None:
    names = labels["label"].combine_chunks().cast(pa.string())
    with ParquetFileWriter(out, NAMED, compression="zstd") as file:
        for block in _tables(blocks):
            lists = block["labels"].combine_chunks()
            named = pa.ListArray.from_arrays(lists.offsets, names.take(lists.values))
            if "probabilities" in block.column_names:
                probabilities = block["probabilities"]
            else:
                probabilities = pa.nulls(len(block), FLOATS)
            file.write_table(pa.table([block["id"], named, block["scores"], probabilities], schema=NAMED))


def scored(name: str, text: str | None, score: float, probability: float | None) -> dict[str, Any]:
    """A label of a document as it is written in JSON."""
    rounded = None if probability is None else round(probability, SCORE_DIGITS)
    return {"label": name, "text": text, "score": round(score, SCORE_DIGITS), "probability": rounded}


def _write_jsonl(blocks: Sequence[Path], labels: pa.Table, out: Path) -> None:
    names, texts = labels["label"].to_pylist(), labels["text"].to_pylist()
    with out.open("w", encoding="utf-8", newline="\n") as file:
        for identity, ids, scores, probabilities in _rows(blocks):
            found: list[float | None] = [*probabilities] if probabilities else [None] * len(ids)
            row = [
                scored(names[label], texts[label], score, probability)
                for label, score, probability in zip(ids, scores, found, strict=True)
            ]
            file.write(json.dumps({"id": identity, "labels": row}, ensure_ascii=False) + "\n")


def _write_csv(blocks: Sequence[Path], labels: pa.Table, out: Path) -> None:
    names = labels["label"].to_pylist()
    with out.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(NAMED.names)
        for identity, ids, *numbers in _rows(blocks):
            named = json.dumps([names[label] for label in ids], ensure_ascii=False)
            table.writerow([identity, named, *map(_numbers, numbers)])


def _numbers(values: list[float] | None) -> str:
    """A list of numbers as a cell; an empty cell if there is none."""
    return "" if values is None else json.dumps([round(value, SCORE_DIGITS) for value in values])


def _write_npz(blocks: Sequence[Path], labels: pa.Table, out: Path) -> None:
    write_predictions_npz(blocks, out, len(labels))


WRITERS: dict[str, Writer] = {
    "parquet": _write_parquet,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "npz": _write_npz,
}


def _tables(blocks: Sequence[Path]) -> Iterator[pa.Table]:
    for block in blocks:
        yield pq.read_table(block)


def _rows(blocks: Sequence[Path]) -> Iterator[tuple[str, list[int], list[float], list[float] | None]]:
    """Id, labels, scores and, if the model has some, probabilities of each document."""
    for table in _tables(blocks):
        columns = [table[name].to_pylist() for name in ("id", "labels", "scores")]
        present = "probabilities" in table.column_names
        columns.append(table["probabilities"].to_pylist() if present else [None] * len(table))
        yield from zip(*columns, strict=True)
