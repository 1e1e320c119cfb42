"""A table of text on standard output, drawn by Rich."""

from collections.abc import Iterable, Sequence

WIDTH = 160  # of output that is not a terminal, where Rich would fold a table at 80 columns


def print_table(
    header: Sequence[str], *sections: Iterable[Sequence[str]], num_left: int = 1, fold: bool = True
) -> None:
    """Draw a table of one or more sections of rows, with a blank line between sections.

    The first `num_left` columns hold words. They are aligned left, and with `fold` they are folded on a
    narrow terminal, so that the numbers in the other columns fit.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, title in enumerate(header):
        is_word = column < num_left
        drawn.add_column(title, justify="left" if is_word else "right", no_wrap=not (is_word and fold))
    for rows in sections:
        for row in rows:
            drawn.add_row(*row)
        drawn.add_section()
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    console.print(drawn, end="")
