"""Finds text in UTF-8 that was read in another encoding: "é" becomes "Ã©", and "’" becomes "â€™"."""

import logging
from pathlib import Path

import polars as pl

logger = logging.getLogger(__name__)

LOOKED_AT = 200
# What the first bytes of UTF-8 become in latin-1 and cp1252, followed by what may come second.
SECOND = "\u0080-\u00bf\u20ac\u0192\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u02c6\u02dc\u2013-\u203a\u2122"
MARKS = f"[\u00c2-\u00f4][{SECOND}]"
# What an encoding has where another has a letter or a quotation mark.
CONTROLS = {
    "[\u0080-\u0084\u0086-\u009f]": "control characters, as of cp1252 that was read as latin-1",
    "\ufffd": "U+FFFD, which stands for a character that was lost",
}
NOT_ASCII = r"[^\x00-\x7f]"


def warn_of_mojibake(path: Path, values: pl.Series) -> None:
    """Warn of control characters, and if most strings that aren't ASCII are UTF-8 read as latin-1 or cp1252.

    At most LOOKED_AT of the latter are looked at.
    """
    for pattern, what in CONTROLS.items():
        if len(found := values.filter(values.str.contains(pattern))):
            message = "warning: %s: %s texts or labels hold %s: is the encoding right (--encoding)?"
            logger.warning(message, path, f"{len(found):,}", what)
    others = values.filter(values.str.contains(NOT_ASCII)).head(LOOKED_AT)
    marked = [value for value in others.filter(others.str.contains(MARKS)) if restored(value) is not None]
    if len(marked) > len(others) / 2:
        given = next(value for value in marked)
        at = next(place for place, letter in enumerate(given) if ord(letter) > 127)
        part = given[max(0, at - 12) : at + 20]
        message = "warning: %s: characters look like UTF-8 that was read in another encoding, such as %r: "
        message += "is the encoding right (--encoding utf-8), or was the file saved so?"
        logger.warning(message, path, part)


def restored(value: str) -> str | None:
    """The text of which `value` is the wrong reading; None if there is none."""
    for codec in ("cp1252", "latin-1"):
        try:
            return value.encode(codec).decode()
        except UnicodeError:
            continue
    return None
