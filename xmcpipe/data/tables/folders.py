"""Reads folders as tables: Annif's documents in single files, and what Hugging Face `datasets` saves.

Annif: each .txt file is a document, and a file of the same name that ends with .tsv, .key or .lab has a
subject on each line: a label, or (in .tsv) <uri>, a tab and a label, of which the URI counts.
`datasets`: save_to_disk writes .arrow files, and state.json, which lists them.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.lines import text_blocks
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.json_file import parse_json

logger = logging.getLogger(__name__)

SUBJECTS = (".tsv", ".key", ".lab")  # if a document has several, the first one counts, as in Annif
BATCH = 1 << 12
URI = re.compile(r"<([^<>\s]+)>")
ENDING = re.compile(r"\.txt$", re.IGNORECASE)


def folder_files(folder: Path) -> list[Path]:
    """The files of a folder that is a table, sorted. Raises XmcpipeError for any other folder."""
    if (folder / "dataset_dict.json").is_file():
        splits = ", ".join(sorted(path.parent.name for path in folder.glob("*/state.json")))
        raise XmcpipeError(
            f"{folder} holds a dataset of the splits {splits}, expected one split",
            f"name its folder, for example --train {folder}/train --test {folder}/test",
        )
    if (folder / "state.json").is_file():
        return arrow_files(folder)
    texts = sorted(folder.glob("*.txt"))
    files = [path for text in texts for path in (text, _subjects_of(text)) if path is not None]
    if len(files) == len(texts):
        raise XmcpipeError(
            f"{folder}: expected a file, or a folder of .txt files with subjects in .tsv, .key or .lab files "
            f"beside them, got {len(texts):,} .txt files and none of subjects",
            "name a file; the folder of a public dataset is an argument of its own: xmcpipe import FOLDER",
        )
    return files


def text_files(folder: Path) -> list[Path]:
    """The files of a folder of texts without labels: those of a dataset, or else its .txt files, sorted.

    Raises XmcpipeError for a folder without any.
    """
    if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
        return folder_files(folder)
    texts = sorted(folder.glob("*.txt"))
    if not texts:
        raise XmcpipeError(f"{folder}: expected a folder of .txt files, got none", "name a file")
    return texts


def read_text_folder(folder: Path, encoding: str) -> Iterator[pl.DataFrame]:
    """Yield the .txt files of a folder in batches: `id`, the name of the file without .txt, and `text`.

    Raises XmcpipeError for bytes that aren't `encoding`.
    """
    texts = text_files(folder)
    for first in range(0, len(texts), BATCH):
        rows = [
            (ENDING.sub("", text.name), _content(text, encoding)) for text in texts[first : first + BATCH]
        ]
        yield pl.DataFrame(rows, schema={"id": pl.String(), "text": pl.String()}, orient="row")


def arrow_files(folder: Path) -> list[Path]:
    """The .arrow files of a dataset that was saved by `datasets`, in their order."""
    try:
        state = parse_json((folder / "state.json").read_text(encoding="utf-8"))
        names = [str(each["filename"]) for each in state["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise XmcpipeError(
            f"{folder / 'state.json'}: expected a list of files in _data_files", "save the dataset again"
        ) from error
    return [require_file(folder / name, "import") for name in names]


def read_annif_folder(folder: Path, encoding: str) -> Iterator[pl.DataFrame]:
    """Yield the documents of a folder in batches: `id`, the name of the file without .txt, `text`, `labels`.

    Raises XmcpipeError for a folder without documents or subjects, and for bytes that aren't `encoding`.
    """
    folder_files(folder)
    texts = sorted(folder.glob("*.txt"))
    alone = sum(_subjects_of(text) is None for text in texts)
    if alone:
        message = "warning: %s: %d of %d documents have no file of subjects (.tsv, .key, .lab)"
        logger.warning(message, folder, alone, len(texts))
    for first in range(0, len(texts), BATCH):
        rows = [_document(text, encoding) for text in texts[first : first + BATCH]]
        schema = {"id": pl.String(), "text": pl.String(), "labels": pl.List(pl.String())}
        yield pl.DataFrame(rows, schema=schema, orient="row")


def _document(text: Path, encoding: str) -> tuple[str, str, list[str]]:
    subjects = _subjects_of(text)
    lines = "" if subjects is None else _content(subjects, encoding)
    labels = [_subject(line) for line in lines.splitlines() if line.strip()]
    return ENDING.sub("", text.name), _content(text, encoding), labels


def _subject(line: str) -> str:
    """The URI of a subject, or else the first field of its line."""
    fields = [field.strip() for field in line.split("\t")]
    uris = [found[1] for found in map(URI.fullmatch, fields) if found]
    return uris[0] if uris else fields[0]


def _subjects_of(text: Path) -> Path | None:
    beside = (text.with_suffix(ending) for ending in SUBJECTS)
    return next((path for path in beside if path.is_file()), None)


def _content(path: Path, encoding: str) -> str:
    return "".join(block for _, block in text_blocks(path, encoding, carriage_returns=True))
