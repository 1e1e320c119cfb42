"""How the stages `import` and `grow` read tables: their recipe tables have these keys in common."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xmcpipe.config import later
from xmcpipe.data.tables.labels.no_separator import one_label

if TYPE_CHECKING:
    from xmcpipe.data.tables.formats import TextFileOptions

Format = Literal[
    "auto",
    "jsonl",
    "json",
    "csv",
    "tsv",
    "parquet",
    "arrow",
    "fasttext",
    "libmultilabel",
    "annif",
    "pecos",
]

# Raise it when a table gives other documents or labels than before, or is refused from now on: what older
# versions made of the same file is then not reused.
READER_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class TableKeys:
    """Formats and columns of tables of documents, and of a table of labels."""

    format: Format = later("auto")  # noqa: RUF009 (a field, as the others)
    """Format of train and test. By default the file's ending decides, and for .txt and .tsv the first lines:
    fasttext (`__label__a text`), libmultilabel (id, labels, text, with tabs between them), annif (text, a
    tab, and `<uri> <uri>`) or pecos (`0,3`, a tab, and a text).
    """

    text: tuple[str, ...] | None = None
    """Columns whose values, joined by text_separator, are the text of a document; empty values are skipped.
    The default is "text", or "title" and "content" in a folder of layout xc_raw.
    """

    text_separator: str = " "
    """Text between the values of two text columns."""

    label_separator: str | None = None
    """Separator of labels in a string, such as ";" for "a; b"; `\\t` is a tab, and "none" says that each row
    has one label, whatever it contains. Without it, the column must hold lists, which may be saved as text.
    """

    label_prefix: str = later("__label__")
    """Beginning of the labels in a file of format fasttext."""

    encoding: str = "utf-8"
    """Text encoding of all files but Parquet and Arrow."""

    header: bool = True
    """Whether CSV and TSV tables have a header line; without a header, columns are called 1, 2, and so on."""

    quotes: Literal["auto", "double", "none"] = "auto"
    """Quoting of fields in CSV and TSV: "auto" is double quotes in CSV and none in TSV."""

    delimiter: str | None = later(None)
    """Character between the columns of CSV and TSV, such as ";". By default a tab in TSV; in CSV a comma or,
    if the first line has none, a character that all of the first lines have.
    """

    label_column: str = "label"
    """Column of the label names in the label table; "#" if labels are the numbers of its rows, from 0."""

    label_text_column: str = "text"
    """Column of the label texts in the label table."""

    label_header: bool = True
    """Whether the label table has a header line. Without a header (CSV and TSV), a line is the label, the
    delimiter, and the text of the label.
    """

    def check_table_keys(self) -> None:
        """Raise ValueError for an empty value, and for a delimiter of several characters."""
        if self.text == ():
            raise ValueError("expected one or more columns in text, got none")
        if self.label_separator == "":
            raise ValueError("expected the text between labels in label_separator, got an empty one")
        if self.label_prefix == "":
            raise ValueError("expected the beginning of labels in label_prefix, got an empty one")
        if (
            self.delimiter is not None
            and self.delimiter != r"\t"
            and (len(self.delimiter) != 1 or not self.delimiter.isascii())
        ):
            raise ValueError(f"expected one ASCII character in delimiter, got {self.delimiter!r}")

    @property
    def one_label(self) -> bool:
        """Whether each row of a table of documents has one label, as label_separator says."""
        return one_label(self.label_separator)

    @property
    def document_files(self) -> "TextFileOptions":
        """How tables of documents are read."""
        from xmcpipe.data.tables.formats import TextFileOptions

        return TextFileOptions(
            encoding=self.encoding,
            header=self.header,
            quotes=self.quotes,
            format=self.format,
            label_prefix=self.label_prefix,
            delimiter=None if self.delimiter is None else self.delimiter.replace(r"\t", "\t"),
        )

    @property
    def label_files(self) -> "TextFileOptions":
        """How the table of labels is read."""
        from xmcpipe.data.tables.formats import TextFileOptions

        return TextFileOptions(self.encoding, self.label_header, self.quotes)
