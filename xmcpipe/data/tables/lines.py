"""Reads a text file, plain or compressed, in blocks of whole lines; one block is in memory at a time."""

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.checks.opening import (
    UNREADABLE,
    open_bytes,
    require_text,
    text_codec,
    unreadable,
)
from xmcpipe.data.tables.quotes import QuoteScanner
from xmcpipe.errors import XmcpipeError

BLOCK_CHARACTERS = 1 << 23
# Limits of a block with an open quote, and of a line: a broken file is refused before it fills the memory.
OPEN_QUOTE_CHARACTERS = LONGEST_LINE = 1 << 28
BYTE_ORDER_HINT = "name the order of its bytes, for example --encoding utf-16-le (encoding)"
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
    codec = text_codec(encoding)
    try:
        require_text(path, codec)
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
    except UNREADABLE as error:
        raise unreadable(path, error) from error


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
