"""Which of the forms of text files with labels a file has, judged by its lines (see forms.py)."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from xmcpipe.data.label_lists.text.blocks import Block, line_blocks
from xmcpipe.data.label_lists.text.decoding import decoded_blocks
from xmcpipe.data.label_lists.text.forms import (
    BY_ROW,
    FASTTEXT,
    FASTTEXT_SCORED,
    FILTER,
    FORMS,
    NAMED,
    NAMED_FORMS,
    OMIKUJI,
    PREFIX,
    SVMLIGHT,
    XC,
    excerpt,
)
from xmcpipe.data.label_lists.text.line_per_label import columns_of_pairs
from xmcpipe.data.label_lists.text.tab_text import TAB_FORMS, tab_columns
from xmcpipe.data.tables.checks.written import written_kind
from xmcpipe.errors import XmcpipeError

SVM = re.compile(r".*\.svm(\.gz)?")
MOST_STATED = 1 << 27  # documents, and labels: measuring takes some bytes for each label
WRITTEN_LINES = 20  # that show what another file is
LETTER = re.compile(r"\s*[^\d\s]")  # no id of a label
WORD = re.compile(r"[^\W\d_]{2}")
OTHER_PREFIX = re.compile(r"(?:^|\s)(__[A-Za-z][A-Za-z0-9-]*__)(?=[^\s_])")


@dataclass(frozen=True)
class TextFile:
    """A text file with labels: its form and its lines, without a header.

    `documents` and `width` are N and L if the header states them; `prefix` begins the labels of fastText;
    `note` is a sentence about what may be wrong with the form, or "".
    """

    path: Path
    form: str
    blocks: Iterator[Block]
    documents: int | None = None
    width: int | None = None
    prefix: str = PREFIX
    note: str = ""


@dataclass(frozen=True)
class Form:
    """A form of text, and what belongs to it in TextFile."""

    name: str
    prefix: str = PREFIX
    note: str = ""


def open_text(path: Path, role: str) -> TextFile:
    """Judge the form of a file by its first block; a header, `N L` or `N D L`, may precede ids.

    Raises XmcpipeError for a form that holds no labels of the role, and for a file that can't be read.
    """
    blocks = line_blocks(path)
    number, lines = next(blocks, (0, list[str]()))
    if not number and any(block.strip() for _, block in decoded_blocks(path)):
        raise XmcpipeError(
            f"{path}: expected labels, got only lines that begin with '#', which are comments",
            "labels of fastText with another prefix: sed 's/#/__label__/g' FILE",
        )
    documents = width = None
    if role != "filter" and lines and re.fullmatch(r"\s*\d+(\s+\d+){1,2}\s*", lines[0]):
        header = lines[0].split()
        documents, width = (_stated(path, each) for each in (header[0], header[-1]))
        number, lines = number + 1, lines[1:]
    try:
        form = form_of(path, lines, role)
        odd = form.name in (XC, BY_ROW) and any(map(LETTER.match, lines[:1]))
    except XmcpipeError:
        _require_no_other_kind(path, lines)
        raise
    if odd:
        _require_no_other_kind(path, lines)
    if width is not None and form.name in (*NAMED_FORMS, *TAB_FORMS):
        form = Form(XC)  # a header counts ids: the reader refuses the first line that has none
    return TextFile(
        path, form.name, chain([(number, lines)], blocks), documents, width, form.prefix, form.note
    )


def _require_no_other_kind(path: Path, lines: list[str]) -> None:
    """Raise XmcpipeError for lines of a table of Markdown, of YAML, and so on."""
    if written := written_kind([line for line in lines[:WRITTEN_LINES] if line.strip()]):
        raise XmcpipeError(f"{path}: expected labels, got {written[0]}", written[1])


def _stated(path: Path, number: str) -> int:
    """A number of the header. Raises XmcpipeError if it can't be that of documents or labels."""
    if len(number) > 10 or int(number) > MOST_STATED:
        raise XmcpipeError(
            f"{path}: expected at most {MOST_STATED:,} documents and labels in its header, got {number[:40]}",
            "check the first line",
        )
    return int(number)


