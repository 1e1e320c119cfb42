"""Reads a text file, plain or gzipped, in blocks of whole lines; one block is in memory at a time."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import polars as pl

from xmcpipe.data.tables.checks.foreign import HEAD_BYTES, require_own_kind, utf_16_order
from xmcpipe.data.tables.quotes import QuoteScanner
from xmcpipe.errors import XmcpipeError

BLOCK_CHARACTERS = 1 << 23
# Limits of a block with an open quote, and of a line: a broken file is refused before it fills the memory.
OPEN_QUOTE_CHARACTERS = LONGEST_LINE = 1 << 28
BYTE_ORDER_HINT = "name the order of its bytes, for example --encoding utf-16-le (encoding)"
# Codecs of Python that aren't encodings of text files, but of domain names, string literals and e-mails.
NOT_TEXT = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7", "mbcs", "oem"}
ENCODING_HINT = "set encoding (--encoding) to that of the file, for example cp1252 (Windows) or latin-1"


def text_blocks(
    path: Path,
    encoding: str,
    quoted_by: str = "",
    hint: str = ENCODING_HINT,
    carriage_returns: bool = False,
) -> Iterator[tuple[int, str]]:
    """Yield (number of the first line, block of whole lines), about 8 million characters at a time.

    Lines are numbered from 1. With `quoted_by`, the delimiter of values that may be in double quotes, a line
    break inside such a value does not end a line: a block ends outside of quotes. With `carriage_returns`,
    lines of a file without a line feed end with a carriage return, and these become line feeds. A byte order
    mark at the start of UTF-8 is skipped. Raises XmcpipeError, with file and line, for bytes that aren't
    valid in `encoding` (with `hint`), for a quote that is never closed, and for a line of more than
    LONGEST_LINE characters; and XmcpipeError for an unknown encoding, a file that can't be read, and one that
    is no text by its first bytes.
    """
    codec = _text_codec(encoding)
    try:
        _require_text(path, codec)
        end = _line_end(path) if carriage_returns else "\n"
        with open_bytes(path) as file, io.TextIOWrapper(file, encoding=codec, newline=end) as text:
            for line, block in _blocks(text, path, quoted_by, end):
                yield line, block if end == "\n" else block.replace(end, "\n")
    except UnicodeDecodeError as error:
        raise XmcpipeError(
            f"{path}, line {_first_undecodable(path, encoding)}: the bytes aren't {encoding}",
            "set --encoding utf-16 (encoding)" if hint == ENCODING_HINT and _is_utf16(path) else hint,
        ) from error
    except UnicodeError as error:  # UTF-16 and UTF-32 without a byte order mark
        raise XmcpipeError(f"{path} can't be read as {encoding}: {error}", BYTE_ORDER_HINT) from error
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def text_lines(path: Path, encoding: str, carriage_returns: bool = False) -> Iterator[tuple[int, pl.Series]]:
    """Yield (number of the first line, lines string [n]) for each block of `text_blocks`.

    Only a line feed, with or without a carriage return before it, ends a line; both are removed. The last
    line may lack it. `carriage_returns` is as in `text_blocks`, whose errors are raised.
    """
    for first, block in text_blocks(path, encoding, carriage_returns=carriage_returns):
        try:
            lines = pl.Series("text", [block]).str.split("\n").explode()
        except UnicodeEncodeError as error:  # half of a surrogate pair, which some encodings allow
            raise XmcpipeError(
                f"{path}, from line {first}: {error.reason}", "name another encoding"
            ) from error
        # The text after the last line feed is empty, and not a line.
        lines = lines.head(-1) if block.endswith("\n") else lines
        yield first, lines.str.strip_suffix("\r")


def first_lines(path: Path, encoding: str, most: int = 10) -> list[str]:
    """The first lines that aren't blank, at most `most`, of the first 64 thousand characters or so.

    Raises XmcpipeError for an unknown encoding, a file that can't be read, and one that is no text.
    """
    codec = _text_codec(encoding)
    try:
        _require_text(path, codec)
        with open_bytes(path) as file:
            head = file.read(1 << 16)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    lines = head.decode(codec, "ignore").splitlines()
    whole = lines[:-1] if len(head) == 1 << 16 and len(lines) > 1 else lines
    return [line for line in whole if line.strip()][:most]


def open_bytes(path: Path) -> IO[bytes]:
    """Open `path` for reading, decompressed if its name ends in .gz."""
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _require_text(path: Path, codec: str) -> None:
    """Raise XmcpipeError for a file of another kind, and for text whose characters have two or four bytes."""
    with open_bytes(path) as file:
        head = file.read(HEAD_BYTES)
    require_own_kind(path, head)
    order = utf_16_order(head)
    if order and not codec.startswith(("utf-16", "utf-32")):
        raise XmcpipeError(
            f"{path}: its first characters have zeros for bytes, which is not {codec.removesuffix('-sig')}",
            f"set --encoding {order} (encoding)",
        )


def _line_end(path: Path) -> str:
    """A carriage return for a file that has one and no line feed in its first MiB, else a line feed."""
    with open_bytes(path) as file:
        head = file.read(1 << 20)
    return "\r" if b"\r" in head and b"\n" not in head else "\n"


def _blocks(text: io.TextIOWrapper, path: Path, quoted_by: str, end: str) -> Iterator[tuple[int, str]]:
    """Yield (number of the first line, block of whole lines) of an open file; `end` ends a line."""
    line = 1
    quotes = QuoteScanner(path, quoted_by)
    while block := text.read(BLOCK_CHARACTERS):
        block += _rest_of_line(text, path, line, end)
        if quoted_by and quotes.scan(block, end):
            # The block ends inside a quoted value, which goes on in the next lines. They are joined once, so
            # that a stray quote costs no more than a pass over the rest of the file.
            parts, length = [block], len(block)
            while more := _rest_of_line(text, path, line, end):
                parts.append(more)
                length += len(more)
                if not quotes.scan(more, end):
                    break
                if length > OPEN_QUOTE_CHARACTERS:
                    raise quotes.error(f"isn't closed within {OPEN_QUOTE_CHARACTERS:,} characters")
            if quotes.open:
                raise quotes.error("is never closed")
            block = "".join(parts)
        yield line, block
        line += block.count(end)


def _rest_of_line(text: io.TextIOWrapper, path: Path, line: int, end: str) -> str:
    """The text up to the next line end. Raises XmcpipeError for a line that is too long."""
    rest = text.readline(LONGEST_LINE)
    if len(rest) == LONGEST_LINE and not rest.endswith(end):
        raise XmcpipeError(
            f"{path}, after line {line}: a line has more than {LONGEST_LINE:,} characters",
            "check the file: each document must be one line",
        )
    return rest


def _unreadable(path: Path, error: Exception) -> XmcpipeError:
    return XmcpipeError(f"{path} can't be read: {error}", "check that the file is complete")


def _text_codec(encoding: str) -> str:
    """The codec that reads text files in `encoding`. Raises XmcpipeError if there is none of that name."""
    try:
        codec = codecs.lookup(encoding)
    except (LookupError, ValueError) as error:
        raise XmcpipeError(f"unknown encoding {encoding!r}", "most files are utf-8 or latin-1") from error
    # Python also calls conversions such as base64 codecs; only its own flag tells them from encodings.
    if codec.name in NOT_TEXT or not codec._is_text_encoding:
        raise XmcpipeError(f"{encoding!r} is no encoding of text files", "most files are utf-8 or latin-1")
    return "utf-8-sig" if codec.name == "utf-8" else codec.name


def _is_utf16(path: Path) -> bool:
    with open_bytes(path) as file:
        return file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _first_undecodable(path: Path, encoding: str) -> int:
    """The number, from 1, of the first line that can't be decoded: the decoder's error has none."""
    with open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeError:
                return number
    return 0
