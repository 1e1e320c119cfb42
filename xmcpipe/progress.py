"""Progress bars: on a terminal only, and only for work that takes longer than two seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Bar(Protocol):
    """What a stage may do with a progress bar."""

    n: float

    def update(self, amount: float = 1) -> Any: ...

    def set_postfix_str(self, text: str, refresh: bool = True) -> None: ...


@contextmanager
def progress(
    description: str, total: float | None, unit: str, scale: bool = False, initial: float = 0
) -> Iterator[Bar]:
    """A bar of `total` `unit`s on standard error, `initial` of them done before; silent off a terminal."""
    from tqdm import tqdm  # a tenth of a second that `--help` needn't pay

    with tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=f" {unit}",
        disable=None,
        delay=2,
        unit_scale=scale,
        leave=False,
    ) as bar:
        yield bar
