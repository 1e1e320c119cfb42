"""Finds a last row that sums up the table, as spreadsheets and databases write it below the documents."""

import logging
import re
from pathlib import Path

import polars as pl

logger = logging.getLogger(__name__)

# Total, Grand Total, (12 rows), 12 rows affected; and what pivot tables have in other languages.
SUMS = re.compile(
    r"(grand[ -]|sub-?|overall )?totals?( général)?:?|sum:?|summe:?|gesamt(summe|ergebnis)?:?"
    r"|\(?[0-9][0-9,.]* (rows?|records?)( affected| selected| returned| in set.*)?\)?\.?",
    re.IGNORECASE,
)
NUMBER = re.compile(r"[0-9][0-9,.]*")


class LastRow:
    """Keeps the last documents of a table, batch by batch; `finish` warns if the last one is its total."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: pl.DataFrame | None = None

    def see(self, documents: pl.DataFrame) -> None:
        """Take the next batch: `id` and `text` string, `labels` list<string>."""
        last = documents.tail(2)
        self._last = last if self._last is None or len(last) == 2 else pl.concat([self._last, last]).tail(2)

    def finish(self) -> None:
        """Warn if the last row is a total: its text or id says so, and it has no label but a number.

        Where the row before has a number for a label, numbers are labels.
        """
        if self._last is None or len(self._last) < 2:
            return
        before, labels = self._last["labels"].to_list()
        cells = self._last["text"][1], self._last["id"][1]
        name = next((cell for cell in cells if SUMS.fullmatch(cell.strip())), None)
        if name is None or not all(map(NUMBER.fullmatch, labels)) or any(map(NUMBER.fullmatch, before)):
            return
        shown = f" with {', '.join(labels)[:60]}" if labels else ""
        message = "warning: %s: the last row, %r%s, is read as a document: remove it if it sums up the table"
        logger.warning(message, self._path, name[:60], shown)
