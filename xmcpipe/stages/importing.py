"""IMPORT: the user's own table, or two, made into the raw artifact.

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
from xmcpipe.data.policies import Policies
from xmcpipe.errors import require_file
from xmcpipe.stages.stage import Result, Stage


@dataclass(frozen=True, kw_only=True)
class ImportConfig(Policies):
    """What to read; what to keep is in Policies.

    train, test: JSONL, CSV, TSV or Parquet, told by the ending; .gz too, but for Parquet. Without `test` the
      one table is split by a hash of the ids.
    id: the id column; empty: `id` where there is one, else the row's number from 0.
    text: one or several columns, joined by text_separator, empty ones left out.
    labels: a list column; with label_separator a string, such as "a; b" with ";".
    encoding, header, quotes: how JSONL, CSV and TSV are written. Without a header columns are called 1, 2, ….
      Quotes auto: double quotes in CSV, none in TSV.
    label_table: a table of label_column and label_text_column. With label_header false, and CSV or TSV: the
      label, the separator, and the rest of the line as its text.
    """

    train: str = dataclasses.field(metadata={"runtime": True})
    test: str | None = runtime(None)
    id: str = ""
    text: tuple[str, ...] = ("text",)
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
        if not self.text:
            raise ValueError("text names no column, one or several were wanted")
        if self.label_separator == "":
            raise ValueError("label_separator is empty, the character between labels was wanted")

    @property
    def files(self) -> dict[str, Path]:
        """The files that are named, by role, in a fixed order."""
        named = {"train": self.train, "test": self.test, "label_table": self.label_table}
        return {role: Path(name) for role, name in named.items() if name is not None}


def source(config: ImportConfig) -> str:
    """One sha256 over the files' roles and bytes, not their names. Raises XmcpipeError for a missing file."""
    digest = hashlib.sha256()
    for role, path in config.files.items():
        digest.update(f"{role} {sha256_of_file(require_file(path, f'import.{role}'))}\n".encode())
    return digest.hexdigest()


def run(config: ImportConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write the raw artifact into `out`. Raises XmcpipeError for a faulty file or a policy that refuses."""
    from xmcpipe.data.formats import Columns, Writing, read_documents
    from xmcpipe.data.label_table import read_label_table
    from xmcpipe.data.raw import write_raw

    files = config.files
    for role, path in files.items():
        require_file(path, f"import.{role}")
    writing = Writing(config.encoding, config.header, config.quotes)
    labels: Any = None
    if "label_table" in files:
        label_writing = dataclasses.replace(writing, header=config.label_header)
        labels = read_label_table(
            files["label_table"], config.label_column, config.label_text_column, label_writing
        )
    columns = Columns(config.id, config.text, config.text_separator, config.labels, config.label_separator)
    splits = {"train": files["train"], "test": files["test"]} if "test" in files else {"all": files["train"]}
    sources = {split: read_documents(path, columns, writing) for split, path in splits.items()}
    figures, rows = write_raw(sources, labels, config, out, scratch)
    return Result(figures, rows, source(config))


IMPORT = Stage("import", "raw", ImportConfig, RAW_VERSION, (), run, source)
