"""Reads true labels from files of documents in which tabs separate labels and text, as import reads them too.

    id<TAB>a b<TAB>text        LibMultiLabel
    a b<TAB>text               LibMultiLabel, without ids
    0,3,17<TAB>text            PECOS text2text; also with relevance, 0::1.0,3::0.5
    text<TAB><uri> <uri>       Annif; labels are read without < and >

Nothing in such a file names its columns. So what can be read in two ways is refused, and what looks swapped
is noted.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from xmcpipe.data.label_lists.label_names import shown
from xmcpipe.data.label_lists.text.blocks import Block
from xmcpipe.errors import XmcpipeError

WITH_ID, WITHOUT_ID = "id<TAB>label label<TAB>text", "label label<TAB>text"
PECOS, ANNIF = "label,label<TAB>text", "text<TAB><uri> <uri>"
TAB_FORMS = (WITH_ID, WITHOUT_ID, PECOS, ANNIF)
RELEVANCE = r"\d+(?:::[-+.\deE]+)?"
PECOS_LABELS = re.compile(rf"\s*(?:{RELEVANCE}(?:\s*,\s*{RELEVANCE})*)?\s*")
URIS = re.compile(r"\s*(?:<[^<>\s]+>\s*)*")
WAY_OUT = "write id<TAB>labels<TAB>text in every line, or a .csv file with the header id,labels"
FEWEST = 3  # lines: fewer don't show which column is longer


@dataclass(frozen=True)
class TabColumns:
    """How lines are read: their form, and a sentence about what may be wrong with it, or ""."""

    form: str
    note: str = ""


def tab_columns(path: Path, lines: list[str]) -> TabColumns | None:
    """How the lines of a file are read, judged by all that are given; None if they aren't such lines.

    Raises XmcpipeError for lines that can be read in two ways.
    """
    rows = [line.split("\t") for line in lines if line.strip()]
    widths = {len(row) for row in rows}
    if widths == {3}:
        ids, labels, texts = zip(*rows, strict=True)
        _require_ids(path, ids)
        return TabColumns(WITH_ID, _swapped(path, labels, texts))
    if widths != {2}:
        return None
    first, second = zip(*rows, strict=True)
    if all(map(URIS.fullmatch, second)) and any(map(str.strip, second)):
        return TabColumns(ANNIF)
    if all(map(PECOS_LABELS.fullmatch, first)) and any("," in cell or "::" in cell for cell in first):
        return TabColumns(PECOS)
    words = [cell.split() for cell in first]
    if len(rows) > 1 and all(len(row) == 1 for row in words) and len(set(first)) == len(first):
        raise XmcpipeError(
            f"{path}: expected labels, a tab and a text, got one word before each tab that no other line "
            f"has, such as {shown(first[0])}: are these ids, or labels?",
            WAY_OUT,
        )
    return TabColumns(WITHOUT_ID, _swapped(path, first, second))


def read_tab_text(path: Path, blocks: Iterable[Block], form: str) -> Iterator[pa.RecordBatch]:
    """Yield batches with the columns labels and, if the lines have them, id and scores (PECOS' relevance).

    A blank line is a document without labels; with ids, there is none. Raises XmcpipeError, with the line,
    for a line of another form.
    """
    for number, lines in blocks:
        ids, labels, scores = [], [], []
        for at, line in enumerate(lines):
            if form == WITH_ID and not line.strip():
                continue
            cells = line.split("\t") if line.strip() else [""] * _width(form)
            if len(cells) != _width(form):
                raise _fault(path, number + at, form, line)
            ids.append(cells[0])
            names, weights = _labels(cells, form)
            if names is None:
                raise _fault(path, number + at, form, line)
            labels.append(names)
            scores.append(weights)
        columns = {"labels": pa.array(labels, pa.list_(pa.string()))}
        if form == WITH_ID:
            columns["id"] = pa.array(ids, pa.string())
        if form == PECOS:
            columns["scores"] = pa.array(scores, pa.list_(pa.float64()))
        yield pa.record_batch(columns)


def _labels(cells: list[str], form: str) -> tuple[list[str] | None, list[float]]:
    """The labels of a line, None if it has another form; and their relevance."""
    if form == ANNIF:
        uris = cells[1].split() if URIS.fullmatch(cells[1]) else None
        return uris and [uri[1:-1] for uri in uris], []
    if form != PECOS:
        return cells[1 if form == WITH_ID else 0].split(), []
    if not PECOS_LABELS.fullmatch(cells[0]):
        return None, []
    pairs = [word.strip().partition("::") for word in cells[0].split(",") if word.strip()]
    return [label for label, _, _ in pairs], [float(weight or 1) for _, _, weight in pairs]


def _width(form: str) -> int:
    return 3 if form == WITH_ID else 2


def _require_ids(path: Path, ids: tuple[str, ...]) -> None:
    if len(set(ids)) < len(ids):
        repeated = next(each for each in ids if ids.count(each) > 1)
        raise XmcpipeError(
            f"{path}: expected {WITH_ID}, got the id {shown(repeated)} in several lines", WAY_OUT
        )


def _swapped(path: Path, labels: tuple[str, ...], texts: tuple[str, ...]) -> str:
    """A sentence if the labels have more words than the texts."""
    counts = [sum(len(cell.split()) for cell in column) for column in (labels, texts)]
    if len(labels) < FEWEST or counts[0] <= counts[1]:
        return ""
    return (
        f"{path}: documents have {counts[0]:,} labels and {counts[1]:,} words of text, such as the labels "
        f"{shown(labels[0])} and the text {shown(texts[0])}: are the two swapped?"
    )


def _fault(path: Path, number: int, form: str, line: str) -> XmcpipeError:
    return XmcpipeError(
        f"{path}, line {number}: expected `{form}`, got {shown(line)}",
        "every line needs the same columns; a text holds no tabs",
    )
