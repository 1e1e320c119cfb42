"""IMPORT: the user's own table, or two, or a public dataset's folder, made into the raw artifact.

The vocabulary is in the order of the label table where one is given, labels that it lacks after it; else
sorted, whole numbers first and by value. Files are known by their bytes: a renamed or moved file gives the
same artifact.
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
    """What to read; what to keep is in Policies.

    folder: a dataset in one of the public layouts (see data.layouts), in place of tables. Of the keys for
      tables only text, text_separator and encoding then count.
    layout: the name of the folder's layout, or auto to detect it by the names of the files.
    train, test: JSONL, CSV, TSV or Parquet, told by the ending; .gz too, but for Parquet. Without `test` the
      one table is split by a hash of the ids.
    id: the id column; empty: `id` where there is one, else the row's number from 0.
    text: one or several columns, joined by text_separator, empty ones left out. Where it isn't set: `text`,
      and `title` and `content` in a folder of layout xc_raw.
    labels: a list column; with label_separator a string, such as "a; b" with ";".
    encoding, header, quotes: how JSONL, CSV and TSV are written. Without a header columns are called 1, 2, ….
      Quotes auto: double quotes in CSV, none in TSV.
    label_table: a table of label_column and label_text_column. With label_header false, and CSV or TSV: the
      label, the separator, and the rest of the line as its text.
    """

    folder: str | None = runtime(None)
    layout: str = runtime("auto")
    train: str | None = runtime(None)
    test: str | None = runtime(None)
    id: str = ""
    text: tuple[str, ...] | None = None
    text_separator: str = " "
    labels: str = "labels"
    label_separator: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    quotes: Literal["auto", "double", "none"] = "auto"
    label_table: str | None = runtime(None)
    label_column: str = "label"
    label_text_column: str = "text"
    label_header: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for keys that can't be."""
        super().__post_init__()
        if (self.folder is None) == (self.train is None):
            given = "neither train nor folder is" if self.train is None else "both train and folder are"
            raise ValueError(f"{given} named, a table or the folder of a dataset was wanted")
        if self.layout != "auto":
            _require_layout(self.layout)
        if self.text == ():
            raise ValueError("text names no column, one or several were wanted")
        if self.label_separator == "":
            raise ValueError("label_separator is empty, the character between labels was wanted")

    @property
    def files(self) -> dict[str, Path]:
        """The files to read, by role, in a fixed order. Raises XmcpipeError for a folder of no layout."""
        if self.folder is not None:
            return layout_files(Path(self.folder), self.folder_layout)
        named = {"train": self.train, "test": self.test, "label_table": self.label_table}
        return {role: Path(name) for role, name in named.items() if name is not None}

    @property
    def folder_layout(self) -> str:
        """The layout of the folder; empty for tables."""
        if self.folder is None:
            return ""
        return detect_layout(Path(self.folder)) if self.layout == "auto" else self.layout


def _require_layout(name: str) -> None:
    try:
        find_layout(name)
    except XmcpipeError as error:
        raise XmcpipeError(f"import.layout: {error.message}", error.hint) from error


def source(config: ImportConfig) -> str:
    """One sha256 over the files' roles and bytes, not their names. Raises XmcpipeError for a missing file."""
    digest = hashlib.sha256(config.folder_layout.encode())
    for role, path in config.files.items():
        digest.update(f"{role} {sha256_of_file(require_file(path, f'import.{role}'))}\n".encode())
    return digest.hexdigest()


def run(config: ImportConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write the raw artifact into `out`. Raises XmcpipeError for a faulty file or a policy that refuses."""
    from xmcpipe.data.raw.writing import write_raw

    documents = _tables(config) if config.folder is None else _folder(config)
    figures, rows = write_raw(documents, config, out, scratch)
    return Result(figures, rows, source(config))


def _folder(config: ImportConfig) -> DocumentSet:
    assert config.folder is not None
    fields = config.text or LayoutOptions().text_fields
    options = LayoutOptions(fields, config.text_separator, config.encoding)
    return read_layout(Path(config.folder), config.folder_layout, options)


def _tables(config: ImportConfig) -> DocumentSet:
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
    text = config.text or ("text",)
    columns = DocumentColumns(config.id, text, config.text_separator, config.labels, config.label_separator)
    splits = {"train": files["train"], "test": files["test"]} if "test" in files else {"all": files["train"]}
    return DocumentSet(
        {split: read_documents(path, columns, options) for split, path in splits.items()}, labels
    )


IMPORT = Stage("import", "raw", ImportConfig, RAW_VERSION, (), run, source)
