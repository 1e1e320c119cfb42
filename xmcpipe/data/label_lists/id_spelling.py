"""Tells how two files write the same ids in two ways: 00012 and 12, doc_12 and 12, 1,234 and 1234."""

import re
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

Change = Callable[[str], str]

SAMPLE = 1000  # ids of the first file that are sought in the other
MOST = 100_000  # ids of the other that are looked at: all changes of so many take about a second
# What two ways of writing differ in -> how to write both alike.
CHANGES: dict[str, Change] = {
    "blanks around them": str.strip,
    "upper and lower case": str.lower,
    "zeros before numbers": lambda text: re.sub(r"(?<![0-9])0+(?=[0-9])", "", text),
    "separators between thousands": lambda text: re.sub(
        r"(?<=[0-9])[,.' \u00a0\u2009\u202f_](?=[0-9]{3}(?![0-9]))", "", text
    ),
    "a .0 behind numbers": lambda text: re.sub(r"^(-?[0-9]+)\.0$", r"\1", text),
    "quotes or brackets around them": lambda text: text.strip("\"'<>[]() "),
    "folders": lambda text: re.split(r"[/\\]", text)[-1],
    "folders and endings of files": lambda text: re.sub(
        r"\.[A-Za-z]\w{0,4}$", "", re.split(r"[/\\]", text)[-1]
    ),
}


def alike(first: pa.Array, second: pa.Array) -> str:
    """What to do if the ids of two files are the same ids written in two ways; "" if they aren't.

    `first` are the ids of one file that the other lacks, `second` those of the other that the one lacks,
    string [n]. Only the first of them are looked at, so in long files in other orders nothing may be found.
    """
    ours, theirs = first.slice(0, SAMPLE).to_pylist(), second.slice(0, MOST).to_pylist()
    for what, change in CHANGES.items():
        if found := _pair(ours, theirs, change, change):
            return _way_out(what, found)
    ends = _common_ends(ours), _common_ends(theirs)
    if found := _pair(ours, theirs, *(_without(*each) for each in ends)):
        return _way_out("what all begin or end with", found)
    return ""


def _way_out(what: str, pair: tuple[str, str]) -> str:
    return f"write ids alike: they differ in {what}, such as {pair[0]!r} and {pair[1]!r}"


def _pair(
    ours: Sequence[str], theirs: Iterable[str], our_change: Change, their_change: Change
) -> tuple[str, str] | None:
    """The first id with its other spelling, if most of ours have one among theirs after the changes."""
    spelt: dict[str, str] = {}
    for text in theirs:
        if spelt.setdefault(their_change(text), text) != text:
            return None  # two ids would become one
    keys = [our_change(text) for text in ours]
    pairs = [(text, spelt[key]) for text, key in zip(ours, keys, strict=True) if key in spelt]
    if len(set(keys)) < len(set(ours)):
        return None
    return pairs[0] if 2 * len(pairs) > len(ours) else None


def _common_ends(texts: Sequence[str]) -> tuple[str, str]:
    """What all texts begin and end with, without the digits beside what differs; "" for a single text."""
    if len(set(texts)) < 2:
        return "", ""
    begin = _common_start(min(texts), max(texts))
    backwards = [text[::-1] for text in texts]
    end = _common_start(min(backwards), max(backwards))[::-1]
    return re.sub(r"[0-9]+$", "", begin), re.sub(r"^[0-9]+", "", end)


def _common_start(one: str, two: str) -> str:
    length = next(
        (at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two))
    )
    return one[:length]


def _without(begin: str, end: str) -> Change:
    return lambda text: text.removeprefix(begin).removesuffix(end)
