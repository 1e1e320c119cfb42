"""Numbers of labels: codes, by first appearance, while reading; label ids once all labels are known."""

import numpy as np
import numpy.typing as npt
import polars as pl

from xmcpipe.errors import XmcpipeError

MAX_LABELS = 1 << 27  # limit of integer labels without a label table: larger ones are an error in the file
Int32s = npt.NDArray[np.int32]


class LabelCodes:
    """Gives each label name a code, 0, 1, …, by first appearance; each name is in memory once.

    The distinct names in `known` get the first codes. Labels may also be integers: these are the codes. They
    are positions in `known` or, if that is None, their own names ("0", "1", …).
    """

    def __init__(self, known: pl.Series | None = None) -> None:
        self._names = pl.Series("label", [] if known is None else known, pl.String)
        self._fixed = known is not None

    def encode(self, labels: pl.Series) -> Int32s:
        """The codes, int32 [n], of labels, string or integer [n] without nulls; new names get new codes.

        Raises XmcpipeError for an integer that is out of range.
        """
        if labels.dtype.is_integer():
            return self._check_numbers(labels)
        seen = labels.unique(maintain_order=True)
        fresh = seen.filter(~seen.is_in(self._names.implode())) if len(self._names) else seen
        self._names = pl.concat([self._names, fresh.alias("label")])
        codes = pl.int_range(len(self._names), dtype=pl.Int32, eager=True)
        if labels.is_empty():
            return np.empty(0, np.int32)
        return labels.replace_strict(self._names, codes, return_dtype=pl.Int32).to_numpy()

    def _check_numbers(self, labels: pl.Series) -> Int32s:
        """Integer labels as codes; without known names, every number up to the largest becomes a name."""
        numbers = labels.to_numpy()
        smallest, largest = int(numbers.min(initial=0)), int(numbers.max(initial=-1))
        limit = len(self._names) if self._fixed else MAX_LABELS
        if smallest < 0 or largest >= limit:
            raise XmcpipeError(
                f"expected labels from 0 to {limit - 1:,}, got {smallest if smallest < 0 else largest}",
                "check that labels and documents belong to the same dataset",
            )
        if largest >= len(self._names):
            fresh = pl.int_range(len(self._names), largest + 1, eager=True).cast(pl.String)
            self._names = pl.concat([self._names, fresh.alias("label")])
        return numbers.astype(np.int32, copy=False)

    @property
    def names(self) -> pl.Series:
        """The name of each code, string [codes]."""
        return self._names


def vocabulary(
    names: pl.Series, codes: Int32s, table: pl.DataFrame | None, whole_table: bool
) -> pl.DataFrame:
    """The label vocabulary: columns `label` string, `text` string or null, `code` int32 or null.

    Row i is label id i. `names` has the name of every code, and `codes` are the codes that stay. The label
    `table` (columns label and text, distinct labels) determines the order. Labels that are not in it follow;
    these, or all labels if there is no table, are sorted by `in_order`. With `whole_table`, labels of the
    table that no document has stay too, with a null code.
    """
    labels = pl.DataFrame({"label": names, "code": pl.int_range(len(names), dtype=pl.Int32, eager=True)})
    labels = labels.filter(pl.Series(np.isin(np.arange(len(names)), codes)))
    if table is None:
        return in_order(labels).select("label", pl.lit(None, pl.String).alias("text"), "code")
    listed = table.join(labels, on="label", how="left" if whole_table else "inner", maintain_order="left")
    rest = in_order(labels.join(table, on="label", how="anti")).with_columns(text=pl.lit(None, pl.String))
    return pl.concat([listed.select("label", "text", "code"), rest.select("label", "text", "code")])


def in_order(labels: pl.DataFrame) -> pl.DataFrame:
    """The rows sorted by the column `label`: whole numbers first and by value, so 2 comes before 10."""
    name = pl.col("label")
    # At most 18 digits, so that the number fits into int64; longer ones are sorted as text.
    number = pl.when(name.str.contains(r"^-?[0-9]{1,18}$")).then(name).cast(pl.Int64)
    return labels.sort(number.is_null(), number, name)
