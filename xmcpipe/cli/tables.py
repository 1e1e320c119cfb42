"""A table on standard output."""

from collections.abc import Iterable, Sequence

TABLE_WIDTH = 160  # off a terminal, where Rich would fold a table at 80 columns


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], num_left: int = 1) -> None:
    """Draw a table; its first `num_left` columns, of words, are set left and may fold."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, title in enumerate(header):
        # On a narrow terminal the words fold, so that the numbers needn't.
        is_word = column < num_left
        drawn.add_column(title, justify="left" if is_word else "right", no_wrap=not is_word)
    for row in rows:
        drawn.add_row(*row)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=TABLE_WIDTH)
    console.print(drawn, end="")
