"""Reads label lists from the text files of the extreme classification repository and of its tools.

    label:score label:score …     a line a document, an empty line one without labels (X_Y, omikuji, napkinXC)
    row label:score …             the row's number from 0 first; rows in any order, without a line empty
    row label                     pairs that must not be predicted: role `filter` (filter_labels_test.txt)

The first two may begin with a header, `N L` or `N D L`: what doesn't fit its numbers of documents and labels
is refused. The first line of data tells which of the two a file is. The numbers after the colon are scores of
predictions; in other files they are 1, or 0 for no label.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xmcpipe.data.label_lists.lists import Int64s, Scores
from xmcpipe.data.tables.lines import text_blocks
from xmcpipe.errors import XmcpipeError

ROWS = 1 << 16
SHOWN = 60  # characters of a faulty line
Block = tuple[int, list[str]]  # the number of the first line, and lines
Piece = tuple[Int64s, Int64s, Scores | None]
Triples = tuple[Int64s, Int64s, Scores]
NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|nan)"
PAIRS = rf"(\d+:({NUMBER})(\s+|$))*"
FORMS = {
    "label:score …": re.compile(PAIRS, re.IGNORECASE),
    "row label:score …": re.compile(rf"(\d+(\s+|$){PAIRS})?", re.IGNORECASE),
    "row label": re.compile(r"(\d+\s+\d+)?"),
}


def read_xc_text(path: Path, role: str) -> tuple[Iterator[Piece], int | None]:
    """(lengths, labels, scores) of some documents at a time, scores of predictions only; and L by the header.

    Raises XmcpipeError, naming the line, for a line of another form, and where lines and header differ.
    """
    blocks = _line_blocks(path)
    number, lines = next(blocks, (1, []))
    documents = width = None
    if role != "filter" and lines and re.fullmatch(r"\s*\d+(\s+\d+){1,2}\s*", lines[0]):
        header = lines[0].split()
        documents, width = int(header[0]), int(header[-1])
        number, lines = number + 1, lines[1:]
    blocks = chain([(number, lines)], blocks)
    form = "row label" if role == "filter" else _form(lines)
    if form == "label:score …":
        pieces = _by_line(path, blocks, documents)
    else:
        pieces = _by_row(path, (_triples(path, form, block) for block in blocks), documents)
    return (_checked(path, role, piece, width) for piece in pieces), width


def _line_blocks(path: Path) -> Iterator[Block]:
    for number, block in text_blocks(path, "utf-8", remedy="write the file in UTF-8"):
        lines = block.split("\n")
        yield number, lines if lines[-1] else lines[:-1]


def _form(lines: list[str]) -> str:
    line = next((line for line in lines if line.strip()), ":")
    return "label:score …" if ":" in line.split()[0] else "row label:score …"


def _by_line(path: Path, blocks: Iterable[Block], documents: int | None) -> Iterator[Piece]:
    given = 0
    for block in blocks:
        rows, labels, scores = _triples(path, "label:score …", block)
        count = len(block[1])
        given += count
        yield np.bincount(rows, minlength=count).astype(np.int64), labels, scores
    if documents not in (None, given):
        raise XmcpipeError(
            f"{path}: its header tells of {documents:,} documents, and it has {given:,} lines of them",
            "write a line a document, empty ones too",
        )


def _by_row(path: Path, parts: Iterable[Triples], documents: int | None) -> Iterator[Piece]:
    """Documents of lines that say their row, which may be any; so all are read before the first is told."""
    none: Triples = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    rows, labels, scores = map(np.concatenate, zip(none, *parts, strict=True))
    most = int(rows.max(initial=-1))
    if documents is None:
        documents = most + 1
    if most >= documents:
        raise XmcpipeError(
            f"{path} has the row {most:,}, and its header tells of {documents:,} documents",
            "rows are counted from 0",
        )
    if np.any(rows[1:] < rows[:-1]):
        order = np.argsort(rows, kind="stable")
        rows, labels, scores = rows[order], labels[order], scores[order]
    ends = np.searchsorted(rows, np.arange(documents + 1))
    for first in range(0, documents, ROWS):
        piece = ends[first : first + ROWS + 1]
        pairs = slice(int(piece[0]), int(piece[-1]))
        yield np.diff(piece), labels[pairs], scores[pairs]


def _checked(path: Path, role: str, piece: Piece, width: int | None) -> Piece:
    lengths, labels, scores = piece
    if width is not None and int(labels.max(initial=-1)) >= width:
        raise XmcpipeError(
            f"{path} has the label {int(labels.max())}, and its header tells of {width:,} labels",
            "labels are counted from 0",
        )
    if role == "predictions":
        return piece
    if scores is not None and np.isnan(scores).any():
        label = int(labels[np.isnan(scores).argmax()])
        raise XmcpipeError(f"{path}: `{label}:nan` was given", "1 is a label, 0 is none")
    if scores is not None and not np.all(scores):
        kept_before = np.concatenate([[0], np.cumsum(scores != 0)])
        lengths = np.diff(kept_before[np.concatenate([[0], np.cumsum(lengths)])])
        labels = labels[scores != 0]
    return lengths, labels, None


def _triples(path: Path, form: str, block: Block) -> Triples:
    """(row, label, score) of each pair of a block; without row numbers the row is the line's place in it."""
    number, lines = block
    try:
        lengths, tokens = _tokens(lines)
        rows: Any = np.arange(len(lines))
        if form == "row label":
            if not set(np.unique(lengths)) <= {0, 2}:
                _refuse(path, form, number, lines)
            row_and_label = tokens.cast(pa.int64()).to_numpy()
            found: Triples = (row_and_label[::2], row_and_label[1::2], np.ones(len(tokens) // 2))
        else:
            if form == "row label:score …":
                there = lengths > 0
                firsts = (np.cumsum(lengths) - lengths)[there]
                rows = tokens.take(pa.array(firsts)).cast(pa.int64()).to_numpy()
                tokens = tokens.filter(pa.array(~np.isin(np.arange(len(tokens)), firsts)))
                lengths = lengths[there] - 1
            found = (np.repeat(rows, lengths), *_pairs(tokens))
    except pa.ArrowException:
        _refuse(path, form, number, lines)
    if min(int(column.min(initial=0)) for column in found[:2]) < 0:
        _refuse(path, form, number, lines)
    return found


def _tokens(lines: list[str]) -> tuple[Int64s, pa.Array]:
    """Words of each line int64 [lines], and the words end to end."""
    trimmed = pc.utf8_trim_whitespace(pa.array(lines, pa.string()))
    split = pc.utf8_split_whitespace(trimmed)
    lengths = pc.list_value_length(split).to_numpy(zero_copy_only=False).astype(np.int64)
    lengths[pc.equal(trimmed, "").to_numpy(zero_copy_only=False)] = 0
    words = split.flatten()
    return lengths, words.filter(pc.not_equal(words, ""))


def _pairs(tokens: pa.Array) -> tuple[Int64s, Scores]:
    """Labels and scores of words `label:score`. Raises ArrowInvalid for others."""
    halves = pc.split_pattern(tokens, ":")
    if not pc.all(pc.equal(pc.list_value_length(halves), 2), min_count=0).as_py():
        raise pa.ArrowInvalid("a word is no pair")
    halves = halves.flatten()
    labels, scores = (halves.take(pa.array(np.arange(at, len(halves), 2))) for at in (0, 1))
    return labels.cast(pa.int64()).to_numpy(), scores.cast(pa.float64()).to_numpy()


def _refuse(path: Path, form: str, number: int, lines: list[str]) -> NoReturn:
    """Name the line that isn't of the form; only now are lines looked at one by one."""
    at = next((at for at, line in enumerate(lines) if not FORMS[form].fullmatch(line.strip())), 0)
    shown = lines[at] if len(lines[at]) <= SHOWN else lines[at][:SHOWN] + "…"
    raise XmcpipeError(
        f"{path}, line {number + at}: {shown!r} was given, `{form}` was wanted",
        "rows and labels are whole numbers from 0, without a space around the colon",
    )
