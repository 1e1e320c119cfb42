"""Names of labels: in the file itself, and in a label table."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.data.tables.contents import (
    CLASSES,
    NAMES,
    TRUTH,
    VECTORS,
    Import,
    csv_text,
    jsonl,
    parquet,
    sorted_,
)

LIST_TYPES: list[Any] = [
    {"feature": CLASSES, "length": -1, "_type": "Sequence"},
    {"feature": CLASSES, "_type": "List"},
    [CLASSES],
]


@pytest.mark.parametrize("feature", LIST_TYPES)
def test_class_numbers_have_the_names_in_the_file(read: Import, tmp_path: Path, feature: Any) -> None:
    numbers = {row: [NAMES.index(name) for name in names] for row, names in TRUTH.items()}
    content = parquet(numbers, pa.list_(pa.int64()), feature)
    assert read("x.parquet", content).labels == sorted_(TRUTH)
    (tmp_path / "names.csv").write_text("label\nbeta\nalpha\ngamma\ndelta\neps\n")
    table = {"label_table": str(tmp_path / "names.csv"), "label_text_column": "label"}
    assert list(read("x.parquet", content, **table).vocabulary) == ["beta", "alpha", "gamma", "delta", "eps"]
    assert read("x.parquet", parquet(VECTORS, pa.list_(pa.int64()), feature)).labels == sorted_(TRUTH)
    wrong = parquet({"0": [4], "1": [5]}, pa.list_(pa.int64()), feature)
    assert "row 2: expected classes from 0 to 4 in 'labels'" in read("x.parquet", wrong).error


def test_vectors_of_a_fixed_size_have_the_names_in_the_file(read: Import) -> None:
    feature = {"feature": CLASSES, "length": 5, "_type": "Sequence"}
    for bits, type_ in (
        (VECTORS, pa.int64()),
        ({row: list(map(bool, v)) for row, v in VECTORS.items()}, pa.bool_()),
    ):
        content = parquet(bits, pa.list_(type_, 5), feature)
        assert read("x.parquet", content, multi_hot=True).labels == sorted_(TRUTH)
    assert read("x.parquet", parquet(VECTORS, pa.list_(pa.int64(), 5), feature)).labels == sorted_(TRUTH)


def test_a_table_of_the_numbers_of_classes_counts_before_the_names_in_the_file(
    read: Import, tmp_path: Path
) -> None:
    numbers = {row: [NAMES.index(name) for name in names] for row, names in TRUTH.items()}
    content = parquet(numbers, pa.list_(pa.int64()), {"feature": CLASSES, "_type": "List"})
    (tmp_path / "ids.csv").write_text("id,text\n0,Alpha\n1,Beta\n2,Gamma\n3,Delta\n4,Eps\n")
    got = read("x.parquet", content, label_table=str(tmp_path / "ids.csv"), label_column="id")
    assert got.vocabulary == {"0": "Alpha", "1": "Beta", "2": "Gamma", "3": "Delta", "4": "Eps"}
    assert got.labels["0"] == ["0", "2"]


def test_two_tables_with_other_labels_are_warned_about(read: Import, tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(jsonl({"0": ["3"], "1": ["1"]}))
    got = read("x.jsonl", jsonl({"0": ["alpha"], "1": ["beta"]}), test=str(tmp_path / "test.jsonl"))
    assert got.warnings == [
        "warning: 2 of 2 labels of the test documents are in no training document: test has '3', '1', "
        "training has 'alpha', 'beta'"
    ]


def test_one_class_a_document_and_a_missing_one(read: Import) -> None:
    got = read("x.parquet", parquet({"0": 4, "1": 0, "2": -1, "3": None}, pa.int64(), CLASSES))
    assert got.labels == {"0": ["eps"], "1": ["alpha"], "2": [], "3": []}


def test_a_label_table_of_other_labels(read: Import, tmp_path: Path) -> None:
    docs = csv_text({"0": "'a1' 'a2'", "1": "'a2'", "2": "'a3'"})
    (tmp_path / "t.csv").write_text("label,text\na1,one\na2,two\na3,three\n")
    table = {"label_table": str(tmp_path / "t.csv"), "label_separator": " "}
    error = read("x.csv", docs, **table).error
    assert error == (
        "none of the 3 labels of the documents is in the label table: documents have \"'a1'\", "
        "\"'a2'\", \"'a3'\", the table has 'a1', 'a2', 'a3' "
        "(write them alike: one side has brackets or quotes around them)"
    )
    few = read("x.csv", docs.replace("'a3'", "a3"), **table)
    assert few.warnings[:1] == [
        "warning: only 1 of the 3 labels of the documents are in the label table: documents have "
        "\"'a1'\", \"'a2'\", the table has 'a1', 'a2'"
    ]
    assert any("labels without text 2" in line for line in few.log)


def test_a_table_whose_rows_are_the_numbers_of_labels(read: Import, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("label\nzero\none\n")
    docs = jsonl({"0": [0, 1], "1": [1], "2": [1]})
    table = {"label_table": str(tmp_path / "t.csv"), "label_text_column": "label"}
    assert "--label-column '#'" in read("x.jsonl", docs, **table).error
    got = read("x.jsonl", docs, **table, label_column="#")
    assert got.vocabulary == {"0": "zero", "1": "one"}


def test_a_label_table_without_a_header_names_the_option(read: Import, tmp_path: Path) -> None:
    (tmp_path / "labels.tsv").write_text("1\tsubject\n2\tother\n")
    table = {"label_table": str(tmp_path / "labels.tsv")}
    error = read("x.jsonl", jsonl({"0": ["1"], "1": ["2"]}), **table).error
    assert "expected a column 'label', got 1, subject" in error
    assert "use --no-label-header if the first line is data" in error
    got = read("x.jsonl", jsonl({"0": ["1"], "1": ["2"]}), **table, label_header=False)
    assert got.vocabulary == {"1": "subject", "2": "other"}
    assert "use --no-header if the first line is data" in read("x.csv", "one,a\ntwo,b\n").error
