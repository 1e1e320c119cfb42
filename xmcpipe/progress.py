"""Progress bars: on a terminal only, and only for work that takes longer than two seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Bar(Protocol):
    """The methods of a progress bar that stages use."""

    n: float

    def update(self, amount: float = 1) -> Any: ...

    def set_postfix_str(self, text: str, refresh: bool = True) -> None: ...


@contextmanager
def progress(
    description: str, total: float | None, unit: str, scale: bool = False, initial: float = 0
) -> Iterator[Bar]:
    """A progress bar on standard error if that is a terminal, with `initial` of `total` units done."""
    from tqdm import tqdm  # the import takes a tenth of a second, which would slow `--help`

    with tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=f" {unit}",
        disable=None,  # off unless standard error is a terminal
        delay=2,  # seconds
        unit_scale=scale,
        leave=False,
    ) as bar:
        yield bar
