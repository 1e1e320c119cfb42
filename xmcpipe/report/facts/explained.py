"""The words of sampled documents that speak for their predicted labels, if the model of a run reads words."""

import logging
from collections.abc import Sequence
from pathlib import Path

from xmcpipe.data.explanation import WordExplainer, WordParts
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json
from xmcpipe.report.facts.runs import Run

logger = logging.getLogger(__name__)

MOST_WORDS = 3  # of a label


def words_of(
    run: Run, texts: Sequence[str | None], labels: Sequence[Sequence[int]]
) -> list[list[WordParts]] | None:
    """The words of each document for each of its `labels`; None if the run's model reads none or was deleted.

    A document without a text has no words.
    """
    folder = run.folder("model")
    if folder is None or not _reads_words(folder / "model.json"):
        return None
    try:
        explainer = WordExplainer(folder)
        return [
            [[] for _ in row] if text is None else explainer.parts(text, row, MOST_WORDS)
            for text, row in zip(texts, labels, strict=True)
        ]
    except (XmcpipeError, OSError, ValueError, IndexError, KeyError) as error:
        logger.warning("%s: no words of its documents: %s", run.name, error)
        return None


def _reads_words(facts: Path) -> bool:
    try:
        return parse_json(facts.read_text(encoding="utf-8")).get("words") is not None
    except (OSError, ValueError):
        return False
