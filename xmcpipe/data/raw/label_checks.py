"""Checks, once all documents are read, that their labels are what the user means by a label."""

import logging
import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from xmcpipe.data.raw.label_writing import EXAMPLES, counted, examples, warn_of_writing
from xmcpipe.data.strings.missing_words import missing_words
from xmcpipe.errors import XmcpipeError

logger = logging.getLogger(__name__)

TABLE = "label table"
FEW = 0.5  # share of the documents' labels in the label table below which a warning appears
NOTICED = 0.001  # share of names with an odd end from which a warning appears
RARE = 0.5  # share of pairs whose label occurs once above which a warning appears
RELEVANCE = r"::[0-9.]+$"  # PECOS writes 3::0.5 for label 3 with relevance 0.5
# svmlight writes 3:1, others name:0.5, name=0.5, name^0.5, name (0.5) or name (50%)
WEIGHT = r"[:=^][0-9]*\.[0-9]+$|[:=]1$|\((?:[0-9]*\.[0-9]+|[0-9]+%)\)$"
BITS = r"[:=][01]$"  # a vector by names: art=0;law=1
REPEATING = 0.5  # share of the documents with a label twice from which a warning appears
FILLER = r"(?i)-?[0-9]+|pad|<pad>|\[pad\]|none|null|n/?a|nan|unknown|other|padding"  # what may fill a list
SCATTERED = 0.1  # share of the documents with an earlier text and another label from which a warning appears
COMMON = 0.95  # share of the documents with one label from which a warning appears
# A bracket whose other half is not in the name, square brackets or quotes around it, a quote at one end.
ODD_END = (
    r"^\[.*\]$|^[\[({<][^\])}>]*$|^[^\[({<]*[\])}>]$|^\s*\".*\"$|^\s*'.*'$"
    r"|^['\"`](?:[^0-9'\"][^'\"]*)?$|^[^'\"]*['\"]$"
)


def check_labels(
    names: pl.Series,
    codes: npt.NDArray[np.int32],
    documents: int,
    table: pl.DataFrame | None,
    separated: bool = True,
) -> None:
    """Raise XmcpipeError for labels that surely were read wrongly, and warn about those that may have been.

    `names` has the name of each code, string [codes]; `codes` are those of all pairs of a document and a
    label, distinct in a document, of N `documents`. The label `table`, if any, has the first codes.
    `separated`: whether a separator may be wrong.
    """
    counts = np.bincount(codes, minlength=len(names))
    used = names.filter(pl.Series(counts > 0))
    if used.is_empty():
        return
    if table is not None:
        _check_table(names, counts > 0, table)
    _check_relevance(used)
    _check_ends(used)
    warn_of_missing("label", missing_words(used))
    warn_of_writing(used, several=len(codes) > documents, separated=separated)
    _check_rare(used, counts, separated)
    _check_common(names, counts, documents)


def compare_splits(names: pl.Series, train: npt.NDArray[np.int32], test: npt.NDArray[np.int32]) -> None:
    """Warn if most labels of the test documents, codes `test`, are in no training document, codes `train`."""
    trained, tested = (np.bincount(codes, minlength=len(names)) > 0 for codes in (train, test))
    unseen = tested & ~trained
    of_train, of_test = (names.filter(pl.Series(mask)) for mask in (trained, tested))
    _check_shift(of_train, of_test, "training documents", "test documents")
    if unseen.sum() > FEW * tested.sum():
        message = "warning: %s of %s labels of the test documents are in no training document: test has %s, "
        message += "training has %s"
        counts = (f"{int(unseen.sum()):,}", f"{int(tested.sum()):,}")
        alone = trained & ~tested if (trained & ~tested).any() else trained
        sides = (names.filter(pl.Series(mask)) for mask in (unseen, alone))
        logger.warning(message, *counts, *map(examples, sides))


def warn_of_repeats(figures: Mapping[str, int]) -> None:
    """Warn if most documents have the text of an earlier one: the column may not be that of the texts."""
    repeated, documents = figures["repeated_texts"], figures["documents_given"]
    if documents >= 10 and repeated > documents / 2:
        message = (
            "warning: %s of %s documents have the text of an earlier one: check the text column, and that "
        )
        message += "each document is one row with all its labels"
        logger.warning(message, f"{repeated:,}", f"{documents:,}")


