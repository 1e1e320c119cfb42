"""Tells by its first lines what a text file is that is no table with delimiters: a table drawn with lines or
blanks, a markup, a file of settings, a list of records.

Nothing here is sure enough to refuse a file that has the columns sought: it says what a file is that has not.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from xmcpipe.errors import XmcpipeError

Lines = Sequence[str]

RULE = re.compile(r"\s*[-=+:| ]*[-=]{3,}[-=+:| ]*\s*")  # ---- or +----+----+ or |---|:---|
BORDER = re.compile(r"\s*\+[-=+]{3,}\+\s*")
RST = re.compile(r"\s*={3,}( +={3,})+\s*")
RECORD = re.compile(r"[A-Z][A-Z0-9]{1,3}\s*- .*")  # TY  - JOUR, PMID- 12, TI  - a title
KEY = re.compile(r"(- )?[A-Za-z_][\w-]*:( .*)?")
SETTING = re.compile(r"[A-Za-z_][\w.-]*\s*[=:]\s*\S.*")
SECTION = re.compile(r"\[{1,2}[^\[\]{}\"',]+\]{1,2}\s*")
COLUMNS = re.compile(r"(?<=\S) {2,}(?=\S)")
AS_TABLE = "save it as CSV"
AS_LINES = "write its texts and labels into a table, such as JSON Lines"
FEWEST = 2  # lines
FIRST_LINES, LOOKED_AT = 20, 1 << 16  # lines, and the characters in which they are


def written_kind(lines: Lines) -> tuple[str, str] | None:
    """What a file with these first lines, none of them blank, is, and what to do; None if they don't tell."""
    return next(((what, way_out) for what, way_out, fits in KINDS if lines and fits(lines)), None)


def require_delimited(path: Path, text: str) -> None:
    """Raise XmcpipeError for a file that begins with `text` as no table with delimiters does."""
    lines = [line.rstrip("\r") for line in text[:LOOKED_AT].split("\n") if line.strip()]
    if written := written_kind(lines[:FIRST_LINES]):
        raise XmcpipeError(f"{path}: expected columns with delimiters, got {written[0]}", written[1])


def _is_markdown(lines: Lines) -> bool:
    return len(lines) >= FEWEST and "|" in lines[0] and "|" in lines[1] and bool(RULE.fullmatch(lines[1]))


def _is_drawn(lines: Lines) -> bool:
    """Whether lines are drawn as databases print a table, or reStructuredText has one."""
    return len(lines) >= FEWEST and any(
        BORDER.fullmatch(line) or RST.fullmatch(line) or (RULE.fullmatch(line) and "-+-" in line)
        for line in lines[:2]
    )


def _begins(*starts: str) -> Callable[[Lines], bool]:
    return lambda lines: lines[0].lstrip().lower().startswith(starts)


def _is_wiki(lines: Lines) -> bool:
    return lines[0].lstrip().startswith(("{|", "||"))


def _are_records(lines: Lines) -> bool:
    return len(lines) >= FEWEST and all(map(RECORD.fullmatch, lines[:FEWEST]))


def _is_yaml(lines: Lines) -> bool:
    first = [line for line in lines if line.strip() != "---"][:FEWEST]
    marked = lines[0].strip() == "---" or lines[0].startswith("- ")
    keys = all(KEY.fullmatch(line.strip()) for line in first)
    return len(first) == FEWEST and keys and (marked or lines[1][:1].isspace() or lines[1].startswith("- "))


def _are_settings(lines: Lines) -> bool:
    return len(lines) >= FEWEST and bool(SECTION.fullmatch(lines[0]) and SETTING.fullmatch(lines[1]))


def _is_rdf(lines: Lines) -> bool:
    statement = re.compile(r"(<[^<>\s]+>|_:\S+)\s+<[^<>\s]+>\s+\S.*\.\s*")
    return lines[0].lower().startswith(("@prefix ", "@base ")) or all(map(statement.fullmatch, lines))


def _has_fixed_width(lines: Lines) -> bool:
    """Whether columns begin or end at the same place in all lines, with two blanks or more between them."""
    if len(lines) < FEWEST + 1 or any("\t" in line for line in lines):
        return False
    gaps = [list(COLUMNS.finditer(line)) for line in lines]
    starts = [{gap.end() for gap in line} for line in gaps]
    ends = [{gap.start() for gap in line} for line in gaps]
    return bool(set.intersection(*starts) or set.intersection(*ends))


def _is_no_text(lines: Lines) -> bool:
    return any(ord(letter) < 32 and letter not in "\t\f\x0b\x1c\x1d\x1e\x1f" for letter in lines[0])


KINDS: Sequence[tuple[str, str, Callable[[Lines], bool]]] = (
    ("a file of MARC (ISO 2709)", AS_LINES, lambda lines: "\x1e" in lines[0] and lines[0][:5].isdigit()),
    ("bytes of another kind than text", "save its table as CSV or Parquet", _is_no_text),
    ("a table of Markdown", AS_TABLE, _is_markdown),
    ("a table drawn with lines", AS_TABLE, _is_drawn),
    ("a table of a wiki", AS_TABLE, _is_wiki),
    ("a table of HTML", AS_TABLE, _begins("<table", "<thead", "<tr", "<div", "<body")),
    ("a table of LaTeX", AS_TABLE, _begins("\\begin{", "\\documentclass", "\\toprule", "\\hline")),
    ("a file of BibTeX", AS_LINES, lambda lines: bool(re.match(r"\s*@\w+\s*\{", lines[0]))),
    ("a file of records such as RIS or MEDLINE", AS_LINES, _are_records),
    ("a file of RDF", AS_LINES, _is_rdf),
    ("a file of YAML", AS_LINES, _is_yaml),
    ("a file of settings such as TOML or INI", AS_LINES, _are_settings),
    ("a table with columns of a fixed width", "save it as CSV or TSV", _has_fixed_width),
)