def form_of(path: Path, lines: list[str], role: str) -> Form:
    """The form of a file whose first lines are given.

    The first line with data decides, except where its labels may be ids or names: then all lines do. Raises
    XmcpipeError for a form that holds no labels of the role.
    """
    if role == "filter":
        return Form(FILTER)
    filled = [line.strip() for line in lines if line.strip()]
    if not filled:
        return Form(XC)
    line = filled[0]
    first, *rest = line.split()
    if columns := columns_of_pairs(filled):
        raise XmcpipeError(
            f"{path}: expected a document on each line, got a line per label, as TREC and MS MARCO write "
            f"runs and qrels: {excerpt(line)}",
            f"write a .csv file with the header line id,label,score: {columns}",
        )
    if (prefix := _prefix(path, filled, role)) is not None:
        scored = all(map(FORMS[FASTTEXT_SCORED].fullmatch, filled))
        return Form(FASTTEXT_SCORED if scored else FASTTEXT, prefix)
    if (form := _with_text(path, lines, filled, role)) is not None:
        return form
    if re.fullmatch(r"\d+(,\d+)+", first) or _is_svmlight(path, filled, role):
        if role == "predictions":
            raise _true_labels(path, "features", line)
        return Form(SVMLIGHT)
    if ":" in first:
        names = not all(map(FORMS[XC].fullmatch, filled)) and all(map(FORMS[NAMED].fullmatch, filled))
        return Form(NAMED if names else XC)
    if len(rest) % 2 and FORMS[OMIKUJI].fullmatch(line) and ("\t" in line or not rest[0].isdigit()):
        return Form(OMIKUJI)
    if len(rest) % 2 and not first.isdigit() and all(map(FORMS[FASTTEXT_SCORED].fullmatch, filled)):
        return Form(FASTTEXT_SCORED, prefix="")
    return Form(BY_ROW)


def _prefix(path: Path, filled: list[str], role: str) -> str | None:
    """The prefix of the labels of fastText, None if it isn't such a file.

    It is `__label__` if a line begins with it or, in a file of documents, holds it; else another word between
    double underscores that at least half of the lines hold.
    """
    if filled[0].startswith(PREFIX) or (role != "predictions" and any(_holds(line) for line in filled)):
        return PREFIX
    if role == "predictions" and all(line.startswith("__") or not line for line in filled):
        filled = [line for line in filled if line.startswith("__")]
    found = [set(OTHER_PREFIX.findall(line)) for line in filled]
    counts = Counter(prefix for prefixes in found for prefix in prefixes)
    several = sorted(prefix for prefix, count in counts.items() if 2 * count >= len(filled))
    if len(several) > 1:
        raise XmcpipeError(
            f"{path}: expected labels with one prefix, got {several[0]!r} and {several[1]!r}",
            f"write {PREFIX} before the labels that count",
        )
    return several[0] if several else None


def _holds(line: str) -> bool:
    return PREFIX in line and any(word.startswith(PREFIX) and word != PREFIX for word in line.split())


def _with_text(path: Path, lines: list[str], filled: list[str], role: str) -> Form | None:
    """The form of a file of documents with tabs between labels and text; None if it is no such file.

    Raises XmcpipeError if predictions look like it.
    """
    if "\t" not in filled[0]:
        return None
    ids = (XC, BY_ROW, OMIKUJI, SVMLIGHT, NAMED, FILTER, FASTTEXT_SCORED)
    if any(all(map(FORMS[form].fullmatch, filled)) for form in ids) or FORMS[OMIKUJI].fullmatch(filled[0]):
        return None
    if role == "predictions" and not any(map(WORD.search, filled)):
        return None  # numbers only: the reader names the faulty line
    columns = tab_columns(path, lines)
    if columns is not None and role == "predictions":
        raise _true_labels(path, "texts", filled[0])
    return None if columns is None else Form(columns.form, note=columns.note)


def _true_labels(path: Path, what: str, line: str) -> XmcpipeError:
    if what == "features" and ":" not in line:
        return XmcpipeError(
            f"{path}: expected predictions, got label ids alone, as of true labels: {excerpt(line)}",
            "write label:score label:score …; for a ranking, a .csv file with the header line labels",
        )
    return XmcpipeError(
        f"{path}: expected predictions, got true labels with {what}: {excerpt(line)}",
        "name this file as --truth, and the predictions as --predictions",
    )


def _is_svmlight(path: Path, filled: list[str], role: str) -> bool:
    """Whether the first line has features and at most one label, and the file is one of svmlight.

    It is if it is called so, or if another line has several labels. A row and its labels would look the same.
    """
    first, *rest = filled[0].split()
    if ":" not in first and not (first.isdigit() and rest and ":" in rest[0]):
        return False
    if first.isdigit() and role != "predictions" and SVM.fullmatch(path.name.lower()):
        return True
    return any(re.match(r"\d+(,\d+)+\s+\d+:", line) for line in filled[1:])


def trimmed(lines: list[str]) -> list[str]:
    """Lines without comments at their ends."""
    return [re.sub(r"(^|\s)#.*", "", line) if "#" in line else line for line in lines]
