"""Files in the layouts of other programs, of spreadsheets and of old systems, for the fuzz of `eval`.

Those of READ are right files, of which the figures must be right, too. The others are told.
"""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.fuzz.draw import Draw
from tests.bench.fuzz.world import Side, write

Paths = tuple[Path, Path]
WORDS = ("a", "text", "of", "some", "words", "#1", "3:1", "<x>", "label", "0,5")
ID_NAMES = ("id", "ID", "doc_id", "ImageId", "paper id", "guid")


def text_files(encode: Callable[[str], bytes]) -> Callable[[Draw], Paths]:
    """Both files as text in another encoding, or with other line ends."""

    def make(draw: Draw) -> Paths:
        formats = [draw.one_of(("jsonl", "csv") if draw.names else ("jsonl", "csv", "txt")) for _ in range(2)]
        sides = (draw.predictions, draw.truth)
        paths = []
        for role, format_, side in zip(("predictions", "truth"), formats, sides, strict=True):
            paths.append(write(draw.folder / f"encoded-{role}.{format_}", side, draw.names))
            paths[-1].write_bytes(encode(paths[-1].read_text()))
        return paths[0], paths[1]

    return make


def table(path: Path, columns: dict[str, list[Any]], delimiter: str = ",") -> Path:
    """CSV, in which values are quoted where they must be."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    path.write_text(text.getvalue())
    return path


def delimited(delimiter: str) -> Callable[[Draw], Paths]:
    """Columns with another character between them, in .csv; lists of ids with blanks between them."""

    def make(draw: Draw) -> Paths:
        rows, scores = draw.predictions.rows, draw.predictions.scores or []
        cells = {
            "labels": [" ".join(map(str, row)) for row in rows],
            "scores": [json.dumps(s) for s in scores],
        }
        truth = {
            "labels": [" ".join(map(str, row)) for row in draw.truth.rows],
            "text": ["a; b, c"] * len(rows),
        }
        return (
            table(draw.folder / "p.csv", cells, delimiter),
            table(draw.folder / "t.csv", truth, delimiter),
        )

    return make


def decimal_commas(draw: Draw) -> Paths:
    """A spreadsheet of a country that writes 0,5."""
    scores = [
        " ".join(str(value).replace(".", ",") for value in row) for row in draw.predictions.scores or []
    ]
    rows = [" ".join(map(str, row)) for row in draw.predictions.rows]
    return table(draw.folder / "p.csv", {"labels": rows, "scores": scores}, ";"), draw.files(ids=True)[1]


def numpy_in_csv(draw: Draw) -> Paths:
    """Lists and arrays of NumPy, as they are printed."""
    shown: list[Callable[[list[Any], Any], str]] = [
        lambda row, kind: str([kind(value) for value in row]),
        lambda row, kind: repr(np.array(row, kind)),
        lambda row, kind: str(np.array(row, kind)),
        lambda row, kind: f"tensor({row})",
    ]
    show = shown[draw.random.integers(4)]
    labels = [show(row, np.int64) for row in draw.predictions.rows]
    scores = [show(row, np.float64) for row in draw.predictions.scores or []]
    truth = {"labels": [str({np.int64(label) for label in row}) for row in draw.truth.rows]}
    return (
        table(draw.folder / "p.csv", {"labels": labels, "scores": scores}),
        table(draw.folder / "t.csv", truth),
    )


def fasttext_truth(draw: Draw) -> Paths:
    """Labels before, behind and within the text, with the usual prefix or another."""
    prefix = str(draw.random.choice(["__label__", "__topic__"]))
    lines = []
    for row in draw.truth.rows:
        words = [*draw.random.choice(WORDS, int(draw.random.integers(1, 9))).tolist()]
        at = int(draw.random.integers(0, len(words) + 1))
        lines.append(" ".join([*words[:at], *(f"{prefix}n{label}" for label in row), *words[at:]]) + "\n")
    (draw.folder / "t.txt").write_text("".join(lines))
    return write(draw.folder / "p.jsonl", draw.predictions, names=True), draw.folder / "t.txt"


def libmultilabel_truth(draw: Draw) -> Paths:
    """With ids, then in another order than predictions; or without."""
    ids, order = draw.random.random() < 0.5, draw.random.permutation(len(draw.truth.rows))
    lines = []
    for number, row in enumerate(draw.truth.rows):
        labels = " ".join(f"n{label}" for label in row)
        text = " ".join(draw.random.choice(WORDS, 12).tolist())
        lines.append((f"{7000 + number}\t" if ids else "") + f"{labels}\t{text}\n")
    (draw.folder / "t.txt").write_text("".join(lines[at] for at in order) if ids else "".join(lines))
    rows = [{"labels": [f"n{label}" for label in row]} for row in draw.predictions.rows]
    given: Any = [{**row, "id": 7000 + at} if ids else row for at, row in enumerate(rows)]
    path = draw.folder / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path, draw.folder / "t.txt"


def with_ids(path: Path, side: Side, ids: list[Any], name: str = "id") -> Path:
    """A side with ids, as Parquet, JSON lines or CSV."""
    columns = {name: ids, "labels": side.rows} | ({} if side.scores is None else {"probs": side.scores})
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    elif path.suffix == ".jsonl":
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        table(path, columns)
    return path


def reordered(side: Side, order: Any) -> Side:
    scores = None if side.scores is None else [side.scores[n] for n in order]
    return replace(side, rows=[side.rows[n] for n in order], scores=scores)


def ids_as_floats(draw: Draw) -> Paths:
    """Documents in another order, with ids as floats, and under another name in each file."""
    formats = ("parquet", "jsonl", "csv")
    order = draw.random.permutation(len(draw.truth.rows))
    paths = [draw.folder / f"{role}.{draw.one_of(formats)}" for role in "pt"]
    names = draw.random.choice(ID_NAMES, 2).tolist()
    with_ids(paths[0], reordered(draw.predictions, order), [float(50 + n) for n in order], names[0])
    with_ids(paths[1], draw.truth, [50 + n for n in range(len(order))], names[1])
    return paths[0], paths[1]


def ids_in_one_file(draw: Draw) -> Paths:
    """Documents in another order; only one of the two files has ids."""
    order = draw.random.permutation(len(draw.truth.rows))
    formats = ("parquet", "jsonl", "csv")
    with_ = int(draw.random.integers(2))
    sides = [reordered(draw.predictions, order), draw.truth]
    paths = [
        write(draw.folder / f"{role}.{draw.one_of(formats)}", side)
        for role, side in zip("pt", sides, strict=True)
    ]
    ids = [f"d{n}" for n in (order if with_ == 0 else range(len(order)))]
    with_ids(paths[with_], sides[with_], ids)
    return paths[0], paths[1]


def truth_beside_predictions(draw: Draw) -> Paths:
    """One file with the columns `labels`, which are true, and `predictions`."""
    columns = {"labels": draw.truth.rows, "predictions": draw.predictions.rows}
    path = draw.folder / f"both.{draw.one_of(('parquet', 'jsonl'))}"
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    else:
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path, path


def unquoted_blanks(draw: Draw) -> Paths:
    """Names with blanks between them in a CSV cell."""
    cells = [" ".join(f"n{label}" for label in row) for row in draw.truth.rows]
    predictions = write(draw.folder / "p.jsonl", draw.predictions, names=True)
    return predictions, table(draw.folder / "t.csv", {"labels": cells})


LAYOUTS: dict[str, Callable[[Draw], Paths]] = {
    "text in UTF-16": text_files(lambda text: text.encode("utf-16")),
    "UTF-16 without a mark": text_files(lambda text: text.encode("utf-16-le")),
    "CR line ends": text_files(lambda text: text.replace("\n", "\r").encode()),
    "semicolons in CSV": delimited(";"),
    "tabs in CSV": delimited("\t"),
    "decimal commas": decimal_commas,
    "NumPy in CSV": numpy_in_csv,
    "fastText truth": fasttext_truth,
    "LibMultiLabel truth": libmultilabel_truth,
    "ids as floats, other names": ids_as_floats,
    "ids in one file, other order": ids_in_one_file,
    "truth beside predictions": truth_beside_predictions,
    "blanks between names in CSV": unquoted_blanks,
}
READ = {  # right files
    "text in UTF-16",
    "CR line ends",
    "semicolons in CSV",
    "tabs in CSV",
    "NumPy in CSV",
    "fastText truth",
    "LibMultiLabel truth",
    "ids as floats, other names",
}
