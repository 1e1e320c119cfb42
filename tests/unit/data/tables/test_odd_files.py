"""Files that other programs leave: list views, carriage returns, whole numbers as floats."""

from typing import Any

import pyarrow as pa
import pytest

from tests.unit.data.tables.contents import Import, parquet


@pytest.mark.parametrize("type_", [pa.list_view(pa.string()), pa.large_list_view(pa.string())])
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_list_views(read: Import, ending: str, type_: pa.DataType) -> None:
    table = parquet({"0": ["a", "b"], "1": ["b"], "2": None, "3": [], "4": ["a"]}, type_)
    content: Any = table
    if ending == "arrow":
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        content = sink.getvalue().to_pybytes()
    assert read(f"x.{ending}", content).labels == {"0": ["a", "b"], "1": ["b"], "2": [], "3": [], "4": ["a"]}


@pytest.mark.parametrize(
    ("name", "content", "table"),
    [
        ("x.csv", "text,labels\rone,a;b\rtwo,b\r", {"label_separator": ";"}),
        ("x.jsonl", '{"text":"one","labels":["a","b"]}\r{"text":"two","labels":["b"]}\r', {}),
        ("x.txt", "__label__a __label__b one\r__label__b two\r", {}),
    ],
)
def test_lines_that_end_with_a_carriage_return(
    read: Import, name: str, content: str, table: dict[str, Any]
) -> None:
    got = read(name, content, **table)
    assert (got.labels, got.texts) == ({"0": ["a", "b"], "1": ["b"]}, {"0": "one", "1": "two"})


def test_mixed_line_ends_of_the_header(read: Import) -> None:
    error = read("x.csv", "text,labels\rone,a\rtwo,b\nthree,c\n", label_separator=";").error
    assert error.endswith(
        "line 1: lines end with carriage returns and with line feeds (save it with one kind of line end)"
    )


def test_columns_of_the_same_name(read: Import) -> None:
    assert (
        "2 columns are called 'labels'"
        in read("x.csv", "text,labels,labels\none,a,b\n", label_separator=";").error
    )
    dictionary = pa.array([["a", "b"], ["b"]], pa.list_(pa.dictionary(pa.int32(), pa.string())))
    assert read("x.parquet", pa.table({"text": ["x", "y"], "labels": dictionary})).labels["0"] == ["a", "b"]


def test_missing_labels(read: Import) -> None:
    nulls = pa.table({"text": ["x", "y"], "labels": pa.nulls(2)})
    assert "none of the 4 documents has a label" in read("x.parquet", nulls).error
    lines = '{"text": "x", "labels": NaN}\n{"text": "y", "labels": ["a"]}\n'
    assert read("x.jsonl", lines).labels == {"0": [], "1": ["a"]}


def test_quotes_and_utf_16_name_the_option(read: Import) -> None:
    quoted = 'text\tlabels\none\t"a;b"\ntwo\t"b;c"\n'
    error = read("x.tsv", quoted, label_separator=";").error
    assert 'got values in double quotes, such as "a;b" (set --quotes double (quotes))' in error
    assert read("x.tsv", quoted, label_separator=";", quotes="double").labels["0"] == ["a", "b"]
    wide = "text,labels\none,a;b\n".encode("utf-16")
    assert "set --encoding utf-16" in read("x.csv", wide, label_separator=";").error
    assert read("x.csv", wide, label_separator=";", encoding="utf-16").labels == {"0": ["a", "b"]}


def test_whole_numbers_that_were_saved_as_floats(read: Import) -> None:
    ids = pa.table({"id": [12.0, 7.0], "text": ["a", "b"], "labels": [[3.0], [4.0]]})
    got = read("x.parquet", ids)
    assert got.labels == {"12": ["3"], "7": ["4"]}
    for column, given, read_as in (("id", "12.0", "12"), ("labels", "3.0", "3")):
        said = f"column {column!r} holds whole numbers written as floats: {given} is read as {read_as}"
        assert sum(line.endswith(said) for line in got.log) == 2  # once in each split
    for name, text in (
        ("x.csv", "id,text,labels\n12.0,a,3.0\n7.0,b,4.0\n"),
        ("x.jsonl", '{"id":12.0,"text":"a","labels":"3.0"}\n{"id":7.0,"text":"b","labels":"4.0"}\n'),
    ):
        assert read(name, text, label_separator=" ").labels == {"12": ["3"], "7": ["4"]}
    kept = read("x.csv", "id,text,labels\n1.5,a,v1.0\n12.0,b,v2.0\n", label_separator=" ")
    assert kept.labels == {"1.5": ["v1.0"], "12.0": ["v2.0"]}
