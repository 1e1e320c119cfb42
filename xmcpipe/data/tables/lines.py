"""A text file in blocks of whole lines: plain or gzip, in any encoding, one block in memory at a time."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import polars as pl

from xmcpipe.errors import XmcpipeError

BLOCK_CHARACTERS = 1 << 23
OPEN_QUOTE_CHARACTERS = LONGEST_LINE = 1 << 28  # what a broken file may take in memory before it is refused
ENCODING_HINT = "set encoding (--encoding) to that of the file, for example latin-1"


def text_blocks(
    path: Path, encoding: str, quoted: bool = False, hint: str = ENCODING_HINT
) -> Iterator[tuple[int, str]]:
    """Yield (number of the first line, block of whole lines), about 8 million characters at a time.

    With `quoted`, a line break between double quotes does not end a line: a block ends where the number of
    quotes is even. A byte order mark at the start of UTF-8 is skipped. Raises XmcpipeError, with file and
    line, for bytes that aren't in `encoding` (then with `hint`), a quote that is never closed, a line of more
    than LONGEST_LINE characters, an unknown encoding and a file that can't be read.
    """
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        with open_bytes(path) as file, io.TextIOWrapper(file, encoding=codec, newline="\n") as text:
            yield from _blocks(text, path, quoted)
    except UnicodeDecodeError as error:
        raise XmcpipeError(
            f"{path}, line {_first_undecodable(path, encoding)}: the bytes aren't {encoding}",
            hint,
        ) from error
    except LookupError as error:
        raise XmcpipeError(f"unknown encoding {encoding!r}", "most files are utf-8 or latin-1") from error
    except (OSError, EOFError, zlib.error) as error:
        raise XmcpipeError(f"{path} can't be read: {error}", "check that the file is complete") from error


def text_lines(path: Path, encoding: str) -> Iterator[tuple[int, pl.Series]]:
    """Yield (number of the first line, lines string [n]), in blocks as `text_blocks` does.

    Lines come without their ends. Only a line feed ends a line, with or without a carriage return before it;
    the last line needs none.
    """
    for first, block in text_blocks(path, encoding):
        try:
            lines = pl.Series("text", [block]).str.split("\n").explode()
        except UnicodeEncodeError as error:  # half of a surrogate pair, which some encodings allow
            raise XmcpipeError(
                f"{path}, from line {first}: {error.reason}", "name another encoding"
            ) from error
        lines = lines.head(-1) if block.endswith("\n") else lines
        yield first, lines.str.strip_suffix("\r")


def open_bytes(path: Path) -> IO[bytes]:
    """`path` open for reading, decompressed where its name ends in .gz."""
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _blocks(text: io.TextIOWrapper, path: Path, quoted: bool) -> Iterator[tuple[int, str]]:
    line = 1
    while block := text.read(BLOCK_CHARACTERS):
        rest = text.readline(LONGEST_LINE)
        if len(rest) == LONGEST_LINE and not rest.endswith("\n"):
            raise XmcpipeError(
                f"{path}, after line {line}: a line has more than {LONGEST_LINE:,} characters",
                "check the file: each document must be one line",
            )
        block += rest
        while quoted and block.count('"') % 2 and (more := text.readline()):
            block += more
            if len(block) > OPEN_QUOTE_CHARACTERS:
                raise XmcpipeError(
                    f"{path}, after line {line}: a quote is never closed",
                    "set --quotes none",
                )
        yield line, block
        line += block.count("\n")


def _first_undecodable(path: Path, encoding: str) -> int:
    with open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                return number
    return 0
