"""Reads label lists from the text files of the Extreme Classification Repository and of its tools.

    label:score label:score …     one line per document, empty without labels (X_Y, omikuji, napkinXC)
    row label:score …             the number of the document, from 0, comes first; rows are in any order, and
                                  a missing row is a document without labels
    row label                     filter pairs (filter_labels_test.txt): only in the role `filter`

The first two forms may begin with a header, `N L` or `N D L`; a file that contradicts its header is refused.
The first line with data decides which of these two forms a file has. In predictions, the number after the
colon is a score; in other files it is 1, or 0 for no label.

Legend: N documents · D features · L labels.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xmcpipe.data.arrays import row_offsets
from xmcpipe.data.label_lists.lists import Int64s, Scores
from xmcpipe.data.tables.lines import text_blocks
from xmcpipe.errors import XmcpipeError

ROWS = 1 << 16  # maximum number of documents in a piece
EXCERPT = 60  # maximum number of characters of a faulty line in an error
Block = tuple[int, list[str]]  # the number of the first line, and the lines
Piece = tuple[Int64s, Int64s, Scores | None]  # lengths, labels, scores
Triples = tuple[Int64s, Int64s, Scores]  # row, label and score of each pair
NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|nan)"
PAIRS = rf"(\d+:({NUMBER})(\s+|$))*"
FORMS = {
    "label:score …": re.compile(PAIRS, re.IGNORECASE),
    "row label:score …": re.compile(rf"(\d+(\s+|$){PAIRS})?", re.IGNORECASE),
    "row label": re.compile(r"(\d+\s+\d+)?"),
}


def read_xc_text(path: Path, role: str) -> tuple[Iterator[Piece], int | None]:
    """An iterator over pieces (lengths, labels, scores), some documents each, and L if the header states it.

    Scores are None except in the role `predictions`. While iterating, XmcpipeError is raised, with the line,
    for a line of another form, and for a file that contradicts its header.
    """
    blocks = _line_blocks(path)
    number, lines = next(blocks, (1, []))
    documents = width = None
    if role != "filter" and lines and re.fullmatch(r"\s*\d+(\s+\d+){1,2}\s*", lines[0]):
        header = lines[0].split()
        documents, width = int(header[0]), int(header[-1])
        number, lines = number + 1, lines[1:]
    blocks = chain([(number, lines)], blocks)  # put the first block back, without the header
    form = "row label" if role == "filter" else _form(lines)
    if form == "label:score …":
        pieces = _by_line(path, blocks, documents)
    else:
        pieces = _by_row(path, (_triples(path, form, block) for block in blocks), documents)
    return (_checked(path, role, piece, width) for piece in pieces), width


def _line_blocks(path: Path) -> Iterator[Block]:
    for number, block in text_blocks(path, "utf-8", hint="write the file in UTF-8"):
        lines = block.split("\n")
        yield number, lines if lines[-1] else lines[:-1]


def _form(lines: list[str]) -> str:
    """The form of a file, judged by its first line with data: does the first word have a colon?"""
    line = next((line for line in lines if line.strip()), ":")
    return "label:score …" if ":" in line.split()[0] else "row label:score …"


def _by_line(path: Path, blocks: Iterable[Block], documents: int | None) -> Iterator[Piece]:
    """The pieces of a file with one line per document; `documents` is N if the header states it."""
    num_lines = 0
    for block in blocks:
        rows, labels, scores = _triples(path, "label:score …", block)
        count = len(block[1])
        num_lines += count
        yield np.bincount(rows, minlength=count).astype(np.int64), labels, scores
    if documents not in (None, num_lines):
        raise XmcpipeError(
            f"{path}: expected {documents:,} documents, as its header states, got {num_lines:,} lines",
            "write one line per document, also for those without labels",
        )


def _by_row(path: Path, parts: Iterable[Triples], documents: int | None) -> Iterator[Piece]:
    """The pieces of a file whose lines state their row.

    Rows are in any order, so the whole file is read before the first piece is yielded.
    """
    none: Triples = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    rows, labels, scores = map(np.concatenate, zip(none, *parts, strict=True))
    last = int(rows.max(initial=-1))
    if documents is None:
        documents = last + 1
    if last >= documents:
        raise XmcpipeError(
            f"{path}: expected rows below {documents:,}, as its header states, got {last:,}",
            "rows are counted from 0",
        )
    if np.any(rows[1:] < rows[:-1]):
        order = np.argsort(rows, kind="stable")  # stable: keeps the order of labels within a document
        rows, labels, scores = rows[order], labels[order], scores[order]
    ends = np.searchsorted(rows, np.arange(documents + 1))
    for first in range(0, documents, ROWS):
        piece = ends[first : first + ROWS + 1]
        pairs = slice(int(piece[0]), int(piece[-1]))
        yield np.diff(piece), labels[pairs], scores[pairs]


def _checked(path: Path, role: str, piece: Piece, width: int | None) -> Piece:
    """The piece with its labels checked; except for predictions, without scores and without zeros."""
    lengths, labels, scores = piece
    if width is not None and int(labels.max(initial=-1)) >= width:
        raise XmcpipeError(
            f"{path}: expected labels below {width:,}, as its header states, got {int(labels.max())}",
            "labels are counted from 0",
        )
    if role == "predictions":
        return piece
    if scores is not None and np.isnan(scores).any():
        label = int(labels[np.isnan(scores).argmax()])
        raise XmcpipeError(f"{path}: expected 1 or 0 for a label, got `{label}:nan`", "0 means no label")
    if scores is not None and not np.all(scores):
        nonzero = scores != 0
        lengths = np.diff(row_offsets(nonzero)[row_offsets(lengths)])
        labels = labels[nonzero]
    return lengths, labels, None


def _triples(path: Path, form: str, block: Block) -> Triples:
    """(row, label, score) of each pair of a block; in the first form, rows are line numbers in the block."""
    number, lines = block
    try:
        lengths, tokens = _tokens(lines)
        rows: Any = np.arange(len(lines))
        if form == "row label":
            if not set(np.unique(lengths)) <= {0, 2}:
                _refuse(path, form, number, lines)
            row_and_label = tokens.cast(pa.int64()).to_numpy()
            triples: Triples = (row_and_label[::2], row_and_label[1::2], np.ones(len(tokens) // 2))
        else:
            if form == "row label:score …":
                # In each line that isn't blank, the first word is the row, and the others are pairs.
                filled = lengths > 0
                firsts = (np.cumsum(lengths) - lengths)[filled]
                rows = tokens.take(pa.array(firsts)).cast(pa.int64()).to_numpy()
                tokens = tokens.filter(pa.array(~np.isin(np.arange(len(tokens)), firsts)))
                lengths = lengths[filled] - 1
            triples = (np.repeat(rows, lengths), *_pairs(tokens))
    except pa.ArrowException:
        _refuse(path, form, number, lines)
    if min(int(column.min(initial=0)) for column in triples[:2]) < 0:  # rows and labels
        _refuse(path, form, number, lines)
    return triples


def _tokens(lines: list[str]) -> tuple[Int64s, pa.Array]:
    """The number of words in each line, int64 [lines], and the words end to end."""
    trimmed = pc.utf8_trim_whitespace(pa.array(lines, pa.string()))
    split = pc.utf8_split_whitespace(trimmed)
    lengths = pc.list_value_length(split).to_numpy(zero_copy_only=False).astype(np.int64)
    # Arrow splits an empty line into one empty word.
    lengths[pc.equal(trimmed, "").to_numpy(zero_copy_only=False)] = 0
    words = split.flatten()
    return lengths, words.filter(pc.not_equal(words, ""))


def _pairs(tokens: pa.Array) -> tuple[Int64s, Scores]:
    """Labels and scores of words `label:score`. Raises ArrowInvalid for any other word."""
    halves = pc.split_pattern(tokens, ":")
    if not pc.all(pc.equal(pc.list_value_length(halves), 2), min_count=0).as_py():
        raise pa.ArrowInvalid("a word is not a pair")
    halves = halves.flatten()
    labels, scores = (halves.take(pa.array(np.arange(at, len(halves), 2))) for at in (0, 1))
    return labels.cast(pa.int64()).to_numpy(), scores.cast(pa.float64()).to_numpy()


def _refuse(path: Path, form: str, number: int, lines: list[str]) -> NoReturn:
    """Raise XmcpipeError for the first line of another form.

    Only a block that failed gets here, so that the slow check of each line doesn't matter.
    """
    at = next((at for at, line in enumerate(lines) if not FORMS[form].fullmatch(line.strip())), 0)
    shown = lines[at] if len(lines[at]) <= EXCERPT else lines[at][:EXCERPT] + "…"
    raise XmcpipeError(
        f"{path}, line {number + at}: expected `{form}`, got {shown!r}",
        "rows and labels are whole numbers from 0; write no space around the colon",
    )
