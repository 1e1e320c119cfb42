"""Text on standard output that fits the terminal: tables, drawn by Rich, and lines.

Nothing is ever cut. A table that is too wide for the terminal first folds its headers and words, then it is
drawn as several blocks below each other, each with some of the columns of numbers and all names of rows.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from xmcpipe.cli.shown import echo, one_line

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 160  # of output that is not a terminal, where Rich would fold a table at 80 columns
GAP = 2  # columns of the terminal between two columns of a table
LEAST_WORDS = 20  # names are folded to this width before columns move to a block of their own
NO_BREAK = "\N{NO-BREAK SPACE}"

Rows = Sequence[Sequence[str]]


def print_table(
    header: Sequence[str], *sections: Iterable[Sequence[str]], num_left: int = 1, folded: Collection[int] = ()
) -> None:
    """Draw a table of one or more sections of rows, with a blank line between sections.

    The first `num_left` columns are the names of the rows, aligned left, and every block has them. They, and
    the columns in `folded`, hold words: on a narrow terminal they are folded between two words. The cells of
    the other columns stay in one piece.
    """
    console, header = _console(), [one_line(cell) for cell in header]
    rows = [[[one_line(cell) for cell in row] for row in section] for section in sections]
    least = _least_widths(header, rows, {*range(num_left), *folded})
    for widths in _blocks(_widths(header, rows), least, num_left, console.width):
        _draw(console, header, rows, widths, num_left)


def say(line: str = "", indent: str = "  ") -> None:
    """Print a line on standard output, folded between words if the terminal is narrower.

    The lines after the first begin with `indent`. Words that are joined by NO_BREAK stay together, and are
    printed with a blank. Output that is not a terminal gets one line, unless the variable COLUMNS is set.
    """
    width = _terminal_width()
    if width is not None:
        # A name or a number stays in one piece, to be read and copied.
        wrapper = textwrap.TextWrapper(width, subsequent_indent=indent, break_long_words=False)
        wrapper.break_on_hyphens = False
        line = wrapper.fill(line)
    echo(line.replace(NO_BREAK, " "))


def _terminal_width() -> int | None:
    """The width to fold lines at, None for no limit."""
    if columns := os.environ.get("COLUMNS", ""):
        return int(columns) if columns.isdigit() and int(columns) else None
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, width=_terminal_width() or WIDTH)


def _blocks(natural: list[int], least: list[int], num_left: int, room: int) -> list[dict[int, int]]:
    """The blocks of a table: column -> width, for the columns of each block.

    `natural` and `least` are the widths of each column, unfolded and folded as much as possible.
    """
    columns = range(len(natural))
    if sum(natural) + GAP * (len(natural) - 1) <= room:
        return [dict(enumerate(natural))]
    names, others = columns[:num_left], columns[num_left:]
    names_least = [max(least[at], min(natural[at], LEAST_WORDS)) for at in names]
    for count in range(1, len(others) + 1):
        size = -(-len(others) // count)  # blocks of equal size, rounded up
        parts = [others[begin : begin + size] for begin in range(0, len(others), size)]
        if all(_total([*names_least, *(least[at] for at in part)]) <= room for part in parts):
            return [_fitted(natural, least, [*names, *part], names, room) for part in parts]
    # Narrower than the names and one column: fold as much as possible, let the terminal do the rest.
    return [_fitted(natural, least, [*names, at], names, room) for at in others] or [
        _fitted(natural, least, list(names), names, room)
    ]


def _fitted(
    natural: list[int], least: list[int], columns: list[int], names: Sequence[int], room: int
) -> dict[int, int]:
    """Column -> width. Columns of numbers are as narrow as they can be, and names share the rest."""
    widths = {at: natural[at] if at in names else least[at] for at in columns}
    while _total(widths.values()) > room:
        wide = max(names, key=lambda at: widths[at] - least[at])
        if widths[wide] <= least[wide]:
            break
        widths[wide] -= 1
    for at in columns:  # room that is left unfolds headers
        widths[at] = max(widths[at], min(natural[at], widths[at] + room - _total(widths.values())))
    return widths


def _total(widths: Collection[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _widths(header: Sequence[str], sections: Sequence[Rows]) -> list[int]:
    from rich.cells import cell_len

    return [max(map(cell_len, cells)) for cells in _columns(header, sections)]


def _least_widths(header: Sequence[str], sections: Sequence[Rows], words: Collection[int]) -> list[int]:
    """The width of each column whose header, and cells if it is in `words`, are folded at every blank."""
    from rich.cells import cell_len

    least = []
    for at, (title, *cells) in enumerate(_columns(header, sections)):
        pieces = [word for cell in cells for word in cell.split()] if at in words else cells
        least.append(max(map(cell_len, [*title.split(), *pieces]), default=0))
    return least


def _columns(header: Sequence[str], sections: Sequence[Rows]) -> list[tuple[str, ...]]:
    return list(zip(header, *(row for section in sections for row in section), strict=True))


def _draw(
    console: "Console",
    header: Sequence[str],
    sections: Sequence[Rows],
    widths: dict[int, int],
    num_left: int,
) -> None:
    """Draw the columns that `widths` maps to their widths, and a blank line below."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for at, width in widths.items():
        drawn.add_column(Text(header[at]), justify="left" if at < num_left else "right", width=width)
    for section in sections:
        for row in section:
            drawn.add_row(*(Text(row[at]) for at in widths))
        drawn.add_section()
    console.width = max(console.width, _total(widths.values()))  # else Rich would cut cells
    console.print(drawn)
    console.print()
