"""Tells by its first bytes that a file is not what its name says, and what to do with it then."""

from pathlib import Path

from xmcpipe.errors import XmcpipeError

HEAD_BYTES = 512
# First bytes -> what the file is, and what to do.
KINDS: dict[bytes, tuple[str, str]] = {
    b"PAR1": ("a Parquet file", "read it with --format parquet"),
    b"ARROW1": ("an Arrow file", "read it with --format arrow"),
    b"\x1f\x8b": ("compressed by gzip", "add .gz to its name"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unpack it with `unzstd`"),
    b"BZh": ("compressed by bzip2", "unpack it with `bunzip2`"),
    b"\xfd7zXZ": ("compressed by xz", "unpack it with `unxz`"),
    b"PK\x03\x04": ("a zip archive or a workbook", "unpack it, or save its sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("a workbook", "save its sheet as CSV"),
    b"SQLite format 3": ("a database", "export its table as CSV"),
    b"\x89HDF": ("an HDF5 file", "save the table as Parquet"),
    b"\x93NUMPY": ("a NumPy array", "write a table of texts and labels"),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "run `git lfs pull`"),
    b"%PDF": ("a PDF document", "write its text into a table"),
}
PAGES = (b"<!doctype html", b"<html")
LINKED = ("parquet", "arrow")  # formats that a file may have whose name has another


def foreign_kind(head: bytes, format_: str = "") -> tuple[str, str] | None:
    """What a file of another kind than text is, and what to do; None for text. `head`: its first bytes.

    With `format_`, one of the LINKED, a file of that format is not foreign.
    """
    for magic, (what, hint) in KINDS.items():
        if head.startswith(magic):
            return None if format_ in LINKED and hint.endswith(f"--format {format_}") else (what, hint)
    if head.lstrip().lower().startswith(PAGES):
        return "a web page", "download the file itself"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle, which is never loaded", "save the table as Parquet or CSV"
    return None


def head_of(path: Path) -> bytes:
    """The first bytes of a file as it is stored; none if it can't be read: its reader will say why."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def require_own_kind(path: Path, head: bytes, format_: str = "") -> None:
    """Raise XmcpipeError if the first bytes `head` are those of a file of another kind (see foreign_kind)."""
    if found := foreign_kind(head, format_):
        what, hint = found
        raise XmcpipeError(f"{path} is {what}", hint)


def utf_16_order(head: bytes) -> str:
    """The encoding of text in UTF-16 or UTF-32 without a byte order mark, by its first character; or "".

    Any text starts with a character below U+0100 here: a name of a column, a digit, a bracket or a quote.
    """
    zeros = "".join("0" if byte == 0 else "x" for byte in head[:4])
    return {"x0x0": "utf-16-le", "0x0x": "utf-16-be", "x000": "utf-32-le", "000x": "utf-32-be"}.get(zeros, "")
