"""Words that programs write for a missing value: as a text or a label, they are most likely a mistake."""

import polars as pl

MISSING_WORDS = (
    *("nan", "NaN", "NAN", "NaT", "None", "null", "Null", "NULL", "NA", "N/A", "n/a", "<NA>", "#N/A"),
    *("#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "undefined", "\\N", "(blank)"),
)


def missing_words(values: pl.Series) -> pl.Series:
    """The strings among `values`, string [n] without blanks around them, that stand for a missing value.

    NA is none among other codes of two letters: it is Namibia.
    """
    found = values.filter(values.is_in(MISSING_WORDS))
    if "NA" in found and values.str.contains("^[A-Z]{2}$").mean() > 0.5:  # type: ignore[operator]
        return found.filter(found != "NA")
    return found