def warn_of_scattered(texts: npt.NDArray[np.uint64], codes: npt.NDArray[np.int32], names: pl.Series) -> bool:
    """Warn if documents look like rows of a text and one of its labels, so that labels would be lost.

    `texts` and `codes` are the text and the only label of the N documents that have one, and `names` the name
    of each code. Returns whether it warned.
    """
    pairs = pl.DataFrame({"text": texts, "code": codes}).unique(maintain_order=True)
    repeated = pairs.filter(pl.col("text").is_duplicated())
    extra = len(pairs) - pairs["text"].n_unique()
    if extra < max(2, SCATTERED * len(texts)):
        return False
    one, other = (
        names[code][:60] for code in repeated.filter(pl.col("text") == repeated["text"][0])["code"][:2]
    )
    message = (
        "warning: %s of %s documents have the text of an earlier one and another label, such as %r beside "
    )
    message += "%r: write all labels of a document in one row, since repeated texts are left out (--repeated)"
    logger.warning(message, f"{extra:,}", f"{len(texts):,}", other, one)
    return True


def warn_of_missing(noun: str, found: pl.Series) -> None:
    """Warn if there are labels or texts (`noun`, one of them) that are words for a missing value, `found`."""
    if len(found):
        words = ", ".join(map(repr, found.unique(maintain_order=True).head(EXAMPLES)))
        message = "warning: %s in the form of a missing value: %s: leave these cells empty"
        logger.warning(message, counted(len(found), noun), words)


def _check_table(names: pl.Series, used: npt.NDArray[np.bool_], table: pl.DataFrame) -> None:
    """Compare the labels of the documents with those of the label table."""
    _check_shift(names.filter(pl.Series(used)), table["label"], "documents", TABLE)
    warn_of_missing("label text", missing_words(table["text"].drop_nulls()))
    listed = int(used[: len(table)].sum())
    total = int(used.sum())
    if listed >= FEW * total:
        return
    unlisted = names.filter(pl.Series(used & (np.arange(len(used)) >= len(table))))
    unused = names.head(len(table)).filter(pl.Series(~used[: len(table)]))
    sides = f"documents have {examples(unlisted)}, the table has {examples(unused)}"
    if not listed:
        raise XmcpipeError(
            f"none of the {total:,} labels of the documents is in the label table: {sides}",
            _way_out(unlisted, unused),
        )
    message = "warning: only %s of the %s labels of the documents are in the label table: %s"
    logger.warning(message, f"{listed:,}", f"{total:,}", sides)


def _check_shift(used: pl.Series, other: pl.Series, whose: str, others: str) -> None:
    """Warn if labels are numbers that begin and end one before or one after those of the other.

    Of a table, whose last labels may have no document, the beginning is enough.
    """
    documents, listed = (names.cast(pl.Int64, strict=False) for names in (used, other))
    if documents.null_count() or listed.null_count() or not len(used) or not len(other):
        return
    (first, last), (start, end) = (_range(documents), _range(listed))
    before_table = others == TABLE and first == start - 1 and last < end
    if before_table or (abs(first - start) == 1 and first - start == last - end):
        message = "warning: labels of the %s are %s to %s, those of the %s %s to %s: "
        message += "is one of them counted from 0, the other from 1?"
        logger.warning(message, whose, first, last, others, start, end)


def _range(numbers: pl.Series) -> tuple[int, int]:
    values = numbers.to_numpy()
    return int(values.min()), int(values.max())


def _way_out(documents: pl.Series, table: pl.Series) -> str:
    """What to do if these labels of the documents are not those of the label table."""
    numbers = [bool(names.str.contains(r"^[0-9]+$").all()) for names in (documents, table)]
    if numbers == [True, False]:
        return "if they are the row numbers of the table, from 0: --label-column '#'"
    if numbers == [False, True]:
        return "name the column of names in the table with --label-column"
    if documents.str.strip_chars("<>\"' ").is_in(table.str.strip_chars("<>\"' ").implode()).any():
        return "write them alike: one side has brackets or quotes around them"
    if documents.str.to_lowercase().is_in(table.str.to_lowercase().implode()).any():
        return "write them alike: they differ in case"
    zeros = r"^0+([0-9])"
    if (
        all(numbers)
        and documents.str.replace(zeros, "$1").is_in(table.str.replace(zeros, "$1").implode()).any()
    ):
        return "write them alike: they differ in zeros before numbers"
    return "check --label-column, and that the table is of the same data"


