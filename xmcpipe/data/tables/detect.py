"""The formats of tables, and which one a file has: as the user says, by its ending, or by its first lines."""

import re
from pathlib import Path

from xmcpipe.data.tables.checks.first_rows import DELIMITERS
from xmcpipe.data.tables.checks.foreign import foreign_kind, head_of
from xmcpipe.data.tables.checks.opening import first_lines, unpacked_name
from xmcpipe.data.tables.checks.written import written_kind
from xmcpipe.errors import XmcpipeError

ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
NOT_COMPRESSED = ("parquet", "arrow")  # these compress their own parts
LINE_FORMATS = ("fasttext", "libmultilabel", "annif", "pecos")  # a document a line, without named columns
FASTTEXT = re.compile(r"(?:.*\s)?__label__\S")  # at either end of the line
ANNIF = re.compile(r"[^\t]*\t\s*(<[^<>\s]+>\s*)+")
FEATURES = re.compile(r"[0-9]+(,[0-9]+)*( [0-9]+:[0-9.eE+-]+)+\s*")  # svmlight, XC text
PECOS = re.compile(r"[0-9]+(::[0-9.]+)?(,[0-9]+(::[0-9.]+)?)*\t")
PEEKED_LINES = 20


def format_of(path: Path, chosen: str = "auto", columns: bool = False, encoding: str = "utf-8") -> str:
    """The format of a table: `chosen` unless it is auto; of a folder "annif" or "arrow" (see folders.py).

    An Annif file that is CSV or JSON by its ending has columns, and so that format. With `columns`, the user
    has named columns, so a .tsv file has them. `encoding` is that of text files. Raises XmcpipeError for an
    unknown format.
    """
    ending = _by_ending(path)
    if chosen == "annif" and ending in ("csv", "jsonl", "json") and not path.is_dir():
        return ending
    if chosen != "auto":
        return chosen
    if path.is_dir():
        return "arrow" if (path / "state.json").is_file() else "annif"
    if _text_name(path) and not (ending and columns):
        ending = _by_first_lines(path, encoding) or ending
    if ending:
        return ending
    if foreign := foreign_kind(head_of(path)):
        raise XmcpipeError(f"{path}: unknown table format: it is {foreign[0]}", foreign[1])
    if similar := _similar(path, encoding):
        raise XmcpipeError(f"{path}: unknown table format", similar)
    if written := written_kind(_first_lines(path, encoding)):
        raise XmcpipeError(f"{path}: unknown table format: it is {written[0]}", written[1])
    if _has_columns(path, encoding):
        raise XmcpipeError(f"{path}: unknown table format", "its first lines look like --format csv")
    hint = "name it with --format: " + ", ".join([*dict.fromkeys(ENDINGS.values()), *LINE_FORMATS])
    raise XmcpipeError(f"{path}: unknown table format", f"{hint}; by default one of the endings {endings()}")


def endings() -> str:
    """The endings of file names that name a format, for messages."""
    return ", ".join(ENDINGS)


def _by_ending(path: Path) -> str:
    name, unpacked = path.name.lower(), unpacked_name(path)
    for ending, format_ in ENDINGS.items():
        if name.endswith(ending) or (format_ not in NOT_COMPRESSED and unpacked.endswith(ending)):
            return format_
    return ""


def _text_name(path: Path) -> bool:
    return unpacked_name(path).endswith((".txt", ".tsv"))


def _by_first_lines(path: Path, encoding: str) -> str:
    """fasttext or annif, if the first lines can be nothing else."""
    lines = _first_lines(path, encoding)
    if lines and all(FASTTEXT.match(line) for line in lines):
        return "fasttext"
    if lines and all(ANNIF.fullmatch(line) for line in lines):
        return "annif"
    return ""


def _similar(path: Path, encoding: str) -> str:
    """What to do with a text file, by its first lines: most likely, its format; empty if they don't tell."""
    lines = _first_lines(path, encoding) if _text_name(path) else []
    if not lines:
        return ""
    if sum(bool(FASTTEXT.match(line)) for line in lines) > len(lines) / 2:
        return "most of its first lines look like --format fasttext"
    if all(FEATURES.fullmatch(line) for line in lines[1:]) and len(lines) > 1:
        return "its lines look like features, not texts: name a file of texts"
    tabs = {line.count("\t") for line in lines}
    if tabs != {2} and all(PECOS.match(line) for line in lines):
        return "its first lines look like --format pecos"
    return "its first lines look like --format libmultilabel" if tabs in ({1}, {2}) else ""


def _has_columns(path: Path, encoding: str) -> bool:
    """Whether all first lines have one of the delimiters of CSV, equally often."""
    lines = _first_lines(path, encoding)
    counts = [{line.count(delimiter) for line in lines} for delimiter in DELIMITERS]
    return len(lines) > 1 and any(len(each) == 1 and min(each) > 0 for each in counts)


def _first_lines(path: Path, encoding: str) -> list[str]:
    """The first lines; none of a file that can't be read as text: its reader will say why."""
    try:
        return first_lines(path, encoding, PEEKED_LINES)
    except XmcpipeError:
        return []
