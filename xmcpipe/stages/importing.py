"""`import`: makes the raw artifact from the user's own tables, or from the folder of a public dataset.

If there is a label table, labels are numbered in its order, followed by the labels that it lacks. Otherwise
they are sorted, whole numbers first and by value. Files are identified by their bytes: a renamed or moved
file gives the same artifact.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.artifacts.versions import RAW_VERSION
from xmcpipe.config import runtime
from xmcpipe.data.layouts import LayoutOptions, detect_layout, find_layout, layout_files, read_layout
from xmcpipe.data.raw.documents import DocumentSet
from xmcpipe.data.raw.policies import Policies
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.stages.stage import Result, Stage


@dataclass(frozen=True, kw_only=True)
class ImportConfig(Policies):
    """The recipe table [import]: what to read, and (Policies) which documents to keep."""

    folder: str | None = runtime(None)
    """Folder of a dataset in a public layout (see xmcpipe/data/layouts), instead of tables. Of the keys for
    tables, only text, text_separator and encoding apply then.
    """

    layout: str = runtime("auto")
    """Layout of the folder; "auto" detects it from the file names."""

    train: str | None = runtime(None)
    """Table of the training documents: JSONL, CSV, TSV (each also .gz) or Parquet, by file extension."""

    test: str | None = runtime(None)
    """Table of the test documents; without it, the table of `train` is split by a hash of the ids."""

    id: str = ""
    """Column of the document ids; by default "id" if there is such a column, else the row number from 0."""

    text: tuple[str, ...] | None = None
    """Columns whose values, joined by text_separator, are the text of a document; empty values are skipped.
    The default is "text", or "title" and "content" in a folder of layout xc_raw.
    """

    text_separator: str = " "
    """Text between the values of two text columns."""

    labels: str = "labels"
    """Column of the labels of a document: lists, or (with label_separator) strings."""

    label_separator: str | None = None
    """Separator of labels in a string, such as ";" for "a; b". Without it, the column must hold lists."""

    encoding: str = "utf-8"
    """Text encoding of JSONL, CSV and TSV files."""

    header: bool = True
    """Whether CSV and TSV tables have a header line; without a header, columns are called 1, 2, and so on."""

    quotes: Literal["auto", "double", "none"] = "auto"
    """Quoting of fields in CSV and TSV: "auto" is double quotes in CSV and none in TSV."""

    label_table: str | None = runtime(None)
    """Table of the labels in the order of their ids, with their texts."""

    label_column: str = "label"
    """Column of the label names in the label table."""

    label_text_column: str = "text"
    """Column of the label texts in the label table."""

    label_header: bool = True
    """Whether the label table has a header line. Without a header (CSV and TSV), a line is the label, the
    delimiter, and the text of the label.
    """

    def __post_init__(self) -> None:
        """Raise ValueError for keys that don't fit together."""
        super().__post_init__()
        if (self.folder is None) == (self.train is None):
            got = "neither" if self.train is None else "both"
            raise ValueError(f"expected either train (a table) or folder (of a dataset), got {got}")
        if self.layout != "auto":
            _require_layout(self.layout)
        if self.text == ():
            raise ValueError("expected one or more columns in text, got none")
        if self.label_separator == "":
            raise ValueError("expected the text between labels in label_separator, got an empty one")

    @property
    def files(self) -> dict[str, Path]:
        """The files to read: role -> path, in a fixed order.

        Raises XmcpipeError for a folder of unknown layout.
        """
        if self.folder is not None:
            return layout_files(Path(self.folder), self.folder_layout)
        named = {"train": self.train, "test": self.test, "label_table": self.label_table}
        return {role: Path(name) for role, name in named.items() if name is not None}

    @property
    def folder_layout(self) -> str:
        """The layout of the folder, detected or configured; empty for tables."""
        if self.folder is None:
            return ""
        return detect_layout(Path(self.folder)) if self.layout == "auto" else self.layout


def _require_layout(name: str) -> None:
    try:
        find_layout(name)
    except XmcpipeError as error:
        raise XmcpipeError(f"import.layout: {error.message}", error.hint) from error


def source(config: ImportConfig) -> str:
    """One sha256 over the roles and bytes of the files. Raises XmcpipeError for a missing file."""
    # The roles are part of the hash, because swapping the training and the test file gives other data.
    digest = hashlib.sha256(config.folder_layout.encode())
    for role, path in config.files.items():
        digest.update(f"{role} {sha256_of_file(require_file(path, f'import.{role}'))}\n".encode())
    return digest.hexdigest()


def run(config: ImportConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write the raw artifact into `out`.

    Raises XmcpipeError for a file that can't be read, and if a policy refuses the documents.
    """
    from xmcpipe.data.raw.writing import write_raw

    documents = _tables(config) if config.folder is None else _folder(config)
    figures, rows = write_raw(documents, config, out, scratch)
    return Result(figures, rows, source(config))


def _folder(config: ImportConfig) -> DocumentSet:
    """The documents in the folder of a public dataset."""
    assert config.folder is not None
    fields = config.text or LayoutOptions().text_fields
    options = LayoutOptions(fields, config.text_separator, config.encoding)
    return read_layout(Path(config.folder), config.folder_layout, options)


def _tables(config: ImportConfig) -> DocumentSet:
    """The documents and the label table in the user's tables."""
    from xmcpipe.data.tables.formats import DocumentColumns, TextFileOptions, read_documents
    from xmcpipe.data.tables.label_table import read_label_table

    files = config.files
    for role, path in files.items():
        require_file(path, f"import.{role}")
    options = TextFileOptions(config.encoding, config.header, config.quotes)
    labels: Any = None
    if "label_table" in files:
        label_options = dataclasses.replace(options, header=config.label_header)
        labels = read_label_table(
            files["label_table"], config.label_column, config.label_text_column, label_options
        )
    # If there is one table, its split "all" is divided later, by a hash of the ids.
    text = config.text or ("text",)
    columns = DocumentColumns(config.id, text, config.text_separator, config.labels, config.label_separator)
    splits = {"train": files["train"], "test": files["test"]} if "test" in files else {"all": files["train"]}
    return DocumentSet(
        {split: read_documents(path, columns, options) for split, path in splits.items()}, labels
    )


IMPORT = Stage(
    name="import",
    kind="raw",
    config=ImportConfig,
    schema_version=RAW_VERSION,
    inputs=(),
    run=run,
    source=source,
    help="Bring in your own documents: --train and --test, one table that is split, or a dataset's FOLDER.",
)
