"""Every format gives the same documents, and errors name file, line and column."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xmcpipe.data.tables import lines
from xmcpipe.data.tables.formats import DocumentColumns, TextFileOptions, read_documents
from xmcpipe.errors import XmcpipeError

ROWS: list[dict[str, object]] = [
    {"id": "a", "text": "red fox", "labels": ["1", "10"]},
    {"id": "b", "text": 'a "quoted", text\nof two lines', "labels": ["2"]},
    {"id": "c", "text": "", "labels": []},
    {"id": "ä", "text": "Käse ; größer", "labels": ["x y", "x y"]},
]


def read(
    path: Path, columns: DocumentColumns | None = None, options: TextFileOptions | None = None
) -> list[dict[str, object]]:
    frames = list(read_documents(path, columns or DocumentColumns(), options or TextFileOptions()))
    for frame in frames:
        assert frame.schema == {"id": pl.String, "text": pl.String, "labels": pl.List(pl.String)}
        assert frame.null_count().sum_horizontal()[0] == 0
    return [row for frame in frames for row in frame.to_dicts()]


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)  # no newline at the end
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_jsonl(tmp_path: Path, name: str) -> None:
    assert read(write_jsonl(tmp_path / name, ROWS)) == ROWS


def test_parquet(tmp_path: Path) -> None:
    pl.DataFrame(ROWS).write_parquet(tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet") == ROWS


@pytest.mark.parametrize(("name", "delimiter"), [("x.csv", ","), ("x.tsv", "\t")])
def test_delimited(tmp_path: Path, name: str, delimiter: str) -> None:
    table = pl.DataFrame(ROWS).with_columns(pl.col("labels").list.join("|"))
    table.write_csv(tmp_path / name, separator=delimiter)
    assert (
        read(tmp_path / name, DocumentColumns(label_separator="|"), TextFileOptions(quotes="double")) == ROWS
    )
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    assert (
        read(tmp_path / f"{name}.gz", DocumentColumns(label_separator="|"), TextFileOptions(quotes="double"))
        == ROWS
    )


def test_tsv_has_no_quotes_by_default(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text('id\ttext\tlabels\n1\t"Fox" said\ta\n2\t"open\tb\n')
    assert [row["text"] for row in read(tmp_path / "x.tsv", DocumentColumns(label_separator=","))] == [
        '"Fox" said',
        '"open',
    ]


def test_small_blocks_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_CHARACTERS", 7)
    assert read(write_jsonl(tmp_path / "x.jsonl", ROWS)) == ROWS
    pl.DataFrame(ROWS).with_columns(pl.col("labels").list.join("|")).write_csv(tmp_path / "x.csv")
    assert read(tmp_path / "x.csv", DocumentColumns(label_separator="|")) == ROWS


def test_latin_1(tmp_path: Path) -> None:
    line = json.dumps(ROWS[3], ensure_ascii=False).encode("latin-1")
    (tmp_path / "x.jsonl").write_bytes(b"{}\n".join([b"", b""]) + line)
    with pytest.raises(XmcpipeError, match=r"x\.jsonl, line 2: the bytes aren't utf-8 .*latin-1"):
        read(tmp_path / "x.jsonl")
    (tmp_path / "x.jsonl").write_bytes(line)
    assert read(tmp_path / "x.jsonl", options=TextFileOptions(encoding="latin-1")) == [ROWS[3]]
    with pytest.raises(XmcpipeError, match="unknown encoding 'klingon'"):
        read(tmp_path / "x.jsonl", options=TextFileOptions(encoding="klingon"))


def test_a_byte_order_mark_is_not_part_of_a_column(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbfid,text,labels\r\n1,a,x\r\n")
    assert read(tmp_path / "x.csv", DocumentColumns(label_separator=" ")) == [
        {"id": "1", "text": "a", "labels": ["x"]}
    ]


def test_numbers_and_nulls(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": 1, "text": None, "labels": [3, "4", None, " "]},
        {"id": 2, "text": 7, "labels": None},
        {"id": "3", "text": "[a title in brackets]", "labels": [" 5 "]},
    ]
    expected = [
        {"id": "1", "text": "", "labels": ["3", "4"]},
        {"id": "2", "text": "7", "labels": []},
        {"id": "3", "text": "[a title in brackets]", "labels": ["5"]},
    ]
    assert read(write_jsonl(tmp_path / "x.jsonl", rows)) == expected


def test_empty_text_columns_are_skipped(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"title": "T", "body": "B", "labels": ["1"]},
        {"title": "T", "body": " ", "labels": ["1"]},
        {"title": None, "body": "B", "labels": ["1"]},
        {"title": "", "labels": ["1"]},
    ]
    path = write_jsonl(tmp_path / "x.jsonl", rows)
    read_rows = read(path, DocumentColumns(text=("title", "body"), text_separator=" | "))
    assert [row["text"] for row in read_rows] == ["T | B", "T", "B", ""]


def test_ids_are_row_numbers_without_an_id_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_CHARACTERS", 40)
    rows: list[dict[str, object]] = [{"text": f"document {number}", "labels": ["1"]} for number in range(7)]
    assert [row["id"] for row in read(write_jsonl(tmp_path / "x.jsonl", rows))] == list("0123456")
    with pytest.raises(XmcpipeError, match="expected a column 'id'"):
        read(tmp_path / "x.jsonl", DocumentColumns(id="id"))


def test_csv_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("one,a;b\ntwo,c\n")
    columns = DocumentColumns(text=("1",), labels="2", label_separator=";")
    rows = read(tmp_path / "x.csv", columns, TextFileOptions(header=False))
    assert rows == [
        {"id": "0", "text": "one", "labels": ["a", "b"]},
        {"id": "1", "text": "two", "labels": ["c"]},
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"text": "x", "labels": ["1"]', "line 3: invalid JSON"),
        ("[1, 2]", "line 3: expected an object, got a list"),
        (
            '{"text": {"a": 1}, "labels": ["1"]}',
            "line 3: expected a string or a number in 'text', got an object",
        ),
        ('{"text": ["a"], "labels": ["1"]}', "line 3: expected a string or a number in 'text', got a list"),
        (
            '{"text": "x", "labels": "1 2"}',
            "line 3: expected a list in 'labels', got a string .*set label_sep",
        ),
        ('{"text": "x", "labels": [["1"]]}', "line 3: expected a string or a number in 'labels', got a list"),
        ('{"text": "x", "labels": {"1": 1}}', "line 3: expected a list in 'labels', got an object"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str, fault: str) -> None:
    (tmp_path / "x.jsonl").write_text(f'{{"text": "a", "labels": ["1"]}}\n\n{line}\n')
    with pytest.raises(XmcpipeError, match=fault):
        read(tmp_path / "x.jsonl")


def test_a_faulty_row_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_CHARACTERS", 10)
    (tmp_path / "x.csv").write_text("text,labels\na,1\nb,2\nc,3,4\n")
    with pytest.raises(XmcpipeError, match="row 3: Expected 2 columns, got 3"):
        read(tmp_path / "x.csv", DocumentColumns(label_separator=" "))


def test_a_quote_that_is_never_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_CHARACTERS", 10)
    monkeypatch.setattr(lines, "OPEN_QUOTE_CHARACTERS", 50)
    (tmp_path / "x.csv").write_text('text,labels\n"a,1\n' + "b,2\n" * 50)
    with pytest.raises(
        XmcpipeError, match="line 2: the quote that begins a value here isn't closed within 50 char"
    ):
        read(tmp_path / "x.csv", DocumentColumns(label_separator=" "))


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet"])
def test_a_missing_column_is_named_with_those_of_the_file(tmp_path: Path, name: str) -> None:
    table = pl.DataFrame({"title": ["a"], "text_": ["b"], "labels": ["1"]})
    writers: dict[str, Callable[[Path], object]] = {
        "x.jsonl": table.write_ndjson,
        "x.csv": table.write_csv,
        "x.parquet": table.write_parquet,
    }
    writers[name](tmp_path / name)
    with pytest.raises(
        XmcpipeError, match=r"expected a column 'text', got title, text_, labels .did you mean"
    ):
        read(tmp_path / name, DocumentColumns(label_separator=" "))


def test_wrong_types_in_parquet(tmp_path: Path) -> None:
    pl.DataFrame({"text": [["a"]], "labels": ["1 2"]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(XmcpipeError, match=r"expected strings in column 'text', got List\(String\)"):
        read(tmp_path / "x.parquet", DocumentColumns(label_separator=" "))
    with pytest.raises(
        XmcpipeError, match=r"expected lists in column 'labels', got String .set label_separator"
    ):
        read(tmp_path / "x.parquet", DocumentColumns(text=("labels",)))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match="does not exist"):
        read(tmp_path / "x.jsonl")
    (tmp_path / "x.parquet").write_bytes(b"not what its name says")
    with pytest.raises(XmcpipeError, match="can't be read"):
        read(tmp_path / "x.parquet")
    whole = gzip.compress(b'{"text": "a", "labels": ["1"]}\n' * 1000)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-20])
    with pytest.raises(XmcpipeError, match="can't be read"):
        read(tmp_path / "cut.jsonl.gz")
    (tmp_path / "x.xlsx").write_bytes(b"")
    with pytest.raises(XmcpipeError, match=r"unknown table format .*\.parquet"):
        read(tmp_path / "x.xlsx")


def test_an_empty_id_is_refused(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "x.jsonl", [ROWS[0], {"text": "a", "labels": ["1"]}])
    with pytest.raises(XmcpipeError, match="row 2: 'id' is empty"):
        read(path)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
plain = st.text("abc ,\"'\\é", min_size=1, max_size=5).map(str.strip).filter(bool)
records = st.lists(st.fixed_dictionaries({"text": texts, "labels": st.lists(plain, max_size=3)}), min_size=1)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=records)
def test_any_jsonl_reads_as_python_reads_it(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    read_rows = read(write_jsonl(tmp_path / "x.jsonl", rows))
    assert [row["labels"] for row in read_rows] == [row["labels"] for row in rows]
    stripped = pl.Series([row["text"] for row in rows], dtype=pl.String).str.strip_chars().to_list()
    assert [row["text"] for row in read_rows] == stripped
