"""Tables of the page as plain values, and numbers as the texts of their cells."""

from dataclasses import dataclass, field

NONE = "–"  # the text of an empty cell
GIB = 1 << 30


@dataclass(frozen=True)
class Cell:
    """A cell: `text` and, in small print, `below`. `strong` marks the best or a significant value (bold)."""

    text: str = NONE
    below: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Row:
    """A row of cells, with its `name` and, in small print, `below`.

    `kind` is run, difference, baseline, quoted, or group (a heading above the rows that follow).
    """

    kind: str
    name: str
    below: str = ""
    cells: list[Cell] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """A table: `heads` names the columns, without that of the row names."""

    heads: list[str]
    rows: list[Row]


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction in per cent, without a per cent sign."""
    return NONE if fraction is None else f"{100 * fraction:.{digits}f}"


def signed_percent(fraction: float, digits: int) -> str:
    """A difference of fractions in per cent, with the sign + or − (U+2212); zero has no sign."""
    text = f"{100 * fraction:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def plain(value: float | None) -> str:
    """A quoted figure with one or two decimal places, as it was published."""
    return NONE if value is None else f"{value:.2f}".removesuffix("0")


def gib(value: float | None) -> str:
    """A quoted amount of memory, in GiB."""
    return NONE if value is None else f"{plain(value)} GiB"


def gib_of(count: int) -> str:
    """A number of bytes in GiB or, if it is small, in MiB or KiB."""
    if count >= GIB / 10:
        return f"{count / GIB:.2f} GiB"
    return f"{count / (1 << 20):.1f} MiB" if count >= 1 << 20 else f"{count / 1024:.1f} KiB"


def millions(count: int) -> str:
    """A number of parameters in millions."""
    return f"{count / 1e6:,.2f} M" if count < 1e8 else f"{count / 1e6:,.0f} M"


def clock(seconds: float) -> str:
    """A time in seconds as text: `7.5 s`, `3:05 min` or `1:02:03 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    minutes = f"{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 3600}:{minutes} h" if whole >= 3600 else f"{minutes.removeprefix('0')} min"


def listed(words: list[str]) -> str:
    """The words as a list in a sentence: a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""
