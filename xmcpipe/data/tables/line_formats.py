"""Reads files with a document on each line and no named columns, as other programs for this task use them.

    fasttext        __label__a __label__b text      labels are the words with the prefix, wherever they stand
    libmultilabel   id<TAB>a b<TAB>text             the id may be missing in all lines
    annif           text<TAB><uri> <uri>            labels are read without < and >
    pecos           0,3,17<TAB>text                 PECOS text2text; also with relevance, 0::1.0,3::0.5

A batch has the columns `text` string, `labels` list<string>, and `id` string if the lines have ids. Blank
lines are skipped.
"""

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.lines import text_lines
from xmcpipe.data.tables.selection import row_error
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

PECOS_LABELS = r"^\s*([0-9]+(::[0-9.eE+-]+)?(\s*,\s*[0-9]+(::[0-9.eE+-]+)?)*)?\s*$"


def read_lines(path: Path, format_: str, encoding: str, prefix: str) -> Iterator[pl.DataFrame]:
    """Yield the documents of a file in one of the LINE_FORMATS (see the module docstring), in batches.

    `prefix` begins the labels of fastText. Raises XmcpipeError, with the line, for a line that is not of the
    format, and for a file of fastText without any label.
    """
    read = READERS[format_](path, prefix)
    for first, lines in text_lines(path, encoding, carriage_returns=True):
        numbers = pl.int_range(first, first + len(lines), eager=True)
        filled = lines.str.strip_chars() != ""
        if filled.any():
            yield read(lines.filter(filled), numbers.filter(filled))


def _fasttext(path: Path, prefix: str) -> Callable[[pl.Series, pl.Series], pl.DataFrame]:
    marked = rf"(?:^|\s){re.escape(prefix)}\S*"
    some = False

    def read(lines: pl.Series, numbers: pl.Series) -> pl.DataFrame:
        nonlocal some
        words = pl.element().str.strip_chars_start().str.strip_prefix(prefix)
        labels = lines.str.extract_all(marked).list.eval(words)
        if not some and not (labels.list.len() > 0).any():
            first = lines[0].split(maxsplit=1)[0]
            raise row_error(
                path,
                f"line {numbers[0]}",
                f"expected labels, words that begin with {prefix!r}; got none, the line begins with "
                f"{first[:40]!r}",
                "name the prefix of labels with --label-prefix, or the format with --format",
            )
        some = True
        joined = labels.list.eval(pl.element().str.contains(prefix, literal=True)).list.any()
        if joined.any():
            row = int(joined.arg_max() or 0)
            raise row_error(
                path,
                f"line {numbers[row]}",
                f"expected blanks between labels, got a label with {prefix!r} in it: {labels[row][0][:60]!r}",
                "separate labels by blanks",
            )
        return pl.DataFrame({"text": lines.str.replace_all(marked, ""), "labels": labels})

    return read


def _libmultilabel(path: Path, _: str) -> Callable[[pl.Series, pl.Series], pl.DataFrame]:
    expected = 0

    def read(lines: pl.Series, numbers: pl.Series) -> pl.DataFrame:
        nonlocal expected
        tabs = lines.str.count_matches("\t")
        expected = expected or int(tabs[0])
        if expected not in (1, 2) or not (tabs == expected).all():
            row = int((tabs != expected).arg_max() or 0)
            columns = "id, labels and text" if expected == 2 else "labels and text"
            raise row_error(
                path,
                f"line {numbers[row]}",
                f"expected {columns} with tabs between them, got {tabs[row]} tabs: {lines[row][:60]!r}",
                "every line needs the same columns; texts hold no tabs",
            )
        parts = lines.str.split_exact("\t", 2).struct.unnest()
        names = ("field_0", "field_1", "field_2") if expected == 2 else ("", "field_0", "field_1")
        labels = parts[names[1]].str.extract_all(r"\S+").alias("labels")
        columns_ = [parts[names[2]].alias("text"), labels]
        return pl.DataFrame([*([parts[names[0]].alias("id")] if names[0] else []), *columns_])

    return read


def _annif(path: Path, _: str) -> Callable[[pl.Series, pl.Series], pl.DataFrame]:
    def read(lines: pl.Series, numbers: pl.Series) -> pl.DataFrame:
        parts = lines.str.splitn("\t", 2).struct.rename_fields(["text", "uris"]).struct.unnest()
        labels = parts["uris"].str.extract_all(r"\S+")
        wrong = parts["uris"].is_null() | ~(
            labels.list.eval(pl.element().str.contains(r"^<.*>$|:")).list.all().fill_null(True)
        )
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            raise row_error(
                path,
                f"line {numbers[row]}",
                f"expected a text, a tab, and subjects as <uri> <uri>, got {lines[row][:80]!r}",
                "name the format of the file with --format",
            )
        bare = labels.list.eval(pl.element().str.replace(r"^<(.*)>$", "$1"))
        return pl.DataFrame([parts["text"], bare.alias("labels")])

    return read


def _pecos(path: Path, _: str) -> Callable[[pl.Series, pl.Series], pl.DataFrame]:
    said = False

    def read(lines: pl.Series, numbers: pl.Series) -> pl.DataFrame:
        nonlocal said
        parts = lines.str.splitn("\t", 2).struct.rename_fields(["labels", "text"]).struct.unnest()
        right = parts["text"].is_not_null() & parts["labels"].str.contains(PECOS_LABELS)
        if not right.all():
            row = int((~right).arg_max() or 0)
            raise row_error(
                path,
                f"line {numbers[row]}",
                "expected numbers of labels, a tab, and a text, such as 0,3,17<TAB>text, got "
                f"{lines[row][:60]!r}",
                "name the format of the file with --format",
            )
        given = parts["labels"].str.extract_all(r"[0-9]+(::[^,\s]+)?")
        if not said and parts["labels"].str.contains("::", literal=True).any():
            said = True
            logger.info("%s: labels have a relevance, such as 3::0.5: above 0 counts, 0 is no label", path)
        relevance = pl.element().str.extract("::(.*)$", 1).cast(pl.Float64, strict=False).fill_null(1.0)
        label = pl.element().str.extract("^([0-9]+)", 1)
        labels = given.list.eval(label.filter(relevance > 0)).alias("labels")
        return pl.DataFrame([parts["text"], labels])

    return read


READERS: dict[str, Callable[[Path, str], Callable[[pl.Series, pl.Series], pl.DataFrame]]] = {
    "fasttext": _fasttext,
    "libmultilabel": _libmultilabel,
    "annif": _annif,
    "pecos": _pecos,
}


def require_line_format(format_: str, named: list[str]) -> None:
    """Raise XmcpipeError if options that name columns (`named`) are given for a format without columns."""
    if format_ in READERS and named:
        raise XmcpipeError(f"{', '.join(named)}: files of format {format_} have no columns", "remove it")
