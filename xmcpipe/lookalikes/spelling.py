"""How programs write one name or number in two ways, and how both are made alike.

Names are compared without what programs change: upper case, blanks of all kinds and characters without a
width, `_` and dashes for a blank, typographic quotes, `<…>` and quotes around a name, the prefix of fastText,
HTML (`&amp;`), zeros before a number and `.0` behind.

Steps are pairs of a pattern and what replaces it, in the syntax that Python, RE2 (pyarrow) and Rust (polars)
have in common: characters stand for themselves, and `\\s` is not relied on beyond ASCII.
"""

import html
import re
import unicodedata
from collections.abc import Sequence

Steps = Sequence[tuple[str, str]]

WHOLE_FLOAT = r"^\s*(-?[0-9]+)\.0\s*$"  # 12.0, as a column with missing values turns 12 into
HTML = r"&(#\w+|\w+);"
# Joiners, marks of direction, soft hyphens, byte order marks.
INVISIBLE = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]"
BLANKS = "\\s\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
DASHES = "\\-\u058a\u05be\u1400\u1806\u2010-\u2015\u2212\u30a0"
# What one can't see: names that differ only in this look the same.
UNSEEN: Steps = ((INVISIBLE, ""), (f"[{BLANKS}]+", " "), ("^ | $", ""))
# A dash between two words; one at an end is a sign (-1, A-).
JOINED = (f"([^ _{DASHES}]) ?[_{DASHES}][ _{DASHES}]*([^ _{DASHES}])", r"\1 \2")
# What programs change, after lower case and NFKC.
PLAINER: Steps = (
    *UNSEEN,
    ("[\u2018\u2019\u02bc]", "'"),
    ("[\u201c-\u201e]", '"'),
    (r"^(__label__|[<'\"]+)(.+)$", r"\2"),
    (r"^(.+?)[>'\"]+$", r"\1"),
    *(2 * (JOINED,)),  # twice, for words of one letter
    (r"(^|[^0-9.])0+([0-9])", r"\1\2"),
    (r"^([0-9]+)\.0$", r"\1"),
)


def plain(name: str) -> str:
    """The name without what programs change; `data/strings/spellings.py` does the same to arrays."""
    text = html.unescape(name) if "&" in name and re.search(HTML, name) else name
    text = unicodedata.normalize("NFKC", text).replace("\u0130", "I").lower()  # pyarrow: one letter for one
    for pattern, replacement in PLAINER:
        text = re.sub(pattern, replacement, text)
    return text


def pairs_spelt_otherwise(names: Sequence[str], others: Sequence[str]) -> list[tuple[str, str]]:
    """Each of the names that one of the others spells in another way, with that one."""
    spelt = {plain(other): other for other in others}
    return [(name, spelt[key]) for name in names if (key := plain(name)) in spelt]


def spelt_otherwise(first: str, number: int, second: str, example: str, other: str) -> str:
    """The sentence about a number of labels of the `first` input that the `second` spells in another way.

    `example` and `other` are one of them and its other spelling, as they are shown.
    """
    return (
        f"{first}: {number:,} labels are spelt otherwise in {second}, such as {example} for {other}: they "
        "count as other labels"
    )
