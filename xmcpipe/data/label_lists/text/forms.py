"""The forms of a line of text with labels, as regular expressions.

label:score label:score …       ids, or names (LibMultiLabel)
row label:score …               ids; the number of the document comes first
label score<TAB>label score …   ids (omikuji)
label,label feature:value …     ids, then features (svmlight)
__label__a 0.9 __label__b 0.1   names and scores (fastText predict-prob, also with another prefix)
__label__a __label__b text      names, wherever they stand (fastText predict; or its training data)
row label                       filter pairs: only in the role `filter`

Lines with tabs between labels and text are in tab_text.py.
"""

import re

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:inf|nan)"
PAIRS = rf"(?:\d+:(?:{NUMBER})(?:\s+|$))*"
NUMBERED = r"[-+]?\d+(?:\.\d*)?"  # a word that is a number is no name, but a faulty id
NAME = rf"(?!(?:{NUMBERED}):)\S+"
NAMED_PAIR = rf"(?:\d+|{NAME}):(?:{NUMBER})(?:\s+|$)"
PREFIX = "__label__"

XC, BY_ROW, OMIKUJI, SVMLIGHT = "label:score …", "row label:score …", "label score<TAB>…", "label,label f:v …"
NAMED, FASTTEXT_SCORED, FASTTEXT = "name:score …", "name score …", f"{PREFIX}name …"
FILTER = "row label"
NAMED_FORMS = (NAMED, FASTTEXT_SCORED, FASTTEXT)
FORMS = {
    XC: re.compile(PAIRS, re.IGNORECASE),
    BY_ROW: re.compile(rf"(?:\d+(?:\s+|$){PAIRS})?", re.IGNORECASE),
    OMIKUJI: re.compile(rf"(?:\d+ +(?:{NUMBER})(?:\t\s*|$))*", re.IGNORECASE),
    SVMLIGHT: re.compile(rf"(?:\d+(?:,\d+)*(?:\s+|$))?{PAIRS}", re.IGNORECASE),
    FILTER: re.compile(r"(?:\d+\s+\d+)?"),
    NAMED: re.compile(rf"(?:{NAMED_PAIR})*", re.IGNORECASE),
    FASTTEXT_SCORED: re.compile(rf"(?:(?!(?:{NUMBER})\s)\S+\s+(?:{NUMBER})(?:\s+|$))*", re.IGNORECASE),
}
EXCERPT = 60  # maximum number of characters of a faulty line in an error


def excerpt(line: str) -> str:
    """A line in an error: quoted, and cut if it is long."""
    return repr(line if len(line) <= EXCERPT else line[:EXCERPT] + "…")
