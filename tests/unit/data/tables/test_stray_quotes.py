"""Stray quotes in CSV, text that isn't UTF-8, and encodings that aren't those of text files."""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.data.tables.contents import Import
from xmcpipe.data.tables import lines
from xmcpipe.data.tables.lines import text_blocks
from xmcpipe.data.tables.quotes import QuoteScanner
from xmcpipe.errors import XmcpipeError

CSV = "id,text,labels\n"


def test_a_stray_quote_costs_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every character is scanned once: the bound is on the work, at a size that took minutes before."""
    scanners: list[QuoteScanner] = []

    def scanner(path: Path, delimiter: str) -> QuoteScanner:
        scanners.append(QuoteScanner(path, delimiter))
        return scanners[-1]

    monkeypatch.setattr(lines, "QuoteScanner", scanner)
    rows = CSV + '1,"5 inch,a\n' + "".join(f"{row},some ordinary words,b\n" for row in range(800_000))
    (tmp_path / "x.csv").write_text(rows)
    with pytest.raises(XmcpipeError, match=r"x\.csv, line 2: the quote that begins a value here is never cl"):
        list(text_blocks(tmp_path / "x.csv", "utf-8", ","))
    assert scanners[0].scanned == len(rows)


def test_a_second_stray_quote_names_both_lines(read: Import) -> None:
    error = read("x.csv", CSV + '0,one,a\n1,"5 inch,a\n2,two,b\n3,"6 inch,b\n', label_separator=";").error
    assert "x.csv, line 3: the quote that begins a value here is closed in line 5, before '6 inch,b" in error
    assert "set --quotes none" in error


def test_a_quote_inside_a_value_is_a_character(read: Import) -> None:
    got = read("x.csv", CSV + '0,5" disk,a\n1,"two\nlines, ""so""",b\n2,c,"x"\n', label_separator=";")
    assert got.texts == {"0": '5" disk', "1": 'two\nlines, "so"', "2": "c"}


@given(
    st.lists(st.lists(st.text('a",\n ', max_size=6), min_size=2, max_size=2), min_size=1, max_size=8),
    st.integers(1, 12),
)
def test_blocks_end_where_rows_end(rows: list[list[str]], size: int) -> None:
    """What `csv` writes is read as whole rows, however small the pieces are."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    scanner, piece, got = QuoteScanner(Path("x.csv"), ","), "", list[list[str]]()
    for line in out.getvalue().splitlines(keepends=True):
        piece += line
        if not scanner.scan(line, "\n"):
            got += list(csv.reader(io.StringIO(piece)))
            piece = ""
    assert (got, piece, scanner.scanned) == (rows, "", len(out.getvalue()))


def test_text_of_parquet_that_is_not_utf_8(read: Import) -> None:
    text = pa.array([b"fine", b"\xff\xfe"]).view(pa.string())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": text, "labels": [["a"], ["b"]]}), sink)
    error = read("x.parquet", sink.getvalue().to_pybytes()).error
    assert "x.parquet, column 'text': Invalid UTF8" in error
    assert "write text as UTF-8" in error


@pytest.mark.parametrize(
    "encoding", ["punycode", "undefined", "idna", "base64", "rot13", "unicode_escape", "utf-7", "zlib"]
)
def test_only_encodings_of_text_are_offered(read: Import, encoding: str) -> None:
    error = read("x.csv", CSV + "0,one,a\n", label_separator=";", encoding=encoding).error
    assert error == f"'{encoding}' is no encoding of text files (most files are utf-8 or latin-1)"


@pytest.mark.parametrize("encoding", ["klingon", "", "a\0b", "x" * 10_000])
def test_unknown_encodings(read: Import, encoding: str) -> None:
    error = read("x.csv", CSV + "0,one,a\n", label_separator=";", encoding=encoding).error
    assert error.startswith("unknown encoding")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_utf_16_without_a_byte_order_mark(read: Import, encoding: str) -> None:
    content = (CSV + "0,one,a\n").encode(f"{encoding}-le")
    error = read("x.csv", content, label_separator=";", encoding=encoding).error
    assert f"can't be read as {encoding}" in error
    assert "name the order of its bytes, for example --encoding utf-16-le" in error
    assert read("y.csv", content, label_separator=";", encoding=f"{encoding}-le").texts == {"0": "one"}
