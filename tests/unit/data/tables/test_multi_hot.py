"""0/1 vectors are refused or, if the user says so, read as vectors, whatever the format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from tests.unit.data.tables.contents import (
    NAMES,
    TRUTH,
    VECTORS,
    Import,
    csv_text,
    jsonl,
    parquet,
    rows,
    sorted_,
)
from xmcpipe.data.tables import lines

BOOLEANS = {row: list(map(bool, each)) for row, each in VECTORS.items()}
VECTOR_FILES: dict[str, tuple[str, Any]] = {
    "jsonl": ("x.jsonl", jsonl(VECTORS)),
    "jsonl of floats": ("x.jsonl", jsonl({row: list(map(float, each)) for row, each in VECTORS.items()})),
    "jsonl of booleans": ("x.jsonl", jsonl(BOOLEANS)),
    "jsonl as text": ("x.jsonl", jsonl({row: str(each) for row, each in VECTORS.items()})),
    "one array": ("x.json", json.dumps(rows(VECTORS))),
    "parquet": ("x.parquet", parquet(VECTORS, pa.list_(pa.int64()))),
    "parquet of floats": ("x.parquet", parquet(VECTORS, pa.list_(pa.float32()))),
    "parquet of booleans": ("x.parquet", parquet(BOOLEANS, pa.list_(pa.bool_()))),
    "parquet of fixed size": ("x.parquet", parquet(VECTORS, pa.list_(pa.int8(), 5))),
    "python list": ("x.csv", csv_text({row: str(each) for row, each in VECTORS.items()})),
    "numpy array": ("x.csv", csv_text({row: str(each).replace(",", "") for row, each in VECTORS.items()})),
    "numpy floats": (
        "x.csv",
        csv_text({row: str(each).replace(",", ".").replace("]", ".]") for row, each in VECTORS.items()}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", VECTOR_FILES)
def test_vectors_are_refused_or_read_as_vectors(read: Import, tmp_path: Path, kind: str) -> None:
    name, content = VECTOR_FILES[kind]
    refused = read(name, content).error
    assert "expected lists of labels in column 'labels', but they hold only 0 and 1, such as [" in refused
    assert "--multi-hot" in refused
    assert "--label-columns" in refused
    (tmp_path / "names.csv").write_text("label\n" + "\n".join(NAMES) + "\n")
    named = {"label_table": str(tmp_path / "names.csv"), "label_text_column": "label"}
    assert read(name, content, multi_hot=True, **named).labels == sorted_(TRUTH)
    numbered = read(name, content, multi_hot=True)
    assert numbered.labels["3"] == ["3"]
    assert any("labels are named by their place in the vectors, 0 to 4" in line for line in numbered.log)


@pytest.mark.parametrize("kind", [kind for kind, file in VECTOR_FILES.items() if file[0] != "x.parquet"])
def test_vectors_in_small_blocks(read: Import, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    name, content = VECTOR_FILES[kind]
    whole = read(name, content, multi_hot=True)
    monkeypatch.setattr(lines, "BLOCK_CHARACTERS", 30)
    assert read(name, content, multi_hot=True).labels == whole.labels
    assert "hold only 0 and 1" in read(name, content).error


def test_vectors_with_separators_and_two_places(read: Import) -> None:
    text = csv_text({row: " ".join(map(str, each)) for row, each in VECTORS.items()})
    assert "hold only 0 and 1" in read("x.csv", text, label_separator=" ").error
    assert read("y.csv", text, label_separator=" ", multi_hot=True).labels["3"] == ["3"]
    pairs = jsonl({"0": [0, 1], "1": [1, 0], "2": [0, 1]})
    assert "hold only 0 and 1" in read("x.jsonl", pairs).error
    assert read("y.jsonl", pairs, multi_hot=True).labels == {"0": ["1"], "1": ["0"], "2": ["1"]}


@pytest.mark.parametrize(
    ("lists", "fault"),
    [
        ([[0.1, 0.9, 0.0], [0.3, 0.3, 0.4]], "are all 3 numbers long and hold fractions"),
        ([[-2.5, 3.1, 0.5], [4.2, -0.1, 0.4]], "are all 3 numbers long and hold fractions"),
        ([[5, 9, 0, 0], [7, 0, 0, 0], [1, 2, 3, 0]], "are all 4 numbers long and repeat values"),
        ([[-1, 1, 1], [1, -1, -1]], "are all 3 numbers long and repeat values"),
    ],
)
def test_scores_and_padded_lists_are_refused(read: Import, lists: list[Any], fault: str) -> None:
    assert fault in read("x.jsonl", jsonl({str(row): each for row, each in enumerate(lists)})).error


def test_numbers_of_classes_with_a_fraction_are_labels(read: Import) -> None:
    lists = {"0": ["512.4", "310.2", "7.1"], "1": ["512.4", "5.0", "7.1"]}
    assert read("x.jsonl", jsonl(lists)).labels == sorted_(lists)


def test_lists_of_the_labels_0_and_1_are_read(read: Import) -> None:
    lists = {"0": [0], "1": [1], "2": [0, 1], "3": [0]}
    assert read("x.jsonl", jsonl(lists)).labels == {"0": ["0"], "1": ["1"], "2": ["0", "1"], "3": ["0"]}


@pytest.mark.parametrize(
    ("vectors", "fault"),
    [
        ([[0, 1, 0], [0, 1]], "row 2: expected a vector of 3 places in 'labels', got 2"),
        ([[0, 1, 0], [0, 2, 1]], "row 2: expected 0 or 1 in 'labels', got '2'"),
    ],
)
def test_faulty_vectors(read: Import, vectors: list[Any], fault: str) -> None:
    content = jsonl({str(row): each for row, each in enumerate(vectors)})
    assert fault in read("x.jsonl", content, multi_hot=True).error


def test_two_tables_of_vectors_have_the_same_places(read: Import, tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(jsonl({"0": [0, 1, 0]}))
    error = read("x.jsonl", jsonl({"0": [0, 1]}), multi_hot=True, test=str(tmp_path / "test.jsonl")).error
    assert "test.jsonl: expected vectors of 2 places" in error


def test_bits_without_blanks_are_warned_about(read: Import) -> None:
    got = read("x.jsonl", jsonl({"0": ["010"], "1": ["110"], "2": ["001"]}))
    assert "all 3 labels are made of 0 and 1, such as '010'" in got.warnings[0]


def test_a_table_with_a_row_missing_does_not_name_vectors(read: Import, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("alpha\nbeta\n")
    table = {"label_table": str(tmp_path / "names.txt"), "multi_hot": True}
    assert (
        "expected a vector of 2 places in 'labels', got 5" in read("x.jsonl", jsonl(VECTORS), **table).error
    )
    (tmp_path / "names.txt").write_text("alpha\nbeta\n\nalpha\neps\n")
    assert "row 1: expected distinct names" in read("x.jsonl", jsonl(VECTORS), **table).error


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_column_for_each_label(read: Import, tmp_path: Path, ending: str) -> None:
    table = pl.DataFrame({"text": list("xyz"), "a": [1, 0, 0], "b, c": [1, None, 1], "other": [7, 8, 9]})
    path = tmp_path / f"given.{ending}"
    writers: dict[str, Callable[[Path], object]] = {
        "csv": table.write_csv,
        "jsonl": table.write_ndjson,
        "parquet": table.write_parquet,
    }
    writers[ending](path)
    content = path.read_bytes()
    got = read(f"x.{ending}", content, label_columns=["a", "b, c"])
    assert got.labels == {"0": ["a", "b, c"], "1": [], "2": ["b, c"]}
    assert (
        "row 1: expected 0 or 1 in column 'other', got '7'"
        in read(f"x.{ending}", content, label_columns=["a", "other"]).error
    )
    words = read("y.csv", "text,a,b\nx,yes,no\ny,No,YES\nz,,Yes\n", label_columns=["a", "b"])
    assert words.labels == {"0": ["a"], "1": ["b"], "2": ["b"]}
    assert "expected a column 'labels', got text, a, b, c, other" in read(f"x.{ending}", content).error
    assert "--label-columns" in read(f"x.{ending}", content).error
