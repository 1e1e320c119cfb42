"""Reads label ids from the text files of the Extreme Classification Repository and of its tools.

    label:score label:score …     one line per document, empty without labels (X_Y, napkinXC)
    label score<TAB>label score   the same, as omikuji writes it
    label,label feature:value …   true labels, then features, which are skipped (svmlight)
    row label:score …             the number of the document, from 0, comes first; in predictions, rows are in
                                  any order; a missing row is a document without labels
    row label                     filter pairs (filter_labels_test.txt): only in the role `filter`

text_form.py judges which form a file has. A file that contradicts its header is refused. In predictions, the
number of a pair is a score; in other files it is 1, or 0 for no label.

Legend: N documents · D features · L labels.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xmcpipe.data.arrays import row_offsets
from xmcpipe.data.label_lists.lists import Int64s, Scores
from xmcpipe.data.label_lists.text.blocks import Block
from xmcpipe.data.label_lists.text.forms import BY_ROW, FILTER, FORMS, OMIKUJI, SVMLIGHT, XC, excerpt
from xmcpipe.data.label_lists.text.text_form import TextFile, trimmed
from xmcpipe.errors import XmcpipeError

ROWS = 1 << 16  # maximum number of documents in a piece
MOST_EMPTY = 1 << 24  # documents without labels that a file may have, where its lines state their row
Piece = tuple[Int64s, Int64s, Scores | None]  # lengths, labels, scores
Triples = tuple[Int64s, Int64s, Scores]  # row, label and score of each pair


def read_xc_text(file: TextFile, role: str) -> Iterator[Piece]:
    """Yield pieces (lengths, labels, scores), some documents each.

    In the role `filter`, and for labels without values, scores are 1. Raises XmcpipeError, with the line, for
    a line of another form, and for a file that contradicts its header.
    """
    blocks = ((number, trimmed(lines)) for number, lines in file.blocks)
    if file.form in (XC, OMIKUJI, SVMLIGHT):
        pieces = _by_line(file, blocks)
    else:
        pieces = _by_row(file, role, (_triples(file.path, file.form, block) for block in blocks))
    return (_checked(file, role, piece) for piece in pieces)


def _by_line(file: TextFile, blocks: Iterable[Block]) -> Iterator[Piece]:
    """The pieces of a file with one line per document."""
    num_lines = 0
    for block in blocks:
        rows, labels, scores = _triples(file.path, file.form, block)
        count = len(block[1])
        num_lines += count
        yield np.bincount(rows, minlength=count).astype(np.int64), labels, scores
    if file.documents not in (None, num_lines):
        raise XmcpipeError(
            f"{file.path}: expected {file.documents:,} documents, as its header states, "
            f"got {num_lines:,} lines",
            "write one line per document, also for those without labels",
        )


def _by_row(file: TextFile, role: str, parts: Iterable[Triples]) -> Iterator[Piece]:
    """The pieces of a file whose lines state their row.

    Rows are in any order, so the whole file is read before the first piece is yielded.
    """
    none: Triples = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    rows, labels, scores = map(np.concatenate, zip(none, *parts, strict=True))
    if file.form == BY_ROW:
        _refuse_other_columns(file.path, role, rows, scores)
    last = int(rows.max(initial=-1))
    documents = last + 1 if file.documents is None else file.documents
    most = max(MOST_EMPTY, 64 * len(rows))
    if documents > most:
        raise XmcpipeError(
            f"{file.path}: expected at most {most:,} documents for its {len(rows):,} labels, "
            f"got {documents:,}",
            "rows are counted from 0, and come before the labels",
        )
    if last >= documents:
        raise XmcpipeError(
            f"{file.path}: expected rows below {documents:,}, as its header states, got {last:,}",
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


def _refuse_other_columns(path: Path, role: str, rows: Int64s, scores: Scores) -> None:
    """Raise XmcpipeError if the first number of a line is no row: the only label of a document in svmlight.

    Lines of true labels must then be in the order of their rows, and their values 1 or 0. `rows` and
    `scores` are those of all pairs.
    """
    values = scores[~np.isnan(scores)]  # NaN has an error of its own
    if role != "predictions" and (np.any(rows[1:] < rows[:-1]) or not np.isin(values, (0, 1)).all()):
        raise XmcpipeError(
            f"{path}: expected `row label:1 label:1 …` with rows that rise, got other rows or values",
            "for lines `label feature:value …` of svmlight, write the labels alone: `label:1 label:1 …`",
        )


def _checked(file: TextFile, role: str, piece: Piece) -> Piece:
    """The piece with its labels checked; except for predictions, without zeros."""
    lengths, labels, scores = piece
    assert scores is not None
    if file.width is not None and int(labels.max(initial=-1)) >= file.width:
        raise XmcpipeError(
            f"{file.path}: expected labels below {file.width:,}, as its header states, "
            f"got {int(labels.max())}",
            "labels are counted from 0",
        )
    if role == "predictions":
        return piece
    if np.isnan(scores).any():
        label = int(labels[np.isnan(scores).argmax()])
        raise XmcpipeError(f"{file.path}: expected 1 or 0 for a label, got `{label}:nan`", "0 means no label")
    if not np.all(scores):
        nonzero = scores != 0
        lengths = np.diff(row_offsets(nonzero)[row_offsets(lengths)])
        labels, scores = labels[nonzero], scores[nonzero]
    return lengths, labels, scores


def _triples(path: Path, form: str, block: Block) -> Triples:
    """(row, label, score) of each pair of a block; except by row, rows are line numbers in the block."""
    number, lines = block
    if form in AS_PAIRS:
        if not all(FORMS[form].fullmatch(line.strip()) for line in lines):
            _refuse(path, form, number, lines)
        lines = [AS_PAIRS[form](line.strip()) for line in lines]
    try:
        lengths, tokens = _tokens(lines)
        rows: Any = np.arange(len(lines))
        if form == FILTER:
            if not set(np.unique(lengths)) <= {0, 2}:
                _refuse(path, form, number, lines)
            row_and_label = tokens.cast(pa.int64()).to_numpy()
            triples: Triples = (row_and_label[::2], row_and_label[1::2], np.ones(len(tokens) // 2))
        else:
            if form == BY_ROW:
                # In each line that isn't blank, the first word is the row, and the others are pairs.
                filled = lengths > 0
                firsts = (np.cumsum(lengths) - lengths)[filled]
                rows = tokens.take(pa.array(firsts)).cast(pa.int64()).to_numpy()
                tokens = tokens.filter(pa.array(~np.isin(np.arange(len(tokens)), firsts)))
                lengths = lengths[filled] - 1
                if len(rows) and not len(tokens):
                    _refuse(path, form, number, lines)
            triples = (np.repeat(rows, lengths), *_pairs(tokens))
    except pa.ArrowException:
        _refuse(path, form, number, lines)
    if min(int(column.min(initial=0)) for column in triples[:2]) < 0:  # rows and labels
        _refuse(path, form, number, lines)
    return triples


def _without_features(line: str) -> str:
    """The labels of a line of svmlight as pairs: `1,5 3:0.2` is `1:1 5:1`; a line may have none."""
    first = line.split(maxsplit=1)[0] if line else ":"
    return "" if ":" in first else " ".join(f"{label}:1" for label in first.split(","))


# Forms that are read as pairs `label:score`.
AS_PAIRS: dict[str, Callable[[str], str]] = {
    OMIKUJI: lambda line: re.sub(" +", ":", line),
    SVMLIGHT: _without_features,
}


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
    raise XmcpipeError(
        f"{path}, line {number + at}: expected `{form}`, got {excerpt(lines[at])}", _way_out(lines[at])
    )


def _way_out(line: str) -> str:
    """What to do with a line of another form."""
    if re.search(r":\s*\d+,\d", line):
        return "write numbers with a decimal point, 0.9; ids and rows are whole numbers from 0"
    if re.fullmatch(r"\s*\d+(?:[\s,;]+\d+)*\s*", line):
        return "write ids alone as label:1 label:1, or as a .csv file with the header line labels"
    if re.match(r"\s*[\[({]", line):
        return "write lists as JSON lines, .jsonl, or as a .csv file with the header line labels"
    if ":" not in line and "\t" not in line and "\n" not in line and re.match(r"\s*[^\W\d]", line):
        return (
            "write names as name:1 name:1, or as JSON lines; labels of fastText begin with __label__ "
            "(sed 's/PREFIX/__label__/g' FILE)"
        )
    return (
        "ids and rows are whole numbers from 0, without a space around the colon; labels of fastText begin "
        "with __label__ (sed 's/PREFIX/__label__/g' FILE); see docs/metrics.md"
    )
