"""Reads text files of label names: LibMultiLabel's `name:score …`, and the files of fastText.

In a line of fastText, labels are the words with the prefix __label__, wherever they stand. The prefix is no
part of a name: `import` removes it too.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from xmcpipe.data.label_lists.text_form import FASTTEXT, FORMS, NAMED, PREFIX, Block
from xmcpipe.errors import XmcpipeError

EXCERPT = 60  # maximum number of characters of a faulty line in an error
Pair = tuple[str, float]


def read_named_text(path: Path, blocks: Iterable[Block], form: str, role: str) -> Iterator[pa.RecordBatch]:
    """Yield batches with the columns labels and, except for fastText without scores, scores.

    Raises XmcpipeError, with the line, for a line of another form.
    """
    for number, lines in blocks:
        rows = []
        for at, line in enumerate(lines):
            if not FORMS[form].fullmatch(line.strip()):
                raise _fault(path, number + at, form, line)
            rows.append(_pairs(line, form))
            if form == FASTTEXT and role == "predictions" and len(rows[-1]) < len(line.split()):
                raise _fault(path, number + at, f"{PREFIX}name {PREFIX}name …", line)
        columns = {"labels": pa.array([[name for name, _ in row] for row in rows], pa.list_(pa.string()))}
        if form != FASTTEXT:
            scores = [[score for _, score in row] for row in rows]
            columns["scores"] = pa.array(scores, pa.list_(pa.float64()))
        yield pa.record_batch(columns)


def _pairs(line: str, form: str) -> list[Pair]:
    """The names of a line with their scores; without scores, each has 1."""
    words = line.split()
    if form == FASTTEXT:
        return [(word.removeprefix(PREFIX), 1.0) for word in words if word.startswith(PREFIX)]
    if form == NAMED:
        return [(name, float(score)) for name, _, score in (word.rpartition(":") for word in words)]
    names = (word.removeprefix(PREFIX) for word in words[::2])
    return list(zip(names, map(float, words[1::2]), strict=True))


def _fault(path: Path, number: int, form: str, line: str) -> XmcpipeError:
    shown = line if len(line) <= EXCERPT else line[:EXCERPT] + "…"
    return XmcpipeError(
        f"{path}, line {number}: expected `{form}`, got {shown!r}",
        "write one document per line, in one form",
    )
