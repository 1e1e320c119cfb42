"""Finds labels that are written otherwise than names are, or in two ways."""

import logging

import polars as pl

from xmcpipe.data.strings.spellings import plain_names, seen_names

logger = logging.getLogger(__name__)

EXAMPLES = 3
# What to do with labels that a wrong separator leaves.
NO_NAMES, ESCAPED = (
    "of symbols alone, or of a word such as 'and': %s",
    "with characters as HTML writes them: %s",
)
BY_SEPARATOR = {
    NO_NAMES: ": check the label separator",
    ESCAPED: ": is ';' the separator, or part of them?",
}
# A pattern -> what labels with it are.
ODD = {
    # ASCII punctuation and conjunctions.
    r"^[\s!-/:-@\[-`{-~]+$|^(?i:and|or|und|oder|et|ou|y)$": NO_NAMES,
    r"\\[tn]": r"with \t or \n as two characters: %s",
    # What a web page has for &, < and the like; the semicolon may have been taken for a separator.
    r"&(?:amp|lt|gt|quot|apos|nbsp|#[0-9]{1,6})(?:;|$)": ESCAPED,
    # A long number.
    r"^[0-9](?:\.[0-9]+)?[eE]\+[0-9]{2,}$": (
        "in the form of rounded numbers, as a spreadsheet shows them: %s: write all digits"
    ),
    "^__label__.": "with fastText's prefix: %s: remove it, or read fastText with --format fasttext",
    "^<.*>$": "in angle brackets: %s: those of another file may have none",
}
NUMBERED = r"^[0-9]{1,2}[.)]\s"  # "1. a", which makes another label of the second place
# A count or a weight after a name: art (3), art:3, art x3, art [3], art 0.3. Not a year, nor a version.
COUNT = (
    r"\s*(?:[:=^][0-9]{1,3}|\s[x×*]\s?[0-9]{1,3}|\([x×]?\s?[0-9]{1,3}\)|\[[0-9]{1,3}\]"
    r"|\s(?:0?\.[0-9]+|1\.0+))$"
)
COUNTED, PER_NAME = 0.9, 8  # share of the labels with a count, and counts a name, of which a warning appears
NOTICED = 0.1  # share of the labels that differ only in case or spelling from which a warning appears


def warn_of_writing(used: pl.Series, several: bool, separated: bool = True) -> None:
    """Warn of labels, string [n] and distinct, that a file's writer or a wrong separator left as no names.

    `several`: documents have more than one label each on average. `separated`: a separator may be wrong.
    """
    for pattern, what in ODD.items():
        if len(found := used.filter(used.str.contains(pattern))):
            message = "warning: %s " + what + (BY_SEPARATOR.get(what, "") if separated else "")
            logger.warning(message, counted(len(found), "label"), examples(found))
    numbered = used.filter(used.str.contains(NUMBERED))
    if len(numbered) > len(used) / 2:
        message = "warning: %s of %s labels begin with a number: %s: is it a part of the label?"
        logger.warning(message, f"{len(numbered):,}", f"{len(used):,}", examples(numbered))
    _warn_of_counts(used)
    negative = used.filter(used.str.contains("^-[0-9]+$"))
    if several and len(negative) and used.str.contains("^-?[0-9]+$").all():
        message = "warning: %s below zero: %s: to fill lists up to one length?"
        logger.warning(message, counted(len(negative), "label"), examples(negative))
    _warn_of_twins(used)


def _warn_of_counts(used: pl.Series) -> None:
    """Warn if nearly all labels are a name and a number of its own, of which names have several.

    Numbers that make up the name, as in topic:1, topic:2, …, follow a few names only.
    """
    found = used.filter(used.str.contains(COUNT))
    names = found.str.replace(COUNT, "")
    if len(found) < COUNTED * len(used) or not names.str.contains(r"\D$").all():
        return
    distinct = names.n_unique()
    if 3 <= distinct < len(names) <= PER_NAME * distinct:
        message = (
            "warning: %s of %s labels end with a number of their own: %s: if it is a count or a weight, "
        )
        message += "write names alone"
        same = found.filter(names == names.filter(names.is_duplicated())[0])
        logger.warning(message, f"{len(found):,}", f"{len(used):,}", examples(same))


def _warn_of_twins(used: pl.Series) -> None:
    """Warn of labels that look the same or differ in punctuation, and of many that differ only in case.

    So too of many that differ only in what programs change, such as `_` and `-` for a blank.
    """
    names = used.to_arrow()
    seen = pl.Series(seen_names(names))
    same = used.filter(seen.is_duplicated())
    if len(same):
        message = "warning: %s labels look like another one, and differ in blanks or invisible characters: %s"
        logger.warning(message, f"{len(same):,}", _pair(used, seen))
    bare = seen.str.strip_chars_end(".,;:")
    ended = bare.is_duplicated() & ~seen.is_duplicated()
    if ended.any():
        message = "warning: %s labels differ from another one only in punctuation at the end: %s"
        logger.warning(message, f"{int(ended.sum()):,}", _pair(used, bare))
    number = seen.str.replace(r"^0+([0-9]+)$", "$1")
    if (number.is_duplicated() & ~seen.is_duplicated()).any():
        message = "warning: labels are numbers that differ only in zeros before them: %s"
        logger.warning(message, _pair(used, number))
    lower = seen.str.to_lowercase()
    alike = lower.is_duplicated() & ~seen.is_duplicated()
    if alike.sum() >= max(2, NOTICED * len(used)):
        message = "warning: %s of %s labels differ from another one only in case: %s"
        logger.warning(message, f"{int(alike.sum()):,}", f"{len(used):,}", _pair(used, lower))
    plain = pl.Series(plain_names(names))
    spelt = plain.is_duplicated() & ~lower.is_duplicated() & ~number.is_duplicated()
    if spelt.sum() >= max(2, NOTICED * len(used)):
        message = "warning: %s of %s labels are spelt otherwise than another one: %s"
        first = plain == plain.filter(spelt)[0]
        logger.warning(
            message, f"{int(spelt.sum()):,}", f"{len(used):,}", _pair(used.filter(first), plain.filter(first))
        )


def counted(number: int, noun: str) -> str:
    """The number with its noun, which takes an s: "1 label", "1,234 labels"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def examples(names: pl.Series) -> str:
    """The first names, string [n], quoted and cut, for a message."""
    return ", ".join(repr(name[:60]) for name in names.head(EXAMPLES))


def _pair(used: pl.Series, keys: pl.Series) -> str:
    """The first two labels with one key, as ASCII: otherwise they would look the same in the message too."""
    first = keys.filter(keys.is_duplicated())[0]
    one, other = used.filter(keys == first).head(2)
    return f"{one[:60]!a} and {other[:60]!a}"
