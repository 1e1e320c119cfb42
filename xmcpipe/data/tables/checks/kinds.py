"""Kinds of files that are no text, by their first bytes, and what to do with each.

The first bytes are those that `file` (libmagic) and the formats' own descriptions name.
"""

from dataclasses import dataclass

AS_CSV = "save its sheet as CSV"
UNPACK = "unpack it, and name the table in it"
EXPORT = "export its table as CSV or Parquet"
PANDAS = "save the table as CSV or Parquet, for example with pandas"


@dataclass(frozen=True)
class Kind:
    """A kind of file that is no text.

    `what` it is; `starts`, its first bytes, from the byte `at`; `holds`, bytes of which one is further on;
    `way_out`, what to do with it, and `by_ending`, what to do where its ending names the format of a file, if
    that is something else. `format` is the format or the ending of its own files, which are `expected` in
    that case. A `page` may begin with blanks and in upper case.
    """

    what: str
    starts: tuple[bytes, ...]
    way_out: str
    by_ending: str = ""
    format: str = ""
    expected: str = ""
    page: bool = False
    at: int = 0
    holds: tuple[bytes, ...] = ()

    def begins(self, head: bytes) -> bool:
        """Whether a file with the first bytes `head` is of this kind."""
        begun = (head.lstrip().lower() if self.page else head[self.at :]).startswith(self.starts)
        return begun and (not self.holds or any(each in head for each in self.holds))


