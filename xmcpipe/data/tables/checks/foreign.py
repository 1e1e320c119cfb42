"""Tells by its first bytes that a file is not what its name says, and what to do with it then."""

from dataclasses import dataclass
from pathlib import Path

from xmcpipe.errors import XmcpipeError

HEAD_BYTES = 1 << 12
CONTROLS = bytes(set(range(1, 32)) - set(b"\t\n\v\f\r\x1b"))  # which text in one byte a character has not
FEWEST_ZEROS, ZEROS = 2, 0.01  # of text in two bytes a character: line ends and blanks, at least


@dataclass(frozen=True)
class Kind:
    """A kind of file that is no text.

    `what` it is; `starts`, its first bytes; `way_out`, what to do with it, and `by_ending`, what to do where
    its ending names the format of a file, if that is something else. `format` is the format or the ending of
    its own files, which are `expected` in that case. A `page` may begin with blanks and in upper case.
    """

    what: str
    starts: tuple[bytes, ...]
    way_out: str
    by_ending: str = ""
    format: str = ""
    expected: str = ""
    page: bool = False

    def begins(self, head: bytes) -> bool:
        """Whether a file with the first bytes `head` is of this kind."""
        return (head.lstrip().lower() if self.page else head).startswith(self.starts)


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
    Kind("a file compressed by zstd", (b"\x28\xb5\x2f\xfd",), "unpack it: unzstd FILE"),
    Kind("a file compressed by bzip2", (b"BZh",), "unpack it: bunzip2 FILE"),
    Kind("a file compressed by xz", (b"\xfd7zXZ",), "unpack it: unxz FILE"),
    Kind("a file compressed by gzip", (b"\x1f\x8b",), "add .gz to its name"),
    Kind(
        "a zip archive, such as .npz, .xlsx or .pt",
        (b"PK\x03\x04",),
        "unpack it, or save its sheet as CSV",
        format=".npz",
        expected="a sparse matrix",
    ),
    Kind("a workbook", (b"\xd0\xcf\x11\xe0",), "save its sheet as CSV"),
    Kind("a database", (b"SQLite format 3",), "export its table as CSV"),
    Kind("an HDF5 file", (b"\x89HDF",), "save the table as Parquet"),
    Kind(
        "a NumPy array",
        (b"\x93NUMPY",),
        "end its name in .npy if it is one of labels or scores",
        format=".npy",
        expected="an array",
    ),
    Kind(
        "a pointer of Git LFS, not the file itself",
        (b"version https://git-lfs",),
        "fetch it: git lfs pull",
    ),
    Kind("a PDF document", (b"%PDF",), "write its text into a table"),
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


def foreign_kind(head: bytes, format_: str = "", by_format: bool = True) -> tuple[str, str] | None:
    """What a file of another kind than text is, and what to do; None for text. `head`: its first bytes.

    With `format_`, parquet, arrow, .npz or .npy, a file of that format is not foreign. `by_format`: whether
    the user can name the format of a file, as in `import`; in `eval`, its ending does.
    """
    kind = next((each for each in KINDS if each.begins(head)), None)
    if kind is None or (format_ and kind.format == format_):
        return None
    return kind.what, kind.way_out if by_format else kind.by_ending or kind.way_out


def head_of(path: Path) -> bytes:
    """The first bytes of a file as it is stored; none if it can't be read: its reader will say why."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def require_own_kind(path: Path, head: bytes, format_: str = "", by_format: bool = True) -> None:
    """Raise XmcpipeError if the first bytes `head` are those of a file of another kind (see foreign_kind)."""
    if found := foreign_kind(head, format_, by_format):
        expected = next((kind.expected for kind in KINDS if format_ and kind.format == format_), "text")
        raise XmcpipeError(f"{path}: expected {expected}, got {found[0]}", found[1])


def wide_encoding(head: bytes) -> str:
    """The encoding of text in UTF-16 or UTF-32 without a byte order mark, by its first bytes `head`; or "".

    Text of all languages has line ends, blanks and digits: bytes of zeros, at the same place of a character.
    """
    quarter = max(len(head) // 4, 1)
    zeros = [head[place::4].count(0) for place in range(4)]
    if len(head) >= 4 and zeros[3] == quarter and zeros[2] > 0.9 * quarter:
        return "utf-32-le"
    if len(head) >= 4 and zeros[0] >= quarter and zeros[1] > 0.9 * quarter:
        return "utf-32-be"
    first, second = zeros[0] + zeros[2], zeros[1] + zeros[3]
    most, half = max(first, second), len(head) / 2
    if most < max(FEWEST_ZEROS, ZEROS * half) or most <= 2 * min(first, second):
        return ""
    if most < half / 2 and not _is_odd(head):
        return ""  # text in one byte a character, with a few zeros in it
    return "utf-16-le" if second > first else "utf-16-be"


def _is_odd(head: bytes) -> bool:
    """Whether bytes are no UTF-8, or have characters for control: those of letters other than Latin ones."""
    text = head[: len(head) - 3].decode("utf-8", "replace")
    return "\ufffd" in text or any(byte in CONTROLS for byte in head)
