"""Finds labels that are separated in some rows by one text, and in the others by another.

    a;b    c, d    b;c    a, d

Many names hold a comma, a slash or "and". Two signs tell a separator from a part of names: labels that other
rows have one by one, and a text that most rows without the separator have, and no label of the rows with it.
"""

from collections.abc import Set as AbstractSet

SYMBOLS = ("><", ";", "|", "\t", "\uff1b", "\u3001", "\u2022", ",", "\u060c", "\n")
BETWEEN_BLANKS = (" / ", " + ", " > ")
IN_NAMES = (" and ", " or ", " & ", " - ", "/", "#")  # these need the first sign
FEWEST = 5  # rows of either kind, for the second sign
LEAST_SHARE = 0.1  # of the labels, for the first sign


def other_separator(values: AbstractSet[str], separator: str) -> tuple[str, str] | None:
    """The text that separates labels in those of the distinct `values` without `separator`, and one of these.

    None if there is none.
    """
    with_it = [value for value in values if separator in value]
    without = [value for value in values if separator not in value]
    labels = {piece.strip() for value in values for piece in value.split(separator)} - {""}
    for other in (*SYMBOLS, *BETWEEN_BLANKS, *IN_NAMES):
        if other.strip() == separator.strip():
            continue
        if joined := _joined(labels, other):
            return other, min(joined)
        if other not in IN_NAMES and (only := _only_without(with_it, without, other)):
            return other, min(only)
    return None


def _joined(labels: AbstractSet[str], other: str) -> list[str]:
    """The labels that are several labels with `other` between them, if these are many; else none."""
    having = [label for label in labels if other in label]
    joined = [label for label in having if {part.strip() for part in label.split(other)} <= labels]
    return joined if len(joined) >= LEAST_SHARE * len(labels) and 2 * len(joined) >= len(having) else []


def _only_without(with_it: list[str], without: list[str], other: str) -> list[str]:
    """The values without the separator that hold `other`, if most do, and none with the separator does."""
    having = [value for value in without if other in value.strip()]
    if min(len(with_it), len(having)) < FEWEST or any(other in value for value in with_it):
        return []
    return having if 2 * len(having) > len(without) else []