BINARY = (b"\x00", b"\x01", b"\x02")  # no text has them
R_AS_TEXT = (b"A\n2\n197", b"A\n2\n262", b"A\n3\n197", b"A\n3\n262")  # the version of R follows
IMAGES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\x00")
ZIP = (b"PK\x03\x04",)
# Where several fit, the first one counts.
KINDS = (
    Kind(
        "a Parquet file",
        (b"PAR1",),
        "read it with --format parquet",
        by_ending="end its name in .parquet",
        format="parquet",
        expected="Parquet",
    ),
    Kind(
        "an Arrow file",
        (b"ARROW1",),
        "read it with --format arrow",
        by_ending="write it as Parquet",
        format="arrow",
        expected="Arrow",
    ),
    Kind("a Feather file of version 1", (b"FEA1",), "write it as Parquet", holds=BINARY),
    Kind("an ORC file", (b"ORC",), "write it as Parquet", holds=BINARY),
    Kind("an Avro file", (b"Obj\x01",), "write it as Parquet"),
    Kind("a file compressed by zstd", (b"\x28\xb5\x2f\xfd",), "unpack it: unzstd FILE"),
    Kind("a file compressed by bzip2", (b"BZh",), "add .bz2 to its name"),
    Kind("a file compressed by xz", (b"\xfd7zXZ",), "add .xz to its name"),
    Kind("a file compressed by gzip", (b"\x1f\x8b",), "add .gz to its name"),
    Kind("a file compressed by LZ4", (b"\x04\x22\x4d\x18",), "unpack it: unlz4 FILE"),
    Kind("a file compressed by lzip", (b"LZIP",), "unpack it: lzip -d FILE", holds=BINARY),
    Kind("a file compressed by compress", (b"\x1f\x9d",), "unpack it: uncompress FILE"),
    Kind("a file compressed by Snappy", (b"\xff\x06\x00\x00sNaPpY",), "unpack it"),
    Kind("a tar archive", (b"ustar",), "unpack it: tar xf FILE", at=257, holds=BINARY),
    Kind("a 7z archive", (b"7z\xbc\xaf\x27\x1c",), UNPACK),
    Kind("a RAR archive", (b"Rar!\x1a\x07",), UNPACK),
    Kind("a workbook of LibreOffice (.ods)", ZIP, AS_CSV, holds=(b"opendocument.spreadsheet",)),
    Kind(
        "a document of LibreOffice (.odt)",
        ZIP,
        "write its text into a table",
        holds=(b"opendocument.text",),
    ),
    Kind("a workbook of Excel (.xlsx)", ZIP, AS_CSV, holds=(b"xl/workbook", b"xl/worksheets", b"xl/_rels")),
    Kind(
        "a document of Word (.docx)",
        ZIP,
        "write its text into a table",
        holds=(b"word/_rels", b"word/document"),
    ),
    Kind("a workbook of Numbers", ZIP, "export its sheet as CSV", holds=(b".iwa",)),
    Kind("an e-book (.epub)", ZIP, "write its text into a table", holds=(b"application/epub",)),
    Kind(
        "a zip archive, such as .npz, .xlsx or .pt",
        ZIP,
        "unpack it, or save its sheet as CSV",
        format=".npz",
        expected="a sparse matrix",
    ),
    Kind("a workbook", (b"\xd0\xcf\x11\xe0",), AS_CSV),
    Kind("a database of SQLite", (b"SQLite format 3",), "export its table as CSV"),
    Kind("a database of DuckDB", (b"DUCK",), EXPORT, at=8, holds=BINARY),
    Kind("a database of Access", (b"Standard Jet DB", b"Standard ACE DB"), EXPORT, at=4, holds=BINARY),
    Kind("a database of LMDB", (b"\xde\xc0\xef\xbe",), EXPORT, at=16),
    Kind("an HDF5 file", (b"\x89HDF",), "save the table as Parquet"),
    Kind(
        "a NumPy array",
        (b"\x93NUMPY",),
        "end its name in .npy if it is one of labels or scores",
        format=".npy",
        expected="an array",
    ),
    Kind("a file of MATLAB", (b"MATLAB 5.0", b"MATLAB 7"), "save the table as CSV", holds=BINARY),
    Kind(
        "a file of R (.RData, .rds)",
        (b"RDX2\n", b"RDX3\n", b"RDA2\n", b"RDA3\n", b"X\n\x00\x00\x00", *R_AS_TEXT),
        "save the table as CSV: write.csv(table, FILE, row.names = FALSE)",
    ),
    Kind("a file of SPSS (.sav)", (b"$FL2@(#)", b"$FL3@(#)"), PANDAS),
    Kind("a file of Stata (.dta)", (b"<stata_dta>",), PANDAS),
    Kind("a file of Stata (.dta)", tuple(bytes([each, 1, 1]) for each in (113, 114, 115)), PANDAS),
    Kind("a file of Stata (.dta)", tuple(bytes([each, 2, 1]) for each in (113, 114, 115)), PANDAS),
    Kind("a file of SAS (.sas7bdat)", (b"\xc2\xea\x81\x60\xb3\x14\x11\xcf",), PANDAS, at=12),
    Kind("a file of SAS (.xpt)", (b"HEADER RECORD*******",), PANDAS),
    Kind(
        "a pointer of Git LFS, not the file itself",
        (b"version https://git-lfs",),
        "fetch it: git lfs pull",
    ),
    Kind("a PDF document", (b"%PDF",), "write its text into a table"),
    Kind("a document in RTF", (b"{\\rtf",), "save it as text, and write that into a table"),
    Kind("an image", IMAGES, "name a table of texts"),
    Kind(
        "a file of XML or SGML",
        (b"<?xml", b"<!doctype lewis"),
        "write its texts and labels into a table, such as JSON Lines",
        page=True,
    ),
    Kind(
        "a file of ARFF",
        (b"@relation ", b"@relation\t", b"@relation\n"),
        "save it as CSV, and name its columns of 0 and 1 with --label-columns",
        page=True,
    ),
    Kind(
        "a dump of SQL",
        (
            b"-- mysql dump",
            b"-- mariadb dump",
            b"--\n-- postgresql database dump",
            b"insert into `",
            b"create table `",
        ),
        "export the table as CSV",
        page=True,
    ),
    Kind("a web page", (b"<!doctype html", b"<html"), "download the file itself", page=True),
    Kind(
        "a pickle, which is never loaded",
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "save the table as Parquet or CSV",
    ),
)
