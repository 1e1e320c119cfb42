"""Files of text that are no table with delimiters, binary files, and what they are called in the error."""

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.data.tables.contents import TRUTH, Import, csv_text, sorted_

TABLE = csv_text({row: ";".join(labels) for row, labels in TRUTH.items()})

WRITTEN = {
    "a table of Markdown": "| text | labels |\n|------|:------:|\n| a note | art |\n",
    "a table of Markdown, narrow": "|text|labels|\n|---|---|\n|a note|art|\n",
    "a table drawn with lines": "+------+--------+\n| text | labels |\n+------+--------+\n",
    "a table drawn with lines, by psql": " text | labels \n------+--------\n note | art\n",
    "a table drawn with lines, in docs": "====== ======\ntext   labels\n====== ======\nnote   art\n",
    "a table of a wiki": "||text||labels||\n|a note|art|\n",
    "a table of a wiki, MediaWiki": '{| class="wikitable"\n! text !! labels\n|-\n| a note || art\n|}\n',
    "a table of HTML": "<table>\n<tr><th>text</th><th>labels</th></tr>\n</table>\n",
    "a table of LaTeX": "\\begin{tabular}{ll}\ntext & labels \\\\\na note & art \\\\\n\\end{tabular}\n",
    "a file of BibTeX": "@article{a1,\n  title = {A note},\n  keywords = {art}\n}\n",
    "a file of records such as RIS or MEDLINE": "TY  - JOUR\nTI  - A note\nKW  - art\nER  - \n",
    "a file of records such as RIS or MEDLINE, PubMed": "PMID- 12345\nTI  - A note\nMH  - Art\n",
    "a file of RDF": "@prefix dct: <http://purl.org/dc/terms/> .\n<http://x/1> dct:subject <http://y/2> .\n",
    "a file of RDF, N-Triples": "<http://x/1> <http://z/a> <http://y/2> .\n" * 2,
    "a file of YAML": "- text: a note\n  labels: [art]\n- text: a tale\n  labels: [law]\n",
    "a file of YAML, with a mark": "---\ntext: a note\nlabels: [art]\n---\ntext: a tale\n",
    "a file of YAML, of a key": "documents:\n  - text: a note\n    labels: [art]\n",
    "a file of settings such as TOML or INI": "[[documents]]\ntext = 'a note'\nlabels = ['art']\n",
    "a table with columns of a fixed width": "text        labels\na note      art\nthe other   law, art\n",
}


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.txt", "x.dat"])
@pytest.mark.parametrize("kind", WRITTEN)
def test_text_of_another_kind_is_named(read: Import, kind: str, name: str) -> None:
    error = read(name, WRITTEN[kind]).error
    assert kind.split(",")[0] in error
    assert "(save it as CSV" in error or "(write its texts and labels into a table" in error


ORDINARY = {
    "dashes": "text,labels\n---,art\n----,law\n",
    "bars around a text": '"| text |",labels\n| a |,art\n| b |,law\n',
    "keys": "text: a,labels\ntitle: b,art\ntitle: c,law\n",
    "two blanks": "text  a,labels\nthe  b,art\nthe  c,law\n",
    "mentions": "@text{,labels\n@b{,art\n@c{,law\n",
    "records": "TI  - text,labels\nTI  - b,art\nTI  - c,law\n",
    "sections": "[text],labels\n[b],art\n[c],law\n",
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_tables_with_the_columns_sought_are_read(read: Import, kind: str) -> None:
    header = ORDINARY[kind].split(",labels")[0].strip('"')
    got = read("x.csv", ORDINARY[kind], text=[header], label_separator="none")
    assert (got.error, got.labels) == ("", {"0": ["art"], "1": ["law"]})


def test_the_error_of_an_ordinary_table_names_the_column(read: Import) -> None:
    error = read("x.csv", "title,labels\na  note,art\nb  note,law\n", label_separator=";").error
    assert "expected a column 'text', got title, labels" in error


def _zip(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, TABLE)
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        content = TABLE.encode()
        entry = tarfile.TarInfo("x.csv")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def _sqlite(folder: Path) -> bytes:
    with sqlite3.connect(folder / "made.db") as database:
        database.execute("create table documents (text, labels)")
    database.close()
    return (folder / "made.db").read_bytes()


BINARY = {
    "a workbook of Excel (.xlsx)": _zip("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"),
    "a document of Word (.docx)": _zip("[Content_Types].xml", "word/document.xml"),
    "a workbook of LibreOffice (.ods)": _zip("mimetype").replace(
        b"text,labels", b"application/vnd.oasis.opendocument.spreadsheet"
    ),
    "a zip archive": _zip("x.csv"),
    "a tar archive": _tar(),
    "a tar archive that is compressed by gzip": gzip.compress(_tar()),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "a file of R": b"RDX3\nX\n" + bytes(40),
    "a file of SPSS": b"$FL2@(#) SPSS DATA FILE" + bytes(40),
    "a file of Stata": b"<stata_dta><header><release>118</release>",
    "a file of MATLAB": b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(100),
    "an ORC file": b"ORC\n\x03\x00\x00" + bytes(40),
    "an Avro file": b"Obj\x01\x04\x16avro.schema" + bytes(40),
    "a file compressed by LZ4": b"\x04\x22\x4d\x18" + bytes(40),
    "a 7z archive": b"7z\xbc\xaf\x27\x1c" + bytes(40),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "a document in RTF": b"{\\rtf1\\ansi a note}",
    "a PDF document": b"%PDF-1.7\n" + bytes(40),
}


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.bin", "x.parquet"])
@pytest.mark.parametrize("kind", BINARY)
def test_binary_files_are_named(read: Import, kind: str, name: str) -> None:
    error = read(name, BINARY[kind]).error
    assert kind in error
    assert error.endswith(")")


def test_a_database_of_sqlite_is_named(read: Import, tmp_path: Path) -> None:
    content = _sqlite(tmp_path)
    for name in ("x.csv", "x.db"):
        error = read(name, content).error
        assert "a database of SQLite (export its table as CSV)" in error


@pytest.mark.parametrize("first", ["FEA1", "ORC", "LZIP", "MATLAB 7", "Standard Jet DB", "the ustar"])
def test_words_that_binary_files_begin_with_are_words(read: Import, first: str) -> None:
    got = read("x.csv", f"{first},text,labels\nORC,a note,art\nORC,a tale,law\n", label_separator="none")
    assert (got.error, got.labels) == ("", {"0": ["art"], "1": ["law"]})


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("ending", PACK)
def test_compressed_tables_are_read(read: Import, ending: str) -> None:
    pack = PACK[ending]
    for name in (f"x.csv.{ending}", f"X.CSV.{ending.upper()}"):
        assert read(name, pack(TABLE.encode()), label_separator=";").labels == sorted_(TRUTH)
    error = read(f"x.csv.{ending}", TABLE, label_separator=";").error
    assert f"expected a file compressed as .{ending}, got a file that isn't compressed" in error
    assert error.endswith(f"(remove .{ending} from its name)")
    cut = pack(TABLE.encode() * 50)[:-30]
    assert "can't be read" in read(f"x.csv.{ending}", cut, label_separator=";").error
    other = "xz" if ending == "gz" else "gz"
    error = read(f"x.csv.{ending}", PACK[other](TABLE.encode()), label_separator=";").error
    assert error.endswith(f"(end its name in .{other})")
