"""Finds labels that are one label for a reader, and two for a program."""

import logging

import polars as pl

logger = logging.getLogger(__name__)

# Characters without a width: joiners, marks of direction, soft hyphens, byte order marks.
INVISIBLE = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]"
NOTICED = 0.1  # share of the labels that differ only in case from which a warning appears


def warn_of_twins(used: pl.Series) -> None:
    """Warn of labels, string [n] and distinct, that look the same; and of many that differ only in case."""
    seen = used.str.replace_all(INVISIBLE, "").str.normalize("NFC").str.replace_all(r"\s+", " ")
    seen = seen.str.strip_chars()
    same = used.filter(seen.is_duplicated())
    if len(same):
        message = "warning: %s labels look like another one, and differ in blanks or invisible characters: %s"
        logger.warning(message, f"{len(same):,}", _pair(used, seen))
    lower = seen.str.to_lowercase()
    alike = lower.is_duplicated() & ~seen.is_duplicated()
    if alike.sum() >= max(2, NOTICED * len(used)):
        message = "warning: %s of %s labels differ from another one only in case: %s"
        logger.warning(message, f"{int(alike.sum()):,}", f"{len(used):,}", _pair(used, lower))


def _pair(used: pl.Series, keys: pl.Series) -> str:
    """The first two labels with one key, as ASCII: otherwise they would look the same in the message too."""
    first = keys.filter(keys.is_duplicated())[0]
    one, other = used.filter(keys == first).head(2)
    return f"{one[:60]!a} and {other[:60]!a}"
