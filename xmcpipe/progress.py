"""How far a stage is: a bar on a terminal, and lines in a log elsewhere; only for work over two seconds.

Lines are log records of level INFO. Each has the attribute `facts`, the same in JSON types: `progress` (what
runs), `done`, `total` (null if unknown), `unit`, `seconds`, `seconds_left` (null if unknown), and what the
stage adds, such as `loss`.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

FIRST_SECONDS = 2.0  # work that is shorter shows nothing
EVERY_SECONDS = 30.0  # between two lines of a log
POSTFIX_SECONDS = 1.0  # between two updates of the text behind a bar

logger = logging.getLogger(__name__)

# Name of a figure -> its value in JSON types, and as text.
Figures = Mapping[str, tuple[Any, str]]


class Bar(Protocol):
    """The methods of a progress bar that stages use."""

    n: float

    def update(self, amount: float = 1) -> Any: ...

    def set_postfix_str(self, text: str, refresh: bool = True) -> None: ...


@contextmanager
def progress(
    description: str,
    total: float | None,
    unit: str,
    scale: bool = False,
    initial: float = 0,
    figures: Callable[[], Figures] | None = None,
) -> Iterator[Bar]:
    """Show how far work of `total` units is, on standard error or in the log, with `initial` of them done.

    `figures` returns what else to show, such as the loss; it is called only when something is shown.
    """
    if initial:
        logger.info("%s: resuming at %s", description, _amount(initial, total, unit))
    if not sys.stderr.isatty():
        yield LogProgress(description, total, unit, initial, figures)
        return
    from tqdm import tqdm  # the import takes a tenth of a second, which would slow `--help`

    with tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=f" {unit}",
        delay=FIRST_SECONDS,
        unit_scale=scale,
        leave=False,
    ) as bar:
        yield bar if figures is None else _WithFigures(bar, figures)


class _WithFigures:
    """A bar with figures behind it."""

    def __init__(self, bar: Any, figures: Callable[[], Figures]) -> None:
        self._bar, self._figures, self._shown = bar, figures, 0.0
        self.n: float = bar.n

    def update(self, amount: float = 1) -> None:
        if time.monotonic() - self._shown > POSTFIX_SECONDS:
            self._shown = time.monotonic()
            self.set_postfix_str(", ".join(text for _, text in self._figures().values()), refresh=False)
        self._bar.update(amount)
        self.n = self._bar.n

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        self._bar.set_postfix_str(text, refresh)


class LogProgress:
    """The progress of work as lines in the log: the first after two seconds, then one every half minute."""

    def __init__(
        self,
        description: str,
        total: float | None,
        unit: str,
        initial: float = 0,
        figures: Callable[[], Figures] | None = None,
    ) -> None:
        self.n, self._description, self._total, self._unit = initial, description, total, unit
        self._initial, self._figures, self._postfix = initial, figures, ""
        self._started = time.monotonic()
        self._due = self._started + FIRST_SECONDS

    def update(self, amount: float = 1) -> None:
        """Count `amount` units as done, and write a line if one is due."""
        self.n += amount
        if (now := time.monotonic()) >= self._due:
            self._due = now + EVERY_SECONDS
            self._write(now - self._started)

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Add `text` to the lines."""
        self._postfix = text

    def _write(self, seconds: float) -> None:
        left = None
        if self._total is not None and self.n > self._initial:
            left = seconds / (self.n - self._initial) * max(self._total - self.n, 0)
        figures = self._figures() if self._figures else {}
        facts = {"progress": self._description, "done": self.n, "total": self._total, "unit": self._unit}
        facts |= {"seconds": round(seconds, 1), "seconds_left": None if left is None else round(left, 1)}
        facts |= {name: value for name, (value, _) in figures.items()}
        parts = [f"{self._description}: {_amount(self.n, self._total, self._unit)}", self._postfix]
        parts += [text for _, text in figures.values()]
        parts.append("" if left is None else f"{_time(left)} left")
        logger.info("%s", " · ".join(filter(None, parts)), extra={"facts": facts})


def _amount(done: float, total: float | None, unit: str) -> str:
    """For example "step 65 of 270"; bytes are in megabytes."""
    numbers = [number for number in (done, total) if number is not None]
    if unit == "B":
        return " of ".join(f"{number / 1e6:,.1f} MB" for number in numbers)
    return f"{unit} " + " of ".join(f"{number:,.0f}" for number in numbers)


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
