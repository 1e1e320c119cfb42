"""Which of the forms of text files with labels a file has, judged by its lines; and its comments.

label:score label:score …       ids, or names (LibMultiLabel)
row label:score …               ids; the number of the document comes first
label score<TAB>label score …   ids (omikuji)
label,label feature:value …     ids, then features (svmlight)
__label__a 0.9 __label__b 0.1   names and scores (fastText predict-prob, also with another prefix)
__label__a __label__b text      names (fastText predict; or its training data)
row label                       filter pairs: only in the role `filter`
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from xmcpipe.data.tables.lines import text_blocks
from xmcpipe.errors import XmcpipeError

Block = tuple[int, list[str]]  # the number of the first line, and the lines
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:inf|nan)"
PAIRS = rf"(?:\d+:(?:{NUMBER})(?:\s+|$))*"
NUMBERED = r"[-+]?\d+(?:\.\d*)?"  # a word that is a number is no name, but a faulty id
NAME = rf"(?!(?:{NUMBERED}):)\S+"
NAMED_PAIR = rf"(?:\d+|{NAME}):(?:{NUMBER})(?:\s+|$)"
PREFIX = "__label__"

XC, BY_ROW, OMIKUJI, SVMLIGHT = "label:score …", "row label:score …", "label score<TAB>…", "label,label f:v …"
NAMED, FASTTEXT_SCORED, FASTTEXT = "name:score …", "name score …", f"{PREFIX}name …"
FILTER = "row label"
NAMED_FORMS = (NAMED, FASTTEXT_SCORED, FASTTEXT)
FORMS = {
    XC: re.compile(PAIRS, re.IGNORECASE),
    BY_ROW: re.compile(rf"(?:\d+(?:\s+|$){PAIRS})?", re.IGNORECASE),
    OMIKUJI: re.compile(rf"(?:\d+ +(?:{NUMBER})(?:\t\s*|$))*", re.IGNORECASE),
    SVMLIGHT: re.compile(rf"(?:\d+(?:,\d+)*(?:\s+|$))?{PAIRS}", re.IGNORECASE),
    FILTER: re.compile(r"(?:\d+\s+\d+)?"),
    NAMED: re.compile(rf"(?:{NAMED_PAIR})*", re.IGNORECASE),
    FASTTEXT_SCORED: re.compile(rf"(?:(?!(?:{NUMBER})\s)\S+\s+(?:{NUMBER})(?:\s+|$))*", re.IGNORECASE),
    FASTTEXT: re.compile(rf"(?:{PREFIX}\S+(?:\s.*|$))?"),
}


SVM = re.compile(r".*\.svm(\.gz)?")
LINES = 1 << 16  # maximum number of lines of a block
MOST_STATED = 1 << 27  # documents, and labels: measuring takes some bytes for each label


@dataclass(frozen=True)
class TextFile:
    """A text file with labels: its form and its lines, without a header.

    `documents` and `width` are N and L if the header states them.
    """

    path: Path
    form: str
    blocks: Iterator[Block]
    documents: int | None = None
    width: int | None = None


def open_text(path: Path, role: str) -> TextFile:
    """Judge the form of a file by its first block; a header, `N L` or `N D L`, may precede ids.

    Raises XmcpipeError for a form that holds no labels of the role, and for a file that can't be read.
    """
    blocks = line_blocks(path)
    number, lines = next(blocks, (1, []))
    documents = width = None
    if role != "filter" and lines and re.fullmatch(r"\s*\d+(\s+\d+){1,2}\s*", lines[0]):
        header = lines[0].split()
        documents, width = (_stated(path, each) for each in (header[0], header[-1]))
        number, lines = number + 1, lines[1:]
    form = form_of(path, lines, role)
    if width is not None and form in NAMED_FORMS:
        form = XC  # a header counts ids: the reader refuses the first line that has none
    return TextFile(path, form, chain([(number, lines)], blocks), documents, width)


def _stated(path: Path, number: str) -> int:
    """A number of the header. Raises XmcpipeError if it can't be that of documents or labels."""
    if len(number) > 10 or int(number) > MOST_STATED:
        raise XmcpipeError(
            f"{path}: expected at most {MOST_STATED:,} documents and labels in its header, got {number[:40]}",
            "check the first line",
        )
    return int(number)


def _some_lines(path: Path) -> Iterator[Block]:
    """The lines of a file, at most LINES at a time: a block of empty lines has millions of them."""
    for number, block in text_blocks(path, "utf-8", hint="write the file in UTF-8"):
        text = io.StringIO(block, newline="\n")
        while lines := [line.removesuffix("\n") for line in islice(text, LINES)]:
            yield number, lines
            number += len(lines)


def line_blocks(path: Path) -> Iterator[Block]:
    """Yield the lines of a UTF-8 file in blocks, without comments: lines that begin with `#`.

    A label may begin with `#` too: a line of `#name:score` is no comment. Raises the errors of `text_blocks`.
    """
    for number, lines in _some_lines(path):
        first = 0
        if any("#" in line for line in lines):
            for at, line in enumerate(lines):
                if line.lstrip().startswith("#") and not FORMS[NAMED].fullmatch(line.strip()):
                    if at > first:
                        yield number + first, lines[first:at]
                    first = at + 1
        if first < len(lines):
            yield number + first, lines[first:]


def form_of(path: Path, lines: list[str], role: str) -> str:
    """The form of a file whose first lines are given.

    The first line with data decides, except where its labels may be ids or names: then all lines do. Raises
    XmcpipeError for a form that holds no labels of the role.
    """
    if role == "filter":
        return FILTER
    filled = [line.strip() for line in lines if line.strip()]
    if not filled:
        return XC
    line = filled[0]
    first, *rest = line.split()
    if first.startswith(PREFIX):
        scored = all(map(FORMS[FASTTEXT_SCORED].fullmatch, filled))
        return FASTTEXT_SCORED if scored else FASTTEXT
    if re.fullmatch(r"\d+(,\d+)+", first) or _is_svmlight(path, filled, role):
        if role == "predictions":
            raise XmcpipeError(
                f"{path}: expected predictions, got true labels with features: {line[:60]!r}",
                "name this file as --truth, and the predictions as --predictions",
            )
        return SVMLIGHT
    if ":" in first:
        names = not all(map(FORMS[XC].fullmatch, filled)) and all(map(FORMS[NAMED].fullmatch, filled))
        return NAMED if names else XC
    if len(rest) % 2 and FORMS[OMIKUJI].fullmatch(line) and ("\t" in line or not rest[0].isdigit()):
        return OMIKUJI
    if len(rest) % 2 and not first.isdigit() and all(map(FORMS[FASTTEXT_SCORED].fullmatch, filled)):
        return FASTTEXT_SCORED
    return BY_ROW


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
