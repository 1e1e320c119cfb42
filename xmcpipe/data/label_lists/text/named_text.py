"""Reads text files of label names: LibMultiLabel's `name:score …`, and the files of fastText.

In a line of fastText, labels are the words with the prefix, mostly __label__, wherever they stand. The prefix
is no part of a name: `import` removes it too.
"""

from collections.abc import Iterator

import pyarrow as pa

from xmcpipe.data.label_lists.text.forms import FASTTEXT, FORMS, NAMED, excerpt
from xmcpipe.data.label_lists.text.text_form import TextFile
from xmcpipe.errors import XmcpipeError

Pair = tuple[str, float]


def read_named_text(file: TextFile, role: str) -> Iterator[pa.RecordBatch]:
    """Yield batches with the columns labels and, except for fastText without scores, scores.

    Raises XmcpipeError, with the line, for a line of another form.
    """
    form, prefix = file.form, file.prefix
    for number, lines in file.blocks:
        rows = []
        for at, line in enumerate(lines):
            if form != FASTTEXT and not FORMS[form].fullmatch(line.strip()):
                raise _fault(file, number + at, form, line)
            rows.append(_pairs(line, form, prefix))
            if form == FASTTEXT and role == "predictions" and len(rows[-1]) < len(line.split()):
                raise _fault(file, number + at, f"{prefix}name {prefix}name …", line)
            joined = next((name for name, _ in rows[-1] if prefix and (prefix in name or not name)), None)
            if joined is not None:
                raise _fault(file, number + at, f"{prefix}name {prefix}name …", line)
        columns = {"labels": pa.array([[name for name, _ in row] for row in rows], pa.list_(pa.string()))}
        if form != FASTTEXT:
            scores = [[score for _, score in row] for row in rows]
            columns["scores"] = pa.array(scores, pa.list_(pa.float64()))
        yield pa.record_batch(columns)


def _pairs(line: str, form: str, prefix: str) -> list[Pair]:
    """The names of a line with their scores; without scores, each has 1."""
    words = line.split()
    if form == FASTTEXT:
        return [(word.removeprefix(prefix), 1.0) for word in words if word.startswith(prefix)]
    if form == NAMED:
        return [(name, float(score)) for name, _, score in (word.rpartition(":") for word in words)]
    names = (word.removeprefix(prefix) for word in words[::2])
    return list(zip(names, map(float, words[1::2]), strict=True))


def _fault(file: TextFile, number: int, form: str, line: str) -> XmcpipeError:
    return XmcpipeError(
        f"{file.path}, line {number}: expected `{form}`, got {excerpt(line)}",
        "write one document per line, in one form",
    )
