"""Tells by its first bytes that a file is not what its name says, and what to do with it then."""

import zlib
from pathlib import Path

from xmcpipe.data.tables.checks.kinds import KINDS
from xmcpipe.errors import XmcpipeError

HEAD_BYTES = 1 << 12
GZIP = b"\x1f\x8b"
CONTROLS = bytes(set(range(1, 32)) - set(b"\t\n\v\f\r\x1b"))  # which text in one byte a character has not
FEWEST_ZEROS, ZEROS = 2, 0.01  # of text in two bytes a character: line ends and blanks, at least


def foreign_kind(head: bytes, format_: str = "", by_format: bool = True) -> tuple[str, str] | None:
    """What a file of another kind than text is, and what to do; None for text. `head`: its first bytes.

    With `format_`, parquet, arrow, .npz or .npy, a file of that format is not foreign. `by_format`: whether
    the user can name the format of a file, as in `import`; in `eval`, its ending does.
    """
    kind = next((each for each in KINDS if each.begins(head)), None)
    if kind is None or (format_ and kind.format == format_):
        return None
    if head.startswith(GZIP) and (inner := foreign_kind(_unpacked(head), by_format=by_format)):
        return f"{inner[0]} that is compressed by gzip", inner[1]
    return kind.what, kind.way_out if by_format else kind.by_ending or kind.way_out


def _unpacked(head: bytes) -> bytes:
    """The first bytes in a file compressed by gzip, of which `head` is the beginning; b"" if it is broken."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


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
