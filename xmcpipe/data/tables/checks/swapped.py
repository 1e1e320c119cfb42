"""Compares the texts of a table with its labels: the two columns may be swapped."""

import logging
from pathlib import Path

import polars as pl

logger = logging.getLogger(__name__)

# Scripts without blanks between words: Thai and Lao, Japanese, Chinese.
DENSE = r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]"


def warn_of_swapped(path: Path, text: pl.Series, labels: pl.Series) -> None:
    """Warn if the text and the labels column may be swapped: string [n], list<string> [n].

    Then documents have more labels than words, or labels of several words that are longer than the texts; and
    labels come back less often than names of many documents do, or texts come back.
    """
    names, words = labels.explode().drop_nulls(), _words(text)
    name_words = _words(names)
    if len(text) < 3 or name_words <= words:
        return
    if names.n_unique() < 0.5 * len(names) and text.n_unique() > 0.9 * len(text):
        return
    if len(names) > words or name_words >= 3 * len(names):
        message = "warning: %s: documents have %s words and %s labels of %s words, such as %r: "
        message += "are the text and the labels column swapped?"
        counts = (f"{words:,}", f"{len(names):,}", f"{name_words:,}")
        logger.warning(message, path, *counts, names[0][:60])


def _words(values: pl.Series) -> int:
    """The number of words; scripts without blanks have about two characters a word."""
    dense = int(values.str.count_matches(DENSE).sum())
    return int(values.str.count_matches(r"\S+").sum()) + dense // 2
