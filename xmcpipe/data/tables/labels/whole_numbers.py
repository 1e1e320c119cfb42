"""Whole numbers that were saved as floats: a column with missing values turns 12 into 12.0."""

import logging
from collections.abc import Callable
from pathlib import Path

import polars as pl

from xmcpipe.lookalikes.spelling import WHOLE_FLOAT

logger = logging.getLogger(__name__)


class WholeNumbers:
    """Reads a column of plain values, or of lists of them, as strings; 12.0 becomes "12".

    In a column of floats, every whole number loses its ".0", and NaN is a missing value. In a column of text,
    whole numbers lose it if all values of the first batch are written so. The log says so once.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._text_is_whole: bool | None = None
        self._said = False

    def strings(self, column: pl.Series) -> pl.Series:
        """The values [n] as strings, or the lists [n] as lists of strings."""
        nested = isinstance(column.dtype, (pl.List, pl.Array))
        inner = column.dtype.inner if isinstance(column.dtype, (pl.List, pl.Array)) else column.dtype
        if isinstance(inner, pl.DataType) and inner.is_float():
            read = _each(column.cast(pl.List(pl.Float64) if nested else pl.Float64), _text, nested)
            values = (read.explode() if nested else read).drop_nulls()
            if len(whole := values.filter(values.str.contains("^-?[0-9]+$"))):
                self._say(f"{whole[0]}.0", whole[0])
            return read
        strings = column.cast(pl.List(pl.String) if nested else pl.String)
        if self._all_whole(strings.explode() if nested else strings):
            return _each(strings, lambda value: value.str.replace(WHOLE_FLOAT, "$1"), nested)
        return strings

    def _all_whole(self, values: pl.Series) -> bool:
        if self._text_is_whole is None:
            filled = values.filter(values.str.strip_chars() != "")  # drops nulls too
            if len(filled):
                self._text_is_whole = bool(filled.str.contains(WHOLE_FLOAT).all())
            if self._text_is_whole:
                self._say(given := filled[0].strip(), given.removesuffix(".0"))
        return bool(self._text_is_whole)

    def _say(self, given: str, read: str) -> None:
        if not self._said:
            message = "%s: column %r holds whole numbers written as floats: %s is read as %s"
            logger.info(message, self._path, self._name, given, read)
        self._said = True


def _each(column: pl.Series, change: Callable[[pl.Expr], pl.Expr], nested: bool) -> pl.Series:
    """The column with `change` applied to each value, or to each element of its lists."""
    if nested:
        return column.list.eval(change(pl.element()))
    return column.to_frame("value").select(change(pl.col("value"))).to_series()


def _text(number: pl.Expr) -> pl.Expr:
    number = pl.when(number.is_not_nan()).then(number)
    whole = (number == number.floor()) & (number.abs() < 2**53)
    return pl.coalesce(pl.when(whole).then(number).cast(pl.Int64).cast(pl.String), number.cast(pl.String))
