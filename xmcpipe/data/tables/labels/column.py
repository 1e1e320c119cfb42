"""Reads the labels of each row of a table, and checks that they are labels."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.labels.choices import CHOICES, with_choices
from xmcpipe.data.tables.labels.list_text import LOOKS_LIKE_A_LIST, parse_lists
from xmcpipe.data.tables.labels.multi_hot import VectorCheck, binary, named, read_vectors
from xmcpipe.data.tables.labels.no_separator import one_label
from xmcpipe.data.tables.labels.printed import PrintReader, no_list
from xmcpipe.data.tables.labels.separators import SeparatorCheck, likely_separator, without_brackets
from xmcpipe.data.tables.labels.single import as_lists, require_one
from xmcpipe.data.tables.labels.whole_numbers import WholeNumbers
from xmcpipe.data.tables.selection import row_error
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

QUOTED = r'(?s)^\s*".*"\s*$'


@dataclass(frozen=True)
class LabelSyntax:
    """How a table holds labels.

    column: the column of lists or, with `separator`, of strings; a separator "none": of one label each.
    columns: instead of it, one column of 0 and 1 for each label.
    multi_hot, names: the lists are vectors of 0 and 1, whose places are called `names`, else 0, 1, ….
    bare_uris: `<uri>` is read as `uri`.
    widths: file -> number of places of its vectors; tables that are imported together share it.
    """

    column: str = "labels"
    separator: str | None = None
    columns: tuple[str, ...] | None = None
    multi_hot: bool = False
    names: tuple[str, ...] | None = None
    bare_uris: bool = False
    widths: dict[Path, int] = field(default_factory=dict)


class LabelReader:
    """Reads the labels of one table, batch by batch; `finish` checks what only the whole table shows.

    `class_names` are the names of numbered classes that the file itself has (see tables/arrow.py), if any.
    `separators` looks for other separators than that of `syntax`.
    """

    def __init__(
        self,
        path: Path,
        syntax: LabelSyntax,
        class_names: Sequence[str] | None = None,
        separators: SeparatorCheck | None = None,
    ) -> None:
        self._path, self._syntax, self._class_names = path, syntax, class_names
        # The shell passes '\t' as two characters.
        given = syntax.separator
        self._one = one_label(given)
        given = None if self._one else given
        separator = None if given is None else given.replace("\\t", "\t").replace("\\n", "\n")
        if separator != given:
            logger.info("%s: the label separator %r is read as %r", path, given, separator)
        self._separator = separator
        self._vectors = VectorCheck(path, syntax.column)
        self._separators: SeparatorCheck | None = separators or SeparatorCheck(path, syntax.column, separator)
        if self._one:
            self._separators = None
        self._numbers, self._pieces = WholeNumbers(path, syntax.column), WholeNumbers(path, syntax.column)
        self._text_holds_lists: bool | None = None
        self._choices = False
        self._prints = PrintReader(path, syntax.column)
        self._named_vectors: bool | None = None
        self._places: tuple[str, ...] | None = syntax.names
        if class_names is not None:
            shown = ", ".join(class_names[:4]) + (", …" if len(class_names) > 4 else "")
            logger.info("%s: column %r numbers the classes %s", path, syntax.column, shown)

    def read(self, rows: pl.DataFrame, first_row: int) -> pl.Series:
        """The labels of n rows, list<string> [n], stripped, without nulls and blanks; `first_row` is from 0.

        Raises XmcpipeError for a column that does not hold labels.
        """
        lists = self._read(rows, first_row)
        if self._one:
            require_one(lists, self._path, self._syntax.column, first_row)
        return lists

    def _read(self, rows: pl.DataFrame, first_row: int) -> pl.Series:
        if self._syntax.columns is not None:
            return self._of_columns(rows, self._syntax.columns, first_row)
        column = rows[self._syntax.column]
        if isinstance(column.dtype, pl.Array):
            column = column.cast(pl.List(column.dtype.inner))
        names = self._class_names if _whole(column) else None
        if self._syntax.multi_hot or (names is not None and self._holds_vectors(column, len(names))):
            return self._of_vectors(column, self._class_names or self._places, first_row)
        if names is not None:
            return self._of_classes(column, names, first_row)
        lists = self._lists(column, first_row)
        clean = pl.element().str.strip_chars()
        if self._syntax.bare_uris:
            clean = clean.str.replace(r"^<(.*)>$", "$1")
        lists = lists.list.eval(clean.filter(clean.is_not_null() & (clean != ""))).fill_null([])
        self._vectors.add(lists)
        return lists

    def finish(self) -> None:
        """Raises XmcpipeError, or logs a warning, if all rows together show that these are no labels."""
        if self._syntax.columns is None and not self._syntax.multi_hot:
            self._vectors.finish()
            if self._separators is not None:
                self._separators.finish()

    def _holds_vectors(self, column: pl.Series, width: int) -> bool:
        """Whether lists of numbers with names in the file are 0/1 vectors, as the first rows show."""
        filled = column.filter(column.list.len() > 0) if column.dtype.is_nested() else column.clear()
        if self._named_vectors is None and len(filled):
            whole = bool((filled.list.len() == width).all()) and bool(filled.explode().is_in([0, 1]).all())
            # Lists of classes have no class twice, and are sorted more often than not.
            self._named_vectors = whole and bool((filled.list.unique().list.sort() != filled).any())
        return bool(self._named_vectors)

    def _of_vectors(self, column: pl.Series, names: Sequence[str] | None, first_row: int) -> pl.Series:
        """The names of the places that are 1 in each vector, list<string> [n]."""
        path = self._path
        lists, places = read_vectors(
            self._lists(column, first_row), names, path, self._syntax.column, first_row
        )
        self._separators = None
        if names is None and places:
            message = "%s: labels are named by their place in the vectors, 0 to %d (names: --label-table)"
            logger.info(message, path, len(places) - 1)
            self._places = places
            other = next((each for each, width in self._syntax.widths.items() if width != len(places)), None)
            if other is not None:
                raise XmcpipeError(
                    f"{path}: expected vectors of {self._syntax.widths[other]:,} places, as {other} has, got "
                    f"{len(places):,}",
                    "all vectors need a place for each label",
                )
            self._syntax.widths[path] = len(places)
        return lists

    def _lists(self, column: pl.Series, first_row: int) -> pl.Series:
        """The column as lists of strings, list<string> [n]."""
        if isinstance(column.dtype, pl.List):
            return self._of_lists(column)
        if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
            raise self._unexpected(column, "name a column of lists or text")
        strings = self._numbers.strings(column).fill_null("")
        if self._one:
            return self._pieces.strings(as_lists(strings))
        if self._choices or strings.str.contains(CHOICES).any():
            self._choices, self._separators = True, None
            return self._pieces.strings(with_choices(strings, self._separator))
        if self._syntax.bare_uris:
            strings = strings.str.replace_all(r"\s+", " ")
        if (lists := self._prints.read(strings, first_row)) is not None:
            self._separators = None
            return self._numbers.strings(lists)
        if (lists := self._of_list_text(strings, first_row)) is not None:
            return lists
        self._prints.require_none(strings)
        if self._separator is None:
            if not (strings.str.strip_chars() != "").any():
                return pl.Series(column.name, [None] * len(column), pl.List(pl.String))
            way_out = "set label_separator (--label-separator) to the text between two labels"
            guessed = likely_separator(strings)
            example = f", here perhaps {guessed}" if guessed else ", such as ';'"
            raise self._unexpected(column, f"{way_out}{example}, or to none if each row has one label")
        if strings.str.contains(QUOTED).mean() > 0.5:  # type: ignore[operator]
            raise XmcpipeError(
                f"{self._path}: expected labels in column {self._syntax.column!r}, got values in double "
                f"quotes, such as {strings.filter(strings.str.contains(QUOTED))[0][:60]}",
                "set --quotes double (quotes)",
            )
        strings = without_brackets(strings, self._separator)
        if self._separators is not None:
            self._separators.add(strings)
        return self._pieces.strings(strings.str.split(self._separator))

    def _of_lists(self, column: pl.Series) -> pl.Series:
        """A column of lists as list<string> [n]; the items of structs are their `uri`."""
        assert isinstance(column.dtype, pl.List)
        inner = column.dtype.inner
        if isinstance(inner, pl.Struct) and any(each.name == "uri" for each in inner.fields):
            column = column.list.eval(pl.element().struct.field("uri"))
            inner = pl.String()
        assert isinstance(inner, pl.DataType)
        if inner.is_nested() or inner.is_temporal() or inner in (pl.Binary, pl.Object):
            raise self._unexpected(column, "write each label as a string")
        if self._separator is not None:
            message = "%s: column %r holds lists: the separator %r is not used"
            logger.info(message, self._path, self._syntax.column, self._separator)
            self._separator, self._separators = None, SeparatorCheck(self._path, self._syntax.column, None)
        lists = self._numbers.strings(column)
        check = self._separators
        if check is not None and check.separator is not None:
            check.add(lists.list.join(check.separator).fill_null(""))
        elif check is not None:
            several = bool((lists.list.len() > 1).any())
            self._separators = None if several else self._separators
            if self._separators is not None:
                self._separators.add(lists.explode().drop_nulls())
        return lists

    def _of_list_text(self, strings: pl.Series, first_row: int) -> pl.Series | None:
        """The lists that were saved as text, list<string> [n]; None if the column is other text."""
        filled = strings.filter(strings.str.strip_chars() != "")
        if self._text_holds_lists is False or filled.is_empty():
            return None
        looks = filled.str.contains(LOOKS_LIKE_A_LIST)
        if self._text_holds_lists is None and not looks.all():
            if looks.mean() > 0.5 and parse_lists(filled.filter(looks))[1] is None:  # type: ignore[operator]
                raise no_list(self._path, self._syntax.column, strings, filled.filter(~looks)[0], first_row)
            self._text_holds_lists = False
            return None
        lists, fault = parse_lists(strings)
        if fault is not None and self._text_holds_lists is None and self._separator is not None:
            self._text_holds_lists = False
            return None
        if fault is not None:
            raise no_list(self._path, self._syntax.column, strings, fault, first_row)
        if self._text_holds_lists is None:
            unused = "" if self._separator is None else f"; the separator {self._separator!r} is not used"
            message = "%s: column %r holds lists saved as text, such as %s%s"
            logger.info(message, self._path, self._syntax.column, filled[0][:60], unused)
        self._text_holds_lists = True
        self._separators = None
        return self._numbers.strings(lists)

    def _of_classes(self, column: pl.Series, names: Sequence[str], first_row: int) -> pl.Series:
        """The names of numbered classes, one or a list of them in each row; -1 is a missing one."""
        lists = column if column.dtype.is_nested() else column.reshape((-1, 1))
        lists = lists.cast(pl.List(pl.Int64))
        wrong = (lists.list.min() < -1) | (lists.list.max() >= len(names))
        if wrong.fill_null(False).any():
            row = int(wrong.fill_null(False).arg_max() or 0)
            raise row_error(
                self._path,
                f"row {first_row + row + 1}",
                f"expected classes from 0 to {len(names) - 1:,} in {self._syntax.column!r}, as the names in "
                f"the file are numbered, got {lists[row].to_list()[:8]}",
                "correct the classes, or remove their names from the file",
            )
        numbers = pl.element().filter(pl.element() >= 0)
        codes = list(range(len(names)))
        named_ = numbers.replace_strict(codes, list(names), return_dtype=pl.String)
        return lists.list.eval(named_).fill_null([]).alias(self._syntax.column)

    def _of_columns(self, rows: pl.DataFrame, names: tuple[str, ...], first_row: int) -> pl.Series:
        """The names of the columns that are 1 in each row; a blank or missing value counts as 0."""
        columns: list[pl.Series] = []
        for name in names:
            if rows[name].dtype.is_nested():
                raise XmcpipeError(
                    f"{self._path}: expected 0 and 1 in column {name!r}, got {rows[name].dtype}",
                    "read 0/1 vectors with --multi-hot",
                )
            values = rows[name].cast(pl.String).fill_null("0").replace("", "0")
            bits = binary(values)
            if bits.null_count():
                row = int(bits.is_null().arg_max() or 0)
                raise row_error(
                    self._path,
                    f"row {first_row + row + 1}",
                    f"expected 0 or 1 in column {name!r}, got {values[row]!r}",
                    "name only columns of 0 and 1 with --label-columns",
                )
            columns.append(bits.alias(str(len(columns))))
        return named(pl.DataFrame(columns).to_numpy() > 0, names)

    def _unexpected(self, column: pl.Series, hint: str) -> XmcpipeError:
        expected = "lists" if self._separator is None else "strings"
        return XmcpipeError(
            f"{self._path}: expected {expected} in column {self._syntax.column!r}, got {column.dtype}", hint
        )


def _whole(column: pl.Series) -> bool:
    """Whether the column holds whole numbers, or lists of them."""
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else column.dtype
    return isinstance(inner, pl.DataType) and inner.is_integer()
