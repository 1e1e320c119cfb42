"""Checks whether labels in one text were split where the file splits them."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.labels.mixed import other_separator
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

# A separator that a file may have instead -> what the option is then, for a message.
SEPARATORS = {
    **{symbol: f"'{symbol}'" for symbol in ";|\uff1b\u3001\u2022"},
    "><": "'><'",  # <a><b>, as Stack Exchange writes its tags
    **{"\t": r"'\t'", ",": "','", "\uff0c": "'\uff0c'", " ": "' '", "\n": r"$'\n'"},
}
# These stand in few names. A name may well hold a comma or a blank, so they are only warned about.
SURE = ("><", ";", "|", "\t", "\uff1b", "\u3001", "\u2022")
# What to guess, in this order: a symbol between blanks before the blank, which would make a label of it.
GUESSED = {
    **{separator: SEPARATORS[separator] for separator in (*SURE, ",")},
    **{f" {symbol} ": f"' {symbol} '" for symbol in ("/", "&", "+", ">", "-", "\u00b7", "and", "or")},
    "\u060c": "'\u060c'",
    **{separator: SEPARATORS[separator] for separator in (" ", "\n")},
    "/": "'/'",
    "#": "'#'",  # in CSV of doccano
}
# Separators between labels in brackets -> the outer brackets.
BRACKETS = {"><": ("<", ">"), ")(": ("(", ")"), "}{": ("{", "}"), "][": ("[", "]")}
MAX_VALUES = 20_000  # distinct values that are looked at
NO_SEPARATOR = "--label-separator none"
LEAST_SHARE = 0.1  # of the values that a separator is in, so that it is taken for one


def likely_separator(values: pl.Series) -> str | None:
    """The separator, as an option, that a tenth or more of the strings hold; None if there is none."""
    filled = values.filter(values.str.strip_chars() != "").str.strip_chars().head(MAX_VALUES)
    for separator, option in GUESSED.items():
        if filled.str.contains(separator, literal=True).mean() >= LEAST_SHARE:  # type: ignore[operator]
            return option
    return None


def without_brackets(strings: pl.Series, separator: str) -> pl.Series:
    """The strings [n] without the outer brackets that belong to a separator of brackets, such as `><`."""
    if separator not in BRACKETS:
        return strings
    first, last = BRACKETS[separator]
    return strings.str.strip_chars().str.strip_prefix(first).str.strip_suffix(last)


@dataclass
class SeparatorCheck:
    """Looks at values that should be one label, or several with `separator` between them, batch by batch.

    `separator` is None for lists: their items are single labels. `way_out` is what to do if another one
    separates the labels, by default to set it.
    """

    path: Path
    column: str
    separator: str | None
    way_out: str = ""
    values: int = 0
    split: int = 0
    sample: set[str] = field(default_factory=set)

    def add(self, values: pl.Series) -> None:
        """Look at a batch, string [n] without nulls."""
        filled = values.filter(values.str.strip_chars() != "")
        self.values += len(filled)
        if self.separator is not None:
            self.split += int(filled.str.contains(self.separator, literal=True).sum())
        if len(self.sample) < MAX_VALUES:
            self.sample.update(filled.unique(maintain_order=True).head(MAX_VALUES - len(self.sample)))

    def finish(self) -> None:
        """Warn if no value has the separator; raise XmcpipeError if another one surely separates labels."""
        if self.values < 2:
            return
        if self.split:
            self._check_pieces()
            return
        shown = None if self.separator is None else SEPARATORS.get(self.separator, repr(self.separator))
        for other, option in SEPARATORS.items():
            having = [value for value in self.sample if other in value.strip() and other != self.separator]
            if len(having) < max(1, LEAST_SHARE * len(self.sample)):
                continue
            if other not in SURE and not self._come_back_or_fewer(having, other):
                continue
            if other == " ":  # perhaps a symbol between blanks
                option = likely_separator(pl.Series(sorted(self.sample))) or option
            fault = f"no value in column {self.column!r} has the separator {shown}"
            if shown is None:
                fault = f"each list in column {self.column!r} holds one string"
            fault = f"{self.path}: {fault}, but {len(having):,} have {option}, such as {min(having)[:60]!r}"
            by_default = f"set --label-separator {option}" if shown else f"split the strings at {option}"
            way_out, single = self.way_out or by_default, "" if self.way_out else NO_SEPARATOR
            if other in SURE and self._fewer(other):
                raise XmcpipeError(
                    fault, f"{way_out}, or {single} if each is one label" if single else way_out
                )
            single = f" ({single} says so)" if single else ""
            message = "warning: %s: each is one label%s; if it holds several, %s"
            logger.warning(message, fault, single, way_out)
            return
        if shown is not None:
            message = "warning: %s: no value in column %r has the separator %s: each is one label, such as %r"
            if not self.way_out:
                message += f" ({NO_SEPARATOR} says so)"
            logger.warning(message, self.path, self.column, shown, min(self.sample)[:60])

    def _check_pieces(self) -> None:
        """Warn if many labels, split at the separator, still hold another one."""
        assert self.separator is not None
        pieces = {piece.strip() for value in self.sample for piece in value.split(self.separator)} - {""}
        if self._mixed():
            return
        others = [*SURE, *([","] if not self.separator.strip() else [])]
        if self.separator.strip() != self.separator and self.separator.strip():
            others.append(self.separator.strip())  # such as "," if the separator is ", "
        for other in others:
            having = [piece for piece in pieces if other in piece and other != self.separator]
            if len(having) >= max(1, LEAST_SHARE * len(pieces)):
                message = "warning: %s: %d labels in column %r hold %s, such as %r: is it the separator?"
                shown = SEPARATORS.get(other, repr(other))
                logger.warning(message, self.path, len(having), self.column, shown, min(having)[:60])
                return

    def _mixed(self) -> bool:
        """Warn, and return True, if some rows have another separator than the others."""
        assert self.separator is not None
        found = other_separator(self.sample, self.separator)
        if found is None:
            return False
        other, example = found
        own, its = (SEPARATORS.get(each, repr(each)) for each in (self.separator, other))
        split = min(value for value in self.sample if self.separator in value)
        message = "warning: %s: column %r has %s between labels in some rows, such as %r, and perhaps %s in "
        message += "others, such as %r: use one separator in all rows"
        logger.warning(message, self.path, self.column, own, split[:60], its, example[:60])
        return True

    def _come_back_or_fewer(self, having: list[str], other: str) -> bool:
        """Whether `_come_back`, or most values hold `other` and are made of fewer pieces."""
        return self._come_back(having, other) or (2 * len(having) > len(self.sample) and self._fewer(other))

    def _come_back(self, having: list[str], other: str) -> bool:
        """Whether most values that hold `other` have a piece that is a value itself."""
        whole = [any(piece.strip() in self.sample for piece in value.split(other)) for value in having]
        return 2 * sum(whole) >= len(whole)

    def _fewer(self, other: str) -> bool:
        """Whether splitting at `other` gives fewer distinct labels: then its pieces come back elsewhere."""
        return len({piece.strip() for value in self.sample for piece in value.split(other)}) < len(
            self.sample
        )
