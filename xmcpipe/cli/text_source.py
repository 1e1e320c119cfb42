"""Where `predict` reads texts from: the command line, a file, or standard input; in batches, lazily."""

import codecs
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.artifacts.fingerprint import sha256_of_file, sha256_of_files
from xmcpipe.cli import standard_input
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.inference.document import Document
from xmcpipe.json_file import parse_json
from xmcpipe.stages.importing import ImportConfig

if TYPE_CHECKING:
    from xmcpipe.data.tables.formats import DocumentColumns, TextFileOptions

STANDARD_INPUT = Path("-")
FILE_KEYS = ("encoding", "header", "quotes", "delimiter", "label_prefix")
FILE_ROWS = 1024  # texts of a file that are labelled before their labels are printed
PATIENCE = 1.0  # seconds to wait for the first byte of a pipe that may be unused
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """How to read a file: the options of `import` that concern texts, under the names of its keys.

    Those that are None are as in the table [import] of the recipe (`defaults`), or as `import` has them.
    `input_format` is "auto", "text" (one text a line), or a format of `import`.
    """

    defaults: ImportConfig | None = None
    input_format: str = "auto"
    text: list[str] | None = None
    id: str | None = None
    text_separator: str | None = None
    encoding: str | None = None
    header: bool | None = None
    quotes: str | None = None
    delimiter: str | None = None
    label_prefix: str | None = None

    def given(self) -> list[str]:
        """The options that only tables have and the user gave."""
        names = {
            "text": "--text-column",
            "id": "--id-column",
            "text_separator": "--text-separator",
            "header": "--header",
            "quotes": "--quotes",
            "delimiter": "--delimiter",
        }
        return [flag for key, flag in names.items() if getattr(self, key) not in (None, [])]

    def table(self) -> dict[str, Any]:
        """The value of each key, in JSON types."""
        table: dict[str, Any] = {}
        for key in ("text", "id", "text_separator", *FILE_KEYS):
            value = getattr(self, key)
            if value in (None, []) and self.defaults is not None:
                value = getattr(self.defaults, key)
            if value not in (None, [], ()):
                table[key] = list(value) if isinstance(value, tuple) else value
        return table

    def columns(self) -> "tuple[DocumentColumns, TextFileOptions]":
        """What the readers of tables take."""
        from xmcpipe.data.tables.formats import DocumentColumns, TextFileOptions

        table = self.table()
        options = {key: table.pop(key) for key in FILE_KEYS if key in table}
        if self.input_format != "text":
            options["format"] = self.input_format
        if "text" in table:
            table["text"] = tuple(table["text"])
        return DocumentColumns(**table), TextFileOptions(**options)


class TextFile:
    """The texts of a file or folder, which can be read more than once."""

    def __init__(self, path: Path, reading: Reading) -> None:
        from xmcpipe.data.tables.texts import is_plain

        self.path, self._reading = path, reading
        if not path.is_dir():
            require_file(path, "--input")
        plain = reading.input_format == "text" or (
            reading.input_format == "auto" and is_plain(path) and not path.is_dir()
        )
        if (given := reading.given()) and plain:
            raise XmcpipeError(
                f"expected a table with {given[0]}, got plain text: {path}",
                f"omit {given[0]}, or name a file that ends in .csv, .tsv, .jsonl or .parquet",
            )

    def documents(self) -> Iterator[Document]:
        """Each text with its id. Raises the errors of the readers."""
        from xmcpipe.data.tables.texts import read_texts

        columns, options = self._reading.columns()
        for rows in read_texts(self.path, columns, options, self._reading.input_format == "text"):
            yield from map(Document, rows["id"].to_list(), rows["text"].to_list())

    def identity(self) -> dict[str, Any]:
        """What determines the texts, in JSON types: the bytes of the files, and how they are read."""
        from xmcpipe.data.tables.folders import text_files

        reading = {"input_format": self._reading.input_format, **self._reading.table()}
        files = text_files(self.path) if self.path.is_dir() else None
        content = sha256_of_file(self.path) if files is None else sha256_of_files(files)
        return {"input": content, "name": self.path.name, "reading": reading}

    def count(self) -> int:
        """The number of texts. The whole file is read, so all of its faults are found before any work."""
        return sum(1 for _ in self.documents())


def batches_of_file(file: TextFile) -> Iterator[list[Document]]:
    """The texts of a file in batches."""
    stream = file.documents()
    while batch := list(islice(stream, FILE_ROWS)):
        yield batch


def batches_of_standard_input(reading: Reading, size: int) -> Iterator[list[Document]]:
    """The lines of standard input in batches, as they arrive; a line is a text or a JSON object."""
    if given := reading.given():
        raise XmcpipeError(
            f"expected a file with {given[0]}, got standard input",
            "write the texts to a file, or one per line",
        )
    encoding = str(reading.table().get("encoding", "utf-8"))
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise XmcpipeError(f"unknown encoding {encoding!r}", "most texts are utf-8 or latin-1") from error
    number = 0
    for lines in standard_input.batches_of_lines(size):
        batch = []
        for line in lines:
            number += 1
            place = f"standard input, line {number}"
            text = _decoded(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line, encoding, place)
            is_object = reading.input_format == "auto" and text.lstrip().startswith("{")
            batch.append(_object(text, place) if is_object else Document(None, text.strip()))
        yield batch


def choose_standard_input(named: bool, test_documents: bool) -> bool:
    """Whether texts come from standard input without `--input -`; logs what is read or not.

    `named`: the user named texts or shards, so standard input is not expected. `test_documents`: without
    texts, the test documents of a recipe are predicted. Raises XmcpipeError if there is nothing to predict.
    """
    if standard_input.is_terminal():
        if not named and not test_documents:
            raise XmcpipeError("expected a text, got none", 'add --text "…" or --input FILE')
        return False
    if not named and not test_documents:
        return True
    found = standard_input.has_data(0.0 if named else PATIENCE)
    if named:
        if found:
            logger.warning("standard input is not read: to label its lines, name --input - alone")
        return False
    if found:
        logger.info("labelling the lines of standard input (for the test documents, add </dev/null)")
    elif found is None:
        logger.info(
            "standard input is silent: predicting the test documents (to wait for lines, add --input -)"
        )
    return bool(found)


def _decoded(line: bytes, encoding: str, place: str) -> str:
    try:
        return line.decode(encoding)
    except UnicodeDecodeError as error:
        raise XmcpipeError(
            f"{place} isn't {encoding.upper()} text: {error.reason}", "name its encoding with --encoding"
        ) from error


def _object(line: str, place: str) -> Document:
    """One line of JSON as a document; `place` names the line in errors."""
    hint = 'write one object per line: {"text": "…"}, or add --input-format text'
    try:
        row = parse_json(line)
    except ValueError as error:
        raise XmcpipeError(f"{place} isn't JSON: {error}", hint) from error
    if not isinstance(row.get("text"), str):
        raise XmcpipeError(f"expected a string `text` in {place}, got {', '.join(row) or 'no key'}", hint)
    return Document(None if row.get("id") is None else str(row["id"]), row["text"])


def of_texts(texts: Iterable[str]) -> list[list[Document]]:
    """The texts of the command line, as one batch."""
    return [[Document(None, text) for text in texts]]
