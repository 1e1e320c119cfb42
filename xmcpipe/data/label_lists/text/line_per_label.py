"""Finds files with a line per label, as programs of retrieval write rankings and judgements.

7 Q0 art 1 0.93 mine    a run of TREC; the label is the third column, the score the fifth
7 0 art 1               qrels of TREC; the relevance is the fourth column
7<TAB>art<TAB>1         a run of MS MARCO, with ranks, or qrels of BEIR, with relevances
"""

import itertools
import re
from collections.abc import Sequence

RUN = re.compile(r"\S+\s+Q0\s+\S+\s+\d+\s+\S+\s+\S+")
QRELS = re.compile(r"\S+\s+0\s+\S+\s+-?\d+")
THREE = re.compile(r"([^\s:,]+)\t[^\s:,]+\t-?[0-9.]+(?:[eE][-+]?[0-9]+)?")
FEWEST, MOST_IDS = 3, 0.7  # lines, and distinct ids a line, from which ids come back


def columns_of_pairs(lines: Sequence[str]) -> str:
    """Which columns are the id, the label and the score, if each of the lines has one label; else ""."""
    if all(map(RUN.fullmatch, lines)):
        return "columns 1, 3 and 5 of a TREC run"
    if all(map(QRELS.fullmatch, lines)):
        return "columns 1, 3 and 4 of TREC's qrels"
    found = [match for line in lines if (match := THREE.fullmatch(line))]
    if len(found) < max(FEWEST, len(lines)):
        return ""
    ids = [match[1] for match in found]
    changes = 1 + sum(one != two for one, two in itertools.pairwise(ids))
    if len(set(ids)) <= MOST_IDS * len(ids) and changes == len(set(ids)):
        return "the columns of an MS MARCO run (1 / rank as the score) or of BEIR's qrels"
    return ""
