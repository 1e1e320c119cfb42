"""The lines of a text file of labels, some at a time, without comments."""

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from xmcpipe.data.label_lists.text.decoding import decoded_blocks
from xmcpipe.data.label_lists.text.forms import FORMS, NAMED

Block = tuple[int, list[str]]  # the number of the first line, and the lines
LINES = 1 << 16  # maximum number of lines of a block


def _some_lines(path: Path) -> Iterator[Block]:
    """The lines of a file, at most LINES at a time: a block of empty lines has millions of them."""
    for number, block in decoded_blocks(path):
        text = io.StringIO(block, newline="\n")
        while lines := [line.removesuffix("\n").removesuffix("\r") for line in islice(text, LINES)]:
            yield number, lines
            number += len(lines)


def line_blocks(path: Path) -> Iterator[Block]:
    """Yield the lines of a text file in blocks, without comments.

    Raises the errors of `decoded_blocks`.
    """
    for number, lines in _some_lines(path):
        first = 0
        if any("#" in line for line in lines):
            for at, line in enumerate(lines):
                if _is_comment(line):
                    if at > first:
                        yield number + first, lines[first:at]
                    first = at + 1
        if first < len(lines):
            yield number + first, lines[first:]


def _is_comment(line: str) -> bool:
    """Whether a line begins with `#`, and is neither labels `#name:score` nor a text with labels."""
    if not line.lstrip().startswith("#"):
        return False
    return "\t" not in line and "__" not in line and not FORMS[NAMED].fullmatch(line.strip())
