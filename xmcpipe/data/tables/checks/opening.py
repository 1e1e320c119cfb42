"""Opens a text file, and reads its first lines: what kind of file it is shows there.

Nothing here loads polars, which the command line does without.
"""

import bz2
import codecs
import gzip
import lzma
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from xmcpipe.data.tables.checks.foreign import (
    GZIP,
    HEAD_BYTES,
    foreign_kind,
    head_of,
    require_own_kind,
    wide_encoding,
)
from xmcpipe.errors import XmcpipeError

PEEKED_BYTES = 1 << 20
# Not str.splitlines: a text may hold U+2028 or a form feed, which end no line of a table.
LINE_END = re.compile("\r\n|\r|\n")
# Codecs of Python that aren't encodings of text files, but of domain names, string literals and e-mails.
NOT_TEXT = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7", "mbcs", "oem"}


# The ending of a compressed file -> what opens it, and its first bytes.
PACKED: dict[str, tuple[Callable[..., Any], bytes]] = {
    ".gz": (gzip.open, GZIP),
    ".bz2": (bz2.open, b"BZh"),
    ".xz": (lzma.open, b"\xfd7zXZ"),
}
# What reading a file to its end may raise.
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)


def unpacked_name(path: Path) -> str:
    """The name of a file in lower case, without the ending of a compressed one."""
    name = path.name.lower()
    return name.removesuffix(next((ending for ending in PACKED if name.endswith(ending)), ""))


def open_bytes(path: Path) -> IO[bytes]:
    """Open `path` for reading, decompressed if its name ends in .gz, .bz2 or .xz.

    Raises XmcpipeError if its first bytes are not those of such a file.
    """
    ending = path.suffix.lower()
    if ending not in PACKED:
        return path.open("rb")
    opener, start = PACKED[ending]
    head = head_of(path)
    if head and not head.startswith(start):
        found = foreign_kind(head) or ("a file that isn't compressed", f"remove {ending} from its name")
        right = next((other for other, (_, start) in PACKED.items() if head.startswith(start)), "")
        way_out = f"end its name in {right}" if right else found[1]
        raise XmcpipeError(f"{path}: expected a file compressed as {ending}, got {found[0]}", way_out)
    return cast(IO[bytes], opener(path, "rb"))


def first_lines(path: Path, encoding: str, most: int = 10) -> list[str]:
    """The first lines that aren't blank, at most `most`, of the first million bytes.

    Raises XmcpipeError for an unknown encoding, a file that can't be read, and one that is no text.
    """
    codec = text_codec(encoding)
    try:
        require_text(path, codec)
        with open_bytes(path) as file:
            head = file.read(PEEKED_BYTES)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    lines = LINE_END.split(head.decode(codec, "ignore"))
    whole = lines[:-1] if len(head) == PEEKED_BYTES and len(lines) > 1 else lines
    return [line for line in whole if line.strip()][:most]


def require_text(path: Path, codec: str) -> None:
    """Raise XmcpipeError for a file of another kind, and for text whose characters have two or four bytes."""
    with open_bytes(path) as file:
        head = file.read(HEAD_BYTES)
    require_own_kind(path, head)
    wide = "" if codec.startswith(("utf-16", "utf-32")) else wide_encoding(head)
    if wide:
        raise XmcpipeError(
            f"{path}: its first characters have zeros for bytes, which is not {codec.removesuffix('-sig')}",
            f"set --encoding {wide} (encoding)",
        )


def text_codec(encoding: str) -> str:
    """The codec that reads text files in `encoding`. Raises XmcpipeError if there is none of that name."""
    try:
        codec = codecs.lookup(encoding)
    except (LookupError, ValueError) as error:
        raise XmcpipeError(f"unknown encoding {encoding!r}", "most files are utf-8 or latin-1") from error
    # Python also calls conversions such as base64 codecs; only its own flag tells them from encodings.
    if codec.name in NOT_TEXT or not codec._is_text_encoding:
        raise XmcpipeError(f"{encoding!r} is no encoding of text files", "most files are utf-8 or latin-1")
    return "utf-8-sig" if codec.name == "utf-8" else codec.name


def unreadable(path: Path, error: Exception) -> XmcpipeError:
    """The error for a file that can't be read to its end."""
    return XmcpipeError(f"{path} can't be read: {error}", "check that the file is complete")
