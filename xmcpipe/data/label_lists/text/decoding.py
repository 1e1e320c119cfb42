"""Decodes text files as people have them: UTF-8, or UTF-16 and UTF-32 that begin with a byte order mark.

Lines may end with a line feed, with both, or (on an old Mac) with a carriage return alone. What is no text is
told by its first bytes, and named.
"""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from xmcpipe.data.tables.checks.foreign import HEAD_BYTES, require_own_kind, wide_encoding
from xmcpipe.data.tables.checks.opening import UNREADABLE, open_bytes
from xmcpipe.errors import XmcpipeError

MARKS = {  # the longer ones first: UTF-32 begins as UTF-16 does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def decoded_blocks(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number of the first line, block of whole lines, each ended by a line feed).

    Raises XmcpipeError for a file that is no text, and the errors of `text_blocks`.
    """
    from xmcpipe.data.tables.lines import text_blocks  # loads polars, which not all formats need

    encoding = encoding_of(path)
    return text_blocks(path, encoding, hint=conversion(path, "LATIN1"), carriage_returns=True)


def encoding_of(path: Path) -> str:
    """The encoding of a text file, by its byte order mark, else UTF-8; a file that can't be read is UTF-8.

    Raises XmcpipeError for a file that is no text, and for UTF-16 without a mark.
    """
    try:
        with open_bytes(path) as file:
            head = file.read(HEAD_BYTES)
    except UNREADABLE:
        return "utf-8"  # who reads the file says what is wrong with it
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    require_own_kind(path, head, by_format=False)
    if b"\0" in head:
        raise _zeros(path, head)
    return "utf-8"


def _zeros(path: Path, head: bytes) -> XmcpipeError:
    """The error for bytes with zeros."""
    encoding = re.sub("-([LB]E)$", r"\1", wide_encoding(head).upper())  # as iconv calls it
    if not encoding:
        return XmcpipeError(f"{path}: expected text, got bytes of another kind", "write it as text in UTF-8")
    return XmcpipeError(
        f"{path}: expected text in UTF-8, got what looks like {encoding} without a byte order mark",
        conversion(path, encoding),
    )


def conversion(path: Path, encoding: str) -> str:
    """What to do with a file in another encoding."""
    name = path.name.removesuffix(".gz")
    return f"write the file in UTF-8, for example: iconv -f {encoding} -t UTF-8 {name} > utf8-{name}"
