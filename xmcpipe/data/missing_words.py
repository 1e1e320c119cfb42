"""Words that programs write for a missing value: as a text or a label, they are most likely a mistake."""

import polars as pl

MISSING_WORDS = (
    *("nan", "NaN", "NAN", "NaT", "None", "null", "Null", "NULL", "NA", "N/A", "n/a", "<NA>", "#N/A"),
    *("#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "undefined"),
)


def missing_words(values: pl.Series) -> pl.Series:
    """The strings among `values`, string [n] without blanks around them, that stand for a missing value."""
    return values.filter(values.is_in(MISSING_WORDS))
