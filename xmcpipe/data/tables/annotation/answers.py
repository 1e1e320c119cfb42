"""Rows that annotators did not confirm, in the exports of their tools.

    Prodigy         answer: accept, reject or ignore. A text has a row for each `label` that was asked for,
                    and a rejected row says that the text does not have it; or one row with a list, `accept`.
    Argilla         status: discarded; and, beside a column of responses, the status of each response
    Label Studio    was_cancelled: true
    doccano         annotation_approver: empty in rows that nobody approved

A column of such a name may be anything. It counts if all of its values are those of the tool.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from xmcpipe.data.tables.annotation.responses import without_unsubmitted
from xmcpipe.data.tables.selection import row_error

logger = logging.getLogger(__name__)

ANSWER, STATUS, CANCELLED, APPROVER = "answer", "status", "was_cancelled", "annotation_approver"
PRODIGY = "_input_hash"  # a column that only Prodigy writes
WORDS = {
    ANSWER: ("accept", "reject", "ignore"),
    STATUS: ("validated", "discarded", "default", "edited", "completed", "pending", "draft", "submitted"),
    CANCELLED: ("true", "false"),
}
UNCONFIRMED = ("reject", "ignore", "discarded", "true")


def watched_columns(labels: str) -> tuple[str, ...]:
    """The columns of annotation tools to look at, beside the column `labels`."""
    return (ANSWER, PRODIGY, STATUS, CANCELLED, APPROVER, f"{labels}.status")


@dataclass
class Answers:
    """Removes the rows and labels of one table that annotators did not confirm, batch by batch.

    `labels` is the column of labels, "" if each label has a column. Documents of a table of Prodigy with a
    row for each label are held back: those of one text become one document, which `finish` returns.
    """

    path: Path
    labels: str
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    others: set[str] = field(default_factory=set)  # columns that are not those of the tool
    held: list[pl.DataFrame] = field(default_factory=list)

    def confirmed(self, rows: pl.DataFrame, documents: pl.DataFrame) -> pl.DataFrame:
        """The documents, with `id`, `text` and `labels`, of the next n `rows` that annotators confirmed.

        Raises XmcpipeError for a column that seemed to be that of a tool in the rows before.
        """
        documents = without_unsubmitted(rows, documents, self.labels, self.path, self.rows, self.counts)
        stays = pl.repeat(True, len(rows), eager=True)
        for name, word in ((STATUS, "discarded"), (CANCELLED, "true")):
            if (values := self._values(rows, name)) is not None:
                stays &= ~self._count(name, word, values == word)
        if APPROVER in rows.columns and rows[APPROVER].dtype in (pl.String, pl.Null):
            self._count(APPROVER, "", rows[APPROVER].cast(pl.String).fill_null("") == "")
        answers = self._values(rows, ANSWER) if self._is_of_prodigy(rows) else None
        self.rows += len(rows)
        if answers is None:
            return documents.filter(stays)
        stays &= ~self._count(ANSWER, "ignore", answers == "ignore")
        rejected = self._count(ANSWER, "reject", answers == "reject")
        if not self._asks_for_one_label(rows):
            return documents.filter(stays & ~rejected)
        self._hold(documents.filter(stays), rejected.filter(stays))
        return documents.clear()

    def finish(self) -> Iterator[pl.DataFrame]:
        """Yield the documents that were held back, and log what was left out."""
        self._say()
        if self.held:
            yield self._merged(pl.concat(self.held))

    def _values(self, rows: pl.DataFrame, name: str) -> pl.Series | None:
        """The values of a column of a tool, "" for none; None if it is absent, or another column."""
        if name not in rows.columns or name in self.others:
            return None
        values = pl.Series(name, ["?"] * len(rows))
        if rows[name].dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Null):
            values = rows[name].cast(pl.String).fill_null("").str.strip_chars().str.to_lowercase()
        unknown = ~values.is_in([*WORDS[name], ""])
        if not unknown.any():
            return values
        if any(self.counts[f"{name} {word}"] for word in WORDS[name]):
            row = int(unknown.arg_max() or 0)
            raise row_error(
                self.path,
                f"row {self.rows + row + 1}",
                f"expected one of {', '.join(WORDS[name])} in {name!r}, as in the rows before, got "
                f"{str(rows[name][row])[:40]!r}",
                "rename the column if it is not that of an annotation tool",
            )
        self.others.add(name)
        return None

    def _count(self, name: str, word: str, found: pl.Series) -> pl.Series:
        """Count the rows `found`, bool [n], and return them."""
        self.counts[f"{name} {word}"] += int(found.sum())
        return found

    def _is_of_prodigy(self, rows: pl.DataFrame) -> bool:
        return self.labels in ("label", "accept") or PRODIGY in rows.columns

    def _asks_for_one_label(self, rows: pl.DataFrame) -> bool:
        return (
            self.labels in rows.columns and self.labels != "accept" and rows[self.labels].dtype == pl.String
        )

    def _hold(self, documents: pl.DataFrame, rejected: pl.Series) -> None:
        """Keep the documents for `_merged`, with the labels of rejected rows as `without` them."""
        labels, none = documents["labels"], pl.Series("labels", [[]], pl.List(pl.String))
        accepted = labels.zip_with(~rejected, none), labels.zip_with(rejected, none)
        columns = [documents["id"], documents["text"], accepted[0], accepted[1].alias("without")]
        self.held.append(pl.DataFrame(columns))

    def _merged(self, rows: pl.DataFrame) -> pl.DataFrame:
        """A document for each text of the `rows` of Prodigy, with all labels that were accepted."""
        joined = [
            pl.col(name).explode().drop_nulls().unique(maintain_order=True) for name in ("labels", "without")
        ]
        texts = rows.group_by("text", maintain_order=True).agg(pl.col("id").first(), *joined)
        both = int(texts["labels"].list.set_intersection(texts["without"]).list.len().sum())
        if both:
            message = (
                "warning: %s: labels accepted in one row and rejected in another of the same text, which "
            )
            message += "count as accepted: %s"
            logger.warning(message, self.path, f"{both:,}")
        message = "%s: rows of one text are one document: %s rows, %s documents"
        logger.info(message, self.path, f"{len(rows):,}", f"{len(texts):,}")
        return texts.select("id", "text", "labels")

    def _say(self) -> None:
        """Log what was left out."""
        found, of = self.counts, f"of {self.rows:,} rows"
        rejected, ignored = found[f"{ANSWER} reject"], found[f"{ANSWER} ignore"]
        if rejected or ignored:
            what = "their label is not read" if self.held else "left out"
            message = "%s: answers of Prodigy: %s rejected (%s), %s ignored (left out), %s"
            logger.info(message, self.path, f"{rejected:,}", what, f"{ignored:,}", of)
        for name, word, tool in ((STATUS, "discarded", "Argilla"), (CANCELLED, "true", "Label Studio")):
            if number := found[f"{name} {word}"]:
                message = "warning: %s: left out %s %s, whose %r is %s (%s): rename that column to keep them"
                logger.warning(message, self.path, f"{number:,}", of, name, word, tool)
        if number := found["responses"]:
            message = (
                "warning: %s: labels left out, whose response was not submitted (%s.status, Argilla): %s"
            )
            logger.warning(message, self.path, self.labels, f"{number:,}")
        unapproved = found[f"{APPROVER} "]
        if 0 < unapproved < self.rows:
            message = "warning: %s: nobody approved %s %s, whose %r is empty (doccano): they are read too"
            logger.warning(message, self.path, f"{unapproved:,}", of, APPROVER)
