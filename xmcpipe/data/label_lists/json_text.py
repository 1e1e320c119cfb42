"""Splits a JSON file of label lists into blocks of lines with an object each.

Most files are JSON lines in UTF-8, which pass through as bytes. An array of objects, objects of several
lines, another encoding and lines that end with a carriage return are first rewritten as such lines.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xmcpipe.data.tables.checks.opening import UNREADABLE, open_bytes
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json

BLOCK_BYTES = 1 << 23
HEAD_BYTES = 1 << 20


def json_line_blocks(path: Path) -> tuple[str, Iterator[tuple[int, bytes]]]:
    """What is counted, "line" or "object", and blocks of whole lines, each with the number of its first line.

    Blank blocks are left out. Raises XmcpipeError for a file that can't be read.
    """
    if _is_plain(path):
        return "line", _plain_blocks(path)
    from xmcpipe.data.label_lists.text.decoding import encoding_of
    from xmcpipe.data.tables.json_blocks import json_blocks  # loads polars, which plain files don't need

    encoding = encoding_of(path)
    with _our_hints(path):
        place, blocks = json_blocks(path, encoding)
    return place.unit, _rewritten(path, blocks)


def _rewritten(path: Path, blocks: Iterator[tuple[int, str]]) -> Iterator[tuple[int, bytes]]:
    with _our_hints(path):
        yield from ((number, block.encode()) for number, block in blocks if block.strip())


@contextmanager
def _our_hints(path: Path) -> Iterator[None]:
    """Replace a hint that names an option of `import`: `eval` has none for the encoding."""
    from xmcpipe.data.label_lists.text.decoding import conversion

    try:
        yield
    except XmcpipeError as error:
        if "--encoding" in error.hint:
            raise XmcpipeError(error.message, conversion(path, "LATIN1")) from error
        raise


def _is_plain(path: Path) -> bool:
    """Whether the file begins with an object on a line of its own, as UTF-8 without a byte order mark."""
    try:
        with open_bytes(path) as file:
            head = file.read(HEAD_BYTES)
    except UNREADABLE as error:
        raise XmcpipeError(f"{path} can't be read: {error}", "check the file") from error
    if not head.lstrip().startswith(b"{") or b"\0" in head or (b"\r" in head and b"\n" not in head):
        return not head.strip()
    line = next(line for line in head.split(b"\n") if line.strip())
    try:
        return isinstance(parse_json(line), dict)
    except ValueError:
        return len(line) == HEAD_BYTES  # longer than the head


def _plain_blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 1
    try:
        with open_bytes(path) as file:
            rest = b""
            while piece := file.read(BLOCK_BYTES):
                lines, newline, rest = (rest + piece).rpartition(b"\n")
                if (lines + newline).strip():
                    yield number, lines + newline
                number += (lines + newline).count(b"\n")
            if rest.strip():
                yield number, rest
    except UNREADABLE as error:
        raise XmcpipeError(f"{path} can't be read: {error}", "check the file") from error
