"""Finds the columns of ids, labels and scores under the names that people give them.

The same names hold for CSV, JSON lines and Parquet. A column of ids that isn't found would not be missed, as
rows would be joined by their number. So whatever is called an id counts as one.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from xmcpipe.errors import XmcpipeError

IDS = ("id", "doc_id", "document_id", "docid", "documentid", "document", "uid", "guid", "uuid")
SCORES = ("scores", "score", "probabilities", "probability", "probs", "prob", "confidences", "confidence")
SCORE_LIKE = re.compile(
    r"(?i)((labels?|class|predictions?|predicted|pred)[_\-. ]?)?"
    r"(scores?|probabilit(y|ies)|probs?|logits?|confidences?|similarit(y|ies)|weights?|relevances?)"
)
PREDICTED = ("predictions", "predicted_labels", "preds", "predicted", "y_pred")
PREDICTED_ONE = ("prediction", "predicted_label", "pred")
LABELS, LABEL = ("labels",), ("label", "label_id")
RANK = ("rank",)
ID_LIKE = re.compile(r".*[_\-. ][iI][dD]|.*[a-z](Id|ID)|(?i:image|img|text|item|sample|paper|article)id")
NO_IDS = re.compile(r"(?i)(label|class|category|topic|subject|tag|target|concept|pred)")  # how others begin
LAYOUTS = "columns are id, labels and scores; or id, label and score, with a row per label"


def id_column(path: Path, names: Sequence[str]) -> str | None:
    """The column of document ids; None if there is none.

    Raises XmcpipeError if several columns may be it.
    """
    if (found := _spelt(path, names, IDS)) is not None:
        return found
    like = [name for name in names if ID_LIKE.fullmatch(name.strip()) and not NO_IDS.match(name.strip())]
    if len(like) > 1:
        raise XmcpipeError(
            f"{path}: expected one column of document ids, got {' and '.join(map(repr, like[:3]))}",
            "call the right one 'id'",
        )
    return like[0] if like else None


def score_column(path: Path, names: Sequence[str], others: Collection[str]) -> str | None:
    """The column of scores, or None: `scores`, or a column of `others` that is called like it.

    Raises XmcpipeError if several columns may be it.
    """
    for spelling in SCORES:
        found = _spelt(path, names, [spelling])
        if found is not None and (spelling == SCORES[0] or found in others):
            return found
    like = [name for name in names if name in others and SCORE_LIKE.fullmatch(name.strip())]
    if len(like) > 1:
        raise XmcpipeError(
            f"{path}: expected one column of scores, got {' and '.join(map(repr, like[:3]))}",
            "call the right one 'scores'",
        )
    return like[0] if like else None


def label_columns(path: Path, names: Sequence[str], ranked: bool) -> tuple[str | None, str | None]:
    """The column of lists of labels, and that of single labels; None for one that the table hasn't.

    In a table with true and predicted labels, predictions are the latter (`ranked`).
    """
    lists, ones = (PREDICTED + LABELS, PREDICTED_ONE + LABEL) if ranked else (LABELS, LABEL)
    several, one = _spelt(path, names, lists), _spelt(path, names, ones)
    if several is None and one is None and not ranked:
        several, one = _spelt(path, names, PREDICTED), _spelt(path, names, PREDICTED_ONE)
    return several, one


def rank_column(path: Path, names: Sequence[str]) -> str | None:
    """The column of ranks, or None."""
    return _spelt(path, names, RANK)


def named_columns(
    path: Path, names: Sequence[str], lists: Collection[str], role: str, floats: Collection[str] = ()
) -> dict[str, str]:
    """The columns of a file with lists in `labels` -> our names; ids of training documents are not read.

    `lists` are the columns that hold lists: a number such as the score of a review is no list of scores.
    `floats` are those of them that hold floats.

    Raises XmcpipeError for predictions in a file that has a column of labels and one of predictions, or
    another one of lists.
    """
    predicted = _spelt(path, names, PREDICTED + PREDICTED_ONE)
    if role == "predictions" and predicted is not None and "labels" in names:
        raise XmcpipeError(
            f"{path}: expected predictions in the column 'labels', got a column {predicted!r} too: is "
            "'labels' the truth?",
            "write a file of predictions, in the column 'labels', and one of the truth",
        )
    ids = None if role == "train" else id_column(path, names)
    scores = score_column(path, names, lists)
    if role == "predictions" and "labels" in names:
        require_one_list(path, "labels", [name for name in names if name in lists], floats, scores)
    return {
        **({} if ids is None else {ids: "id"}),
        "labels": "labels",
        **({} if scores is None else {scores: "scores"}),
    }


def require_one_list(
    path: Path, labels: str, lists: Collection[str], floats: Collection[str], scores: str | None
) -> None:
    """Raise XmcpipeError for predictions beside another column of `lists` than `labels` and the scores.

    Columns of `floats` can't be labels: beside scores they may be anything.
    """
    for name in lists:
        known = name in (labels, scores) or SCORE_LIKE.fullmatch(name.strip())
        if not known and not (scores is not None and name in floats):
            raise XmcpipeError(
                f"{path}: expected one column of lists, got {labels!r} and {name!r}: which are the "
                "predictions?",
                f"keep the right one, and call it 'labels'; if {name!r} has scores, call it 'scores'",
            )


def _spelt(path: Path, names: Sequence[str], spellings: Sequence[str]) -> str | None:
    """The first of the spellings that the table has, in upper or lower case."""
    for spelling in spellings:
        # A table with two columns of one name is written by pandas with labels and labels.1.
        found = [name for name in names if re.sub(r"\.\d+$", "", name.strip().lower()) == spelling]
        if len(found) > 1:
            raise XmcpipeError(
                f"{path}: {len(found)} columns are called {spelling!r}", "keep one, or rename the others"
            )
        if found:
            return found[0]
    return None
