"""Files that aren't what their names say: other formats, other encodings, other delimiters."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.data.tables.contents import NAMES, TRUTH, Import, csv_text, jsonl, sorted_

TABLE = csv_text({row: ";".join(labels) for row, labels in TRUTH.items()})
FROM_TRUTH = sorted_(TRUTH)


def _parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": list(TRUTH), "labels": list(TRUTH.values())}), sink)
    return bytes(sink.getvalue())


def _arrow() -> bytes:
    sink, table = pa.BufferOutputStream(), pa.table({"text": list(TRUTH), "labels": list(TRUTH.values())})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("x.csv", _parquet(), "x.csv: expected text, got a Parquet file (read it with --format parquet)"),
        ("x.jsonl", _arrow(), "x.jsonl: expected text, got an Arrow file (read it with --format arrow)"),
        (
            "x.parquet",
            _arrow(),
            "can't be read as Parquet: it is an Arrow file (read it with --format arrow)",
        ),
        (
            "x.arrow",
            _parquet(),
            "can't be read as Arrow: it is a Parquet file (read it with --format parquet)",
        ),
        ("x.pq", _parquet(), "unknown table format: it is a Parquet file (read it with --format parquet)"),
        (
            "x.csv",
            gzip.compress(TABLE.encode()),
            "x.csv: expected text, got a file compressed by gzip (add .gz to its name)",
        ),
        (
            "x.xlsx",
            b"PK\x03\x04" + bytes(60),
            "it is a zip archive, such as .npz, .xlsx or .pt (unpack it, or save its",
        ),
        ("x.csv", b"PK\x03\x04" + bytes(60), "x.csv: expected text, got a zip archive"),
        (
            "x.jsonl.zst",
            b"\x28\xb5\x2f\xfd" + bytes(60),
            "it is a file compressed by zstd (unpack it: unzstd FILE)",
        ),
        ("x.pkl", b"\x80\x04\x95" + bytes(60), "it is a pickle, which is never loaded"),
        (
            "x.csv",
            b"\n<!DOCTYPE html>\n<html>404</html>\n",
            "x.csv: expected text, got a web page (download the file itself)",
        ),
        (
            "x.csv",
            b'<?xml version="1.0"?>\n<rows><row/></rows>\n',
            "x.csv: expected text, got a file of XML or SGML",
        ),
        (
            "x.txt",
            b'<!DOCTYPE lewis SYSTEM "lewis.dtd">\n<REUTERS>\n',
            "it is a file of XML or SGML (write its texts",
        ),
        ("x.xml", b'<?xml version="1.0"?>\n<posts/>\n', "it is a file of XML or SGML (write its texts"),
        (
            "x.csv",
            b"@relation 'tags: -C 2'\n\n@attribute a {0,1}\n@data\n1\n",
            "got a file of ARFF (save it as CSV, and name its columns of 0 and 1 with --label-columns)",
        ),
        ("x.arff", b"@RELATION tags\n", "it is a file of ARFF (save it as CSV"),
        ("x.csv", b"-- MySQL dump 10.13\n--\n", "got a dump of SQL (export the table as CSV)"),
        ("x.sql", b"INSERT INTO `posts` VALUES (1,'a');\n", "it is a dump of SQL (export the table as CSV)"),
        ("x.csv", POINTER, "got a pointer of Git LFS, not the file itself (fetch it: git lfs pull)"),
        ("x.parquet", POINTER, "it is a pointer of Git LFS, not the file itself"),
        ("x.txt", b"2 3 4\n0,2 0:0.5 3:1\n1 2:1e-3\n", "its lines look like features, not texts"),
    ],
)
def test_files_of_another_kind_are_named(read: Import, name: str, content: bytes, fault: str) -> None:
    assert fault in read(name, content).error


def test_one_format_may_have_the_name_of_another(read: Import) -> None:
    for name, content, format_ in (("x.csv", _parquet(), "parquet"), ("x.pq", _arrow(), "arrow")):
        assert read(name, content, format=format_).labels == FROM_TRUTH


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_characters_without_a_mark_name_their_encoding(read: Import, encoding: str) -> None:
    content = TABLE.encode(encoding)
    error = read("x.csv", content, label_separator=";").error
    assert f"which is not utf-8 (set --encoding {encoding} (encoding))" in error
    assert read("x.csv", content, label_separator=";", encoding=encoding).labels == FROM_TRUTH


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_csv_with_another_delimiter_is_read_and_says_so(read: Import, delimiter: str) -> None:
    content = TABLE.replace(";", "/").replace(",", delimiter)
    got = read("x.csv", content, label_separator="/")
    assert got.labels == FROM_TRUTH
    assert any(
        f"the first line has no comma: columns are separated by {delimiter!r}" in each for each in got.log
    )
    assert read("x.csv", content, label_separator="/", delimiter=delimiter).labels == FROM_TRUTH
    refused = read("x.csv", content, label_separator="/", delimiter=",").error
    assert f"the first line has none: {'text' + delimiter + 'labels'!r} (set --delimiter" in refused


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
@pytest.mark.parametrize("note", ["sep=;\n", '"SEP=;"\r\n', "sep=\t\n", " sep=| \n"])
def test_the_note_for_excel_names_the_delimiter_and_is_no_row(read: Import, name: str, note: str) -> None:
    delimiter = note.strip(' "\r\n')[-1]
    content = TABLE.replace(";", "/").replace(",", delimiter)
    got = read(name, note + content, label_separator="/")
    assert got.labels == FROM_TRUTH
    assert any(
        f"is for Excel: columns are separated by {delimiter!r} (--delimiter)" in each for each in got.log
    )
    rows = content.split("\n", 1)[1]
    headless = {"header": False, "text": ["1"], "labels": "2", "label_separator": "/"}
    assert read(name, note + rows, **headless).labels == FROM_TRUTH
    assert read(name, note + content, label_separator="/", delimiter=delimiter).labels == FROM_TRUTH


def test_the_note_for_excel_in_a_label_table_without_a_header(read: Import, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\n" + "".join(f"{name};The {name}, so\n" for name in NAMES))
    got = read("x.csv", TABLE, label_separator=";", label_table=str(tmp_path / "t.csv"), label_header=False)
    assert got.vocabulary == {name: f"The {name}, so" for name in NAMES}


def test_the_delimiter_is_that_of_the_columns_sought(read: Import) -> None:
    """A comma in the header, or a row without the delimiter, does not decide."""
    content = "text;labels;a, b\n" + "".join(f"note {row}; x/y;1\n" for row in range(3))
    got = read("x.csv", content, label_separator="/")
    assert got.labels["0"] == ["x", "y"]
    assert any("the columns of the first line are separated by ';'" in each for each in got.log)


def test_a_line_separator_inside_a_text_ends_no_line(read: Import) -> None:
    content = "text;labels\n" + "".join(f"note\u2028{row}\x0c;x/y\n" for row in range(3))
    assert read("x.csv", content, label_separator="/").labels["2"] == ["x", "y"]
    marked = "".join(f"__label__x note\u2028 {row}\n" for row in range(3))
    assert read("x.txt", marked).labels["2"] == ["x"]


@pytest.mark.parametrize(
    "text", ["\u4e00\u4e2d\u6587 {}", "\u043f\u0440\u0438\u0432\u0435\u0442 {}", "\u4e2d {}"]
)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_characters_of_any_script_name_their_encoding(read: Import, text: str, encoding: str) -> None:
    names = "\u6587\u672c,\u6807\u7b7e\n"
    content = names + "".join(f"{text.format(row)},\u6807{row % 3}\n" for row in range(40))
    columns = {"text": ["\u6587\u672c"], "labels": "\u6807\u7b7e", "label_separator": ";"}
    assert f"set --encoding {encoding} " in read("x.csv", content.encode(encoding), **columns).error
    assert read("x.csv", content.encode(encoding), **columns, encoding=encoding).labels["3"] == ["\u68070"]


def test_a_few_zeros_in_text_are_no_wide_characters(read: Import) -> None:
    for text in ("ab\0 c\0", "\u4e2d\0a\0", "abc\0"):
        content = "text,labels\n" + "".join(f"{text}{row},x\n" for row in range(9))
        assert read("x.csv", content, label_separator=";").labels["3"] == ["x"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("text", ["caf\u00e9 au lait", "it\u2019s", "\u4e2d\u6587 \u3042"])
def test_utf_8_that_was_read_as_something_else_is_warned_about(
    read: Import, encoding: str, text: str
) -> None:
    content = "".join(f'{{"text": "{text} {row}", "labels": ["a", "b{row}"]}}\n' for row in range(4))
    try:
        content.encode().decode(encoding)
    except UnicodeDecodeError:
        pytest.skip("cp1252 has no character for a byte of this text, and refuses it")
    read_so = read("x.jsonl", content, encoding=encoding)
    assert any(
        "characters look like UTF-8 that was read in another encoding" in line for line in read_so.warnings
    )
    assert not read("x.jsonl", content).warnings
    in_latin = "caf\u00e9 \u00c4rger \u00df".encode("latin-1")
    assert not read("y.jsonl", b'{"text": "%s", "labels": ["a"]}\n' % in_latin, encoding="latin-1").warnings


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_a_key_that_is_given_twice_is_refused(read: Import, name: str) -> None:
    rows = jsonl(TRUTH).splitlines()
    rows[3] = rows[3].replace('"text"', '"labels": ["zeta"], "text"')
    content = "\n".join(rows) if name == "x.jsonl" else f"[{','.join(rows)}]"
    place = "line 4" if name == "x.jsonl" else "object 4"
    assert f"{place}: invalid JSON: the key 'labels' is given twice" in read(name, content).error


def test_the_name_of_a_key_may_be_a_value(read: Import) -> None:
    rows: dict[str, Any] = {"0": ["labels", "text"], "1": ["labels"], "2": ["text"]}
    got = read("x.jsonl", jsonl(rows))
    assert (got.labels, got.error) == (sorted_(rows), "")


def test_texts_that_begin_as_other_files_do_are_texts(read: Import) -> None:
    lines = [
        "insert into the slot",
        "create table reservations",
        "@relations are hard",
        "-- a dash",
        "<b>bold</b>",
    ]
    for first in lines:
        got = read("x.txt", "".join(f"__label__a {text}\n" for text in ("x", first)), format="fasttext")
        assert len(got.labels) == 2
        got = read("x.csv", f"{first},labels\nx,a\ny,b\n", text=[first], label_separator="none")
        assert got.labels == {"0": ["a"], "1": ["b"]}
