"""Tells by its first bytes that a file is not what its name says, and what to do with it then."""

from pathlib import Path

from xmcpipe.errors import XmcpipeError

HEAD_BYTES = 512
PACKED = {
    b"\x28\xb5\x2f\xfd": ("a file compressed by zstd", "unpack it: unzstd FILE"),
    b"BZh": ("a file compressed by bzip2", "unpack it: bunzip2 FILE"),
    b"\xfd7zXZ": ("a file compressed by xz", "unpack it: unxz FILE"),
}
# First bytes -> what the file is, and what to do.
KINDS: dict[bytes, tuple[str, str]] = {
    **PACKED,
    b"\x1f\x8b": ("a file compressed by gzip", "add .gz to its name"),
    b"PK\x03\x04": ("a zip archive, such as .npz, .xlsx or .pt", "unpack it, or save its sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("a workbook", "save its sheet as CSV"),
    b"SQLite format 3": ("a database", "export its table as CSV"),
    b"\x89HDF": ("an HDF5 file", "save the table as Parquet"),
    b"\x93NUMPY": ("a NumPy array", "end its name in .npy if it is one of labels or scores"),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "fetch it: git lfs pull"),
    b"%PDF": ("a PDF document", "write its text into a table"),
}
# Formats that are read, though not as text.
LINKED = {b"PAR1": ("a Parquet file", "parquet"), b"ARROW1": ("an Arrow file", "arrow")}
ENDED = {"parquet": "end its name in .parquet", "arrow": "write it as Parquet"}
LONG = {"parquet": "Parquet", "arrow": "Arrow", ".npz": "a sparse matrix", ".npy": "an array"}
OWN = {".npz": b"PK\x03\x04", ".npy": b"\x93NUMPY"}  # which by their endings are no foreign files
PAGES = (b"<!doctype html", b"<html")


def foreign_kind(head: bytes, format_: str = "", by_format: bool = True) -> tuple[str, str] | None:
    """What a file of another kind than text is, and what to do; None for text. `head`: its first bytes.

    With `format_`, parquet, arrow, .npz or .npy, a file of that format is not foreign. `by_format`: whether
    the user can name the format of a file, as in `import`; in `eval`, its ending does.
    """
    for magic, (what, name) in LINKED.items():
        if head.startswith(magic):
            way_out = f"read it with --format {name}" if by_format else ENDED[name]
            return None if format_ == name else (what, way_out)
    for magic, kind in KINDS.items():
        if head.startswith(magic):
            return None if OWN.get(format_) == magic else kind
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


def require_own_kind(path: Path, head: bytes, format_: str = "", by_format: bool = True) -> None:
    """Raise XmcpipeError if the first bytes `head` are those of a file of another kind (see foreign_kind)."""
    if found := foreign_kind(head, format_, by_format):
        what, hint = found
        raise XmcpipeError(f"{path}: expected {LONG.get(format_, 'text')}, got {what}", hint)


def utf_16_order(head: bytes) -> str:
    """The encoding of text in UTF-16 or UTF-32 without a byte order mark, by its first character; or "".

    Any text starts with a character below U+0100 here: a name of a column, a digit, a bracket or a quote.
    """
    zeros = "".join("0" if byte == 0 else "x" for byte in head[:4])
    return {"x0x0": "utf-16-le", "0x0x": "utf-16-be", "x000": "utf-32-le", "000x": "utf-32-be"}.get(zeros, "")