def _check_relevance(used: pl.Series) -> None:
    """Refuse labels that are followed by a number, if nearly all are."""
    found, zeros = used.str.contains(BITS), used.str.contains("[:=]0$")
    if found.mean() > 0.9 and zeros.any():  # type: ignore[operator]
        raise XmcpipeError(
            f"{int(found.sum()):,} of {len(used):,} labels end with 0 or 1, such as "
            f"{used.filter(zeros)[0]!r}: 0/1 vectors by name",
            "write only the names of the labels whose value is 1",
        )
    for pattern, what in ((RELEVANCE, "a relevance (::)"), (WEIGHT, "a value (:)")):
        found = used.str.contains(pattern)
        if found.mean() > 0.9:  # type: ignore[operator]
            raise XmcpipeError(
                f"{int(found.sum()):,} of {len(used):,} labels end with {what}, such as "
                f"{used.filter(found)[0]!r}",
                "write labels only; PECOS text2text is read with --format pecos",
            )


def _check_ends(used: pl.Series) -> None:
    """Look for labels that still have a bracket or quote of the list that they were in, or are vectors."""
    found = used.str.contains(ODD_END)
    lists = used.str.contains(r"^\[") | used.str.contains(r"\]$")
    odd = used.filter(found)
    if (found & lists).mean() > 0.5 and len(used) > 1:  # type: ignore[operator]
        raise XmcpipeError(
            f"{len(odd):,} of {len(used):,} labels begin or end with a bracket: {examples(odd)}",
            "write the lists as JSON, or the labels without brackets",
        )
    if len(odd) >= max(1, NOTICED * len(used)):
        message = "warning: %s of %s labels begin or end with a bracket or quote: %s"
        logger.warning(message, f"{len(odd):,}", f"{len(used):,}", examples(odd))
    bits = used.filter(used.str.contains(r"^[01]{3,}$"))
    if len(bits) == len(used) > 1 and used.str.len_chars().n_unique() == 1:
        message = (
            "warning: all %s labels are made of 0 and 1, such as %r: are they vectors, read with --multi-hot?"
        )
        logger.warning(message, f"{len(used):,}", used[0])


def _check_rare(used: pl.Series, counts: npt.NDArray[np.int64], separated: bool) -> None:
    """Warn if most labels occur once, as whole sentences or wrongly split text do."""
    singles, pairs = int((counts == 1).sum()), int(counts.sum())
    if pairs >= 10 and singles > RARE * pairs:
        message = "warning: %s of %s labels occur once, such as %r: check the labels column"
        message += " and its separator" if separated else ""
        logger.warning(message, f"{singles:,}", f"{len(used):,}", used[0][:60])


def _check_common(names: pl.Series, counts: npt.NDArray[np.int64], documents: int) -> None:
    """Warn of a label that nearly all documents have, and that may fill lists; or that is the only one."""
    code = int(counts.argmax())
    if documents < 10 or counts[code] < COMMON * documents:
        return
    name = names[code][:60]
    if int((counts > 0).sum()) == 1:
        message = "warning: %r is the only label, of %s of %s documents: there is nothing to tell apart"
        logger.warning(message, name, f"{counts[code]:,}", f"{documents:,}")
    elif re.fullmatch(FILLER, name):
        message = "warning: %s of %s documents have the label %r: does it fill lists up to one length?"
        logger.warning(message, f"{counts[code]:,}", f"{documents:,}", name)


def warn_of_repeated_labels(repeating: int, documents: int) -> None:
    """Warn if half of the documents or more have a label more than once."""
    if repeating >= max(2, REPEATING * documents):
        message = "warning: %s of %s documents have a label more than once, and are read as having it once: "
        message += "are their lists vectors, or filled up to one length?"
        logger.warning(message, f"{repeating:,}", f"{documents:,}")
