"""Finds rows among the documents that are none: comments, and a total in the last row."""

import logging
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.checks.first_rows import COMMENT
from xmcpipe.data.tables.checks.last_row import LastRow

logger = logging.getLogger(__name__)

MOST_WITHOUT = 0.05  # share of the other documents without a label: more are no sign of a comment
MOST_COMMENTS = 0.2  # share of the documents


class StrayRows:
    """Looks at the documents of a table, batch by batch; `finish` warns about rows that are none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = LastRow(path)
        self._documents = self._unlabelled = self._comments = self._marked = 0
        self._example = ""

    def see(self, documents: pl.DataFrame) -> None:
        """Take the next batch: `id` and `text` string, `labels` list<string>."""
        self._last.see(documents)
        without = documents["labels"].list.len() == 0
        marked = documents["text"].str.contains(COMMENT)
        # A comment stands in the first column, which may be that of ids.
        named = documents["id"].str.contains(COMMENT) & (documents["text"] == "")
        comments = without & (marked | named)
        self._documents += len(documents)
        self._unlabelled += int((without & ~comments).sum())
        self._marked += int((marked & ~without).sum())
        self._comments += int(comments.sum())
        if comments.any() and not self._example:
            row = int(comments.arg_max() or 0)
            self._example = documents["text"][row] or documents["id"][row]

    def finish(self) -> None:
        """Warn of comments and of a total.

        A text may begin as a comment does, with a title of Markdown for example. Then others that begin so
        have labels, or many documents have none.
        """
        self._last.finish()
        others = self._documents - self._comments
        if not self._comments or self._marked or self._comments > MOST_COMMENTS * self._documents:
            return
        if self._unlabelled > MOST_WITHOUT * others:
            return
        message = (
            "warning: %s: %s of %s rows have no label and begin as a comment does, such as %r: they are "
        )
        message += "read as documents: remove them if they are comments"
        counts = f"{self._comments:,}", f"{self._documents:,}"
        logger.warning(message, self._path, *counts, self._example[:60])
