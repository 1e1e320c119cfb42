"""Reads the label table, which gives labels their texts and determines their order.

Vocabularies of Annif are label tables too. Their labels are URIs, here without brackets around them:

    <http://ex.org/p1>    cats    59.9          TSV without a header: URI, label and perhaps a notation
    uri,label_en,notation                       CSV: the text of a label is in a column of its language
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.checks.first_rows import without_note
from xmcpipe.data.tables.checks.headers import NAMES, TEXTS
from xmcpipe.data.tables.checks.opening import first_lines, unpacked_name
from xmcpipe.data.tables.delimited import likely_delimiter, table_delimiter
from xmcpipe.data.tables.detect import format_of
from xmcpipe.data.tables.formats import TextFileOptions, read_rows
from xmcpipe.data.tables.labels.uris import bare_uris
from xmcpipe.data.tables.labels.whole_numbers import WholeNumbers
from xmcpipe.data.tables.lines import text_blocks, text_lines
from xmcpipe.data.tables.selection import Selection
from xmcpipe.errors import XmcpipeError, require_file

logger = logging.getLogger(__name__)

# The first lines of Annif's TSV, and those of TSV whose first line can't be a header either.
ANNIF, ADDRESSES = re.compile(r"<[^<>\s]+>\t"), re.compile(r"(<[^<>\s]+>|https?://\S+)\t")
LANGUAGES = re.compile(r"label_[A-Za-z]+([_-][A-Za-z]+)*")  # columns of Annif's CSV
KEYS = (*NAMES, "uri", "id", "code", "notation")  # names of columns of a label table
COMMENT = re.compile(r"^(#+ |//|;;|%% )")  # not a label such as #art
ROW_NUMBER = "#"  # the name of the column of labels, if labels are the row numbers of the table, from 0


def read_label_table(path: Path, label: str, text: str, options: TextFileOptions) -> pl.DataFrame:
    """A frame with the columns `label` string, distinct, and `text` string, null if blank, in file order.

    The arguments `label` and `text` are the names of the columns in the file, and may be equal; with the
    `label` ROW_NUMBER, labels are the numbers of the rows, from 0. In a CSV or TSV file without a header, a
    line is a label, the delimiter, and the text of the label up to the end of the line. In a .txt file, a
    line is a label. If a label has several rows, the first one counts. Labels of the form `<uri>` lose their
    brackets. Raises the errors of `read_rows`, and XmcpipeError for a table without labels.
    """
    table = _read(path, label, text, options)
    table = table.with_columns(bare_uris(table["label"]))
    table = table.filter(pl.col("label") != "")
    _warn_of_repeats(path, table)
    table = table.unique("label", keep="first", maintain_order=True)
    if table.is_empty():
        raise XmcpipeError(
            f"{path}: expected at least one label, got none", "check label_table and label_column"
        )
    return table.with_columns(pl.when(pl.col("text") != "").then(pl.col("text")))


def read_label_names(path: Path, label: str, text: str, options: TextFileOptions) -> tuple[str, ...]:
    """The names of labels by their place in a 0/1 vector: the rows of the label table, in file order.

    The arguments are those of `read_label_table`. Raises its errors, and XmcpipeError for a blank or repeated
    name, because then places and rows don't match.
    """
    names = bare_uris(_read(path, text if label == ROW_NUMBER else label, text, options)["label"])
    if (names == "").any() or names.is_duplicated().any():
        row = int(((names == "") | names.is_duplicated()).arg_max() or 0)
        raise XmcpipeError(
            f"{path}, row {row + 1}: expected distinct names, a row for each place of the vectors, "
            f"got {names[row]!r}",
            "check label_table and label_column",
        )
    return tuple(names)


def read_whole_label_table(path: Path, label: str, text: str, options: TextFileOptions) -> pl.DataFrame:
    """All rows: `label` string, also blank and repeated ones, as in the file; `text` string, null if blank.

    The arguments are those of `read_label_table`, and so are the errors, but for a table without labels.
    """
    table = _read(path, label, text, options)
    return table.with_columns(pl.when(pl.col("text") != "").then(pl.col("text")))


def _read(path: Path, label: str, text: str, options: TextFileOptions) -> pl.DataFrame:
    """All rows of the table: the columns `label` and `text`, strings without nulls."""
    empty = pl.DataFrame(schema={"label": pl.String, "text": pl.String})
    require_file(path, "label_table")
    numbered = label == ROW_NUMBER
    if unpacked_name(path).endswith(".txt"):
        lines = [_clean(part.alias("label")) for _, part in text_lines(path, options.encoding, True)]
        names = pl.concat([empty["label"], *lines])
        _require_names(path, options.encoding, names)
        table = pl.DataFrame([names, names.alias("text")])
    else:
        table = pl.concat([empty, *_read_table(path, text if numbered else label, text, options)])
    if numbered:
        return table.with_columns(label=pl.int_range(pl.len()).cast(pl.String))
    return table


def _require_names(path: Path, encoding: str, names: pl.Series) -> None:
    """Raise XmcpipeError if a line of a .txt file holds columns; warn if the first one is a header."""
    lines = first_lines(path, encoding)
    if len(lines) > 1 and all("\t" in line for line in lines):
        raise XmcpipeError(
            f"{path}: expected a label on each line, got tabs between columns: {lines[0][:60]!r}",
            "call it .tsv, with --no-label-header if it has no header",
        )
    if len(names) and names[0].lower() in NAMES:
        message = "warning: %s: the first line, %r, is read as a label: remove it if it is a header"
        logger.warning(message, path, names[0])
    elif len(names) > 1 and COMMENT.match(names[0]) and not names[1:].str.contains(COMMENT.pattern).any():
        message = "warning: %s: the first line, %r, is read as a label: remove it if it is a comment"
        logger.warning(message, path, names[0][:60])


def _warn_of_repeats(path: Path, table: pl.DataFrame) -> None:
    """Warn if a label has several texts, of which only the first one counts."""
    texts = table.unique(maintain_order=True).filter(pl.col("text") != "")
    repeated = texts.filter(texts["label"].is_duplicated())
    if len(repeated):
        label = repeated["label"][0]
        first, second = table.filter(pl.col("label") == label)["text"].unique(maintain_order=True)[:2]
        message = (
            "warning: %s: the first text of a label counts, and %s of them have several: %r has %r and %r"
        )
        logger.warning(message, path, f"{repeated['label'].n_unique():,}", label, first[:60], second[:60])


def _read_table(path: Path, label: str, text: str, options: TextFileOptions) -> Iterator[pl.DataFrame]:
    options = replace(options, format="auto", no_header="--no-label-header")
    format_ = format_of(path)
    if format_ in ("csv", "tsv"):
        lines = first_lines(path, options.encoding)
        if options.header and format_ == "tsv" and lines and all(map(ADDRESSES.match, lines)):
            logger.info("%s: labels are URIs, and there is no header, as in vocabularies of Annif", path)
            options = replace(options, header=False)
        if not options.header:
            yield from _read_pairs(path, format_, options, annif=any(map(ANNIF.match, lines[:1])))
            return
        label, text = _columns_of_annif(path, lines, format_, (label, text))
    ways_out = {
        text: f"name the column of texts with --label-text-column; {label} if labels have no other text",
        label: "name the column of labels with --label-column",
    }
    selection = Selection((*dict.fromkeys((label, text)),), ways_out=ways_out)
    numbers = WholeNumbers(path, label)
    for rows in read_rows(path, selection, options):
        labels = _clean(numbers.strings(rows[label])).alias("label")
        yield pl.DataFrame([labels, _clean(rows[text].cast(pl.String)).alias("text")])


def _columns_of_annif(
    path: Path, lines: list[str], format_: str, columns: tuple[str, str]
) -> tuple[str, str]:
    """The `columns` of labels and texts; those of Annif's CSV if the file lacks the ones by default.

    Raises XmcpipeError for texts in several languages.
    """
    text = "".join(line + "\n" for line in lines)
    default = "," if format_ == "csv" else "\t"
    found = likely_delimiter(path, without_note(text)[0], default, lambda names: "uri" in names)
    languages = [] if found is None else [name for name in found[1] if LANGUAGES.fullmatch(name)]
    if found is None or not languages:
        return columns
    label, text = columns
    names = found[1]
    if text == "text" and text not in names:
        if len(languages) > 1:
            raise XmcpipeError(
                f"{path}: expected one column of label texts, got {', '.join(languages[:8])}",
                f"name one with --label-text-column (label_text_column), such as {languages[0]}",
            )
        text = languages[0]
    if label == "label" and label not in names:
        label = "uri"
    if (label, text) != columns:
        message = "%s: labels are read from %r, their texts from %r, as in vocabularies of Annif"
        logger.info(message, path, label, text)
    return (text if columns[0] == columns[1] else label), text


def _read_pairs(path: Path, format_: str, options: TextFileOptions, annif: bool) -> Iterator[pl.DataFrame]:
    """The labels and texts of a table without a header; in a vocabulary of `annif`, a notation follows.

    Raises XmcpipeError if the first line is a header.
    """
    # The table reader is not used: label texts contain tabs or commas, which it would take for delimiters.
    delimiter = table_delimiter(path, options.encoding, "," if format_ == "csv" else "\t")
    quoted = options.quotes == "double" or (options.quotes == "auto" and format_ == "csv")
    for line, block in text_blocks(path, options.encoding, carriage_returns=True):
        block = without_note(block)[0] if line == 1 else block
        lines = pl.Series(block.removesuffix("\n").split("\n")).str.strip_chars_end("\r")
        first = rf'"(?:[^"]|"")*"|[^{re.escape(delimiter)}]*' if quoted else f"[^{re.escape(delimiter)}]*"
        parts = lines.str.extract_groups(rf"^\s*({first})\s*(?:{re.escape(delimiter)}(.*))?$").struct.unnest()
        labels, texts = (parts[name].fill_null("") for name in ("1", "2"))
        if line == 1:
            _require_no_header(path, labels[0], texts[0].split(delimiter)[0])
        texts = texts.str.replace(r"\t.*$", "") if annif else texts
        if quoted:
            labels, texts = _unquoted(labels), _unquoted(texts)
        yield pl.DataFrame([_clean(labels).alias("label"), _clean(texts).alias("text")])


def _unquoted(column: pl.Series) -> pl.Series:
    """The strings; those in double quotes without them."""
    inner = column.str.extract(r'^\s*"((?:[^"]|"")*)"\s*$', 1)
    return inner.str.replace_all('""', '"', literal=True).fill_null(column)


def _require_no_header(path: Path, label: str, text: str) -> None:
    """Raise XmcpipeError if the first cells of a table without a header are names of columns."""
    label, text = (cell.strip('" ').lower() for cell in (label, text))
    if label in KEYS and (text in (*KEYS, *TEXTS) or LANGUAGES.fullmatch(text)):
        raise XmcpipeError(
            f"{path}: expected a label in the first line, got a header: {label!r}, {text!r}",
            "read it as the header, without --no-label-header",
        )


def _clean(column: pl.Series) -> pl.Series:
    """The strings without nulls, stripped, and with each run of blanks replaced by one."""
    return column.fill_null("").str.replace_all(r"\s+", " ").str.strip_chars()
