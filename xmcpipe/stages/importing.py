"""`import`: makes the raw artifact from the user's own tables, or from the folder of a public dataset.

If there is a label table, labels are numbered in its order, followed by the labels that it lacks. Otherwise
they are sorted, whole numbers first and by value. Files are identified by their bytes: a moved file, or one
with another name of the same ending, gives the same artifact.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.fingerprint import sha256_of_file, sha256_of_files
from xmcpipe.artifacts.versions import RAW_VERSION
from xmcpipe.config import file_path, later, runtime
from xmcpipe.data.layouts import LayoutOptions, detect_layout, find_layout, layout_files, read_layout
from xmcpipe.data.raw.documents import DocumentSet
from xmcpipe.data.raw.policies import Policies
from xmcpipe.data.tables.checks.opening import unpacked_name
from xmcpipe.data.tables.keys import READER_VERSION, TableKeys
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.stages.stage import Result, Stage


@dataclass(frozen=True, kw_only=True)
class Files(Policies):
    """What to read. These are the first keys of [import], before those of `TableKeys`."""

    folder: str | None = file_path()
    """Folder of a dataset in a public layout (see xmcpipe/data/layouts), instead of tables. Of the keys for
    tables, only text, text_separator and encoding apply then.
    """

    layout: str = runtime("auto")
    """Layout of the folder; "auto" detects it from the file names."""

    train: str | None = file_path()
    """Table of the training documents: JSONL, JSON, CSV, TSV (each also .gz), Parquet, Arrow, or lines of
    another program (see `format`); also a folder of Annif or `datasets`.
    """

    test: str | None = file_path()
    """Table of the test documents; without it, the table of `train` is split (see `split`)."""


@dataclass(frozen=True, kw_only=True)
class ImportConfig(TableKeys, Files):
    """The recipe table [import]: what to read and how, and (Policies) which documents to keep."""

    id: str = ""
    """Column of the document ids; by default "id" if there is such a column, else the row number from 0."""

    labels: str = "labels"
    """Column of the labels of a document: lists, or (with label_separator) strings."""

    label_columns: tuple[str, ...] | None = later(None)
    """Columns of 0 and 1, one for each label, instead of `labels`; each label has the name of its column."""

    multi_hot: bool = later(False)
    """Whether lists of labels are 0/1 vectors with a place for each label. The names of the places are the
    rows of the label table, or those that the file has (Hugging Face ClassLabel), else 0, 1, and so on.
    """

    label_table: str | None = file_path()
    """Table of the labels in the order of their ids, with their texts."""

    def __post_init__(self) -> None:
        """Raise ValueError for keys that don't fit together."""
        super().__post_init__()
        if (self.folder is None) == (self.train is None):
            got = "neither" if self.train is None else "both"
            raise ValueError(f"expected either train (a table) or folder (of a dataset), got {got}")
        if self.split == "stratified" and (self.test is not None or self.folder is not None):
            other = "test" if self.folder is None else "folder"
            raise ValueError(f"expected one table, which split = 'stratified' divides, got also {other}")
        if self.layout != "auto":
            _require_layout(self.layout)
        self.check_table_keys()
        if self.multi_hot and self.one_label:
            raise ValueError(
                "expected multi_hot or label_separator 'none', got both: a vector has many labels"
            )
        self._check_label_columns()

    def _check_label_columns(self) -> None:
        if self.label_columns is None:
            return
        if not self.label_columns or len(set(self.label_columns)) < len(self.label_columns):
            raise ValueError(f"expected distinct columns in label_columns, got {list(self.label_columns)}")
        if self.multi_hot or self.label_separator is not None:
            other = "multi_hot" if self.multi_hot else "label_separator"
            raise ValueError(
                f"expected label_columns or {other}, got both: {other} is for one column of lists"
            )

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
    """One sha256 over the roles and bytes of the files, and what else decides how tables are read.

    Raises XmcpipeError for a missing file.
    """
    # The roles are part of the hash, because swapping the training and the test file gives other data.
    digest = hashlib.sha256(config.folder_layout.encode())
    if config.folder is None:
        digest.update(f"reader {READER_VERSION}\n".encode())
    for role, path in config.files.items():
        ending = "" if config.folder or path.is_dir() else Path(unpacked_name(path)).suffix
        digest.update(f"{role}{ending} {_hash(path, role)}\n".encode())
    return digest.hexdigest()


def _hash(path: Path, role: str) -> str:
    """The sha256 of a file, or of the names and bytes of the files that make up a folder."""
    if role not in ("train", "test") or not path.is_dir():
        return sha256_of_file(require_file(path, f"import.{role}"))
    from xmcpipe.data.tables.folders import folder_files

    return sha256_of_files(folder_files(path))


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
    from xmcpipe.data.tables.formats import DocumentColumns, read_documents

    files = config.files
    for role, path in files.items():
        if role == "label_table" or not path.is_dir():
            require_file(path, f"import.{role}")
    labels, names = _label_table(config)
    columns = DocumentColumns(
        id=config.id,
        text=config.text or ("text",),
        text_separator=config.text_separator,
        labels=config.labels,
        label_separator=config.label_separator,
        label_columns=config.label_columns,
        multi_hot=config.multi_hot,
        label_names=names,
        listed=None if labels is None else labels["label"],
    )
    # If there is one table, its split "all" is divided later.
    splits = {"train": files["train"], "test": files["test"]} if "test" in files else {"all": files["train"]}
    return DocumentSet(
        {split: read_documents(path, columns, config.document_files) for split, path in splits.items()},
        labels,
        one_label=config.one_label,
    )


def _label_table(config: ImportConfig) -> tuple[Any, tuple[str, ...] | None]:
    """The label table, None if there is none; and the names of the places of vectors, if it has them."""
    from xmcpipe.data.tables.label_table import read_label_names, read_label_table

    if config.label_table is None:
        return None, None
    path, column = Path(config.label_table), config.label_column
    if config.format == "pecos" and path.suffix == ".txt":
        column = "#"  # the labels of PECOS are the line numbers of its file of label texts
    elif config.multi_hot and column == "#":
        column = config.label_text_column
    names = None
    if config.multi_hot:
        names = read_label_names(path, column, config.label_text_column, config.label_files)
    return read_label_table(path, column, config.label_text_column, config.label_files), names


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
