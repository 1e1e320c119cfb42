"""What a service answers, as JSON: the fields of predictions, and the words behind them."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from xmcpipe.data.explanation import WordExplainer
from xmcpipe.errors import XmcpipeError

if TYPE_CHECKING:
    from xmcpipe.api.model import Model
    from xmcpipe.inference.bundle import Prediction


class Word(BaseModel):
    """A word or pair of words of the text, and its part of the label's score."""

    word: str
    part: float


class Label(BaseModel):
    """A predicted label. Labels come best first."""

    label: str = Field(description="Its name.")
    text: str | None = Field(description="Its description; null if the model has none.")
    score: float = Field(description="What labels are ordered by.")
    probability: float | None = Field(description="From 0 to 1; null if the model's scores have none.")
    words: list[Word] | None = Field(None, description="The words with the largest part, if asked for.")


class Labelled(BaseModel):
    """The labels of one text."""

    labels: list[Label]


class Results(BaseModel):
    """The labels of several texts, in their order."""

    results: list[Labelled]


class Name(BaseModel):
    """A label of the model, and its description if it has one."""

    label: str
    text: str | None


class Names(BaseModel):
    """Some labels of the model; `total` is the number of all."""

    total: int
    labels: list[Name]


class Refusal(BaseModel):
    """Why a request was not answered."""

    error: str = Field(description="One line: what was expected, what was given, what to do.")


class Explainer:
    """Finds the words behind labels, given by name, for the model `model`."""

    def __init__(self, model: "Model") -> None:
        self._model = model

    @cached_property
    def _words(self) -> WordExplainer:
        return WordExplainer(Path(self._model.path))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._model.labels)}

    @cached_property
    def available(self) -> bool:
        """Whether the model reads words."""
        try:
            return self._words is not None
        except XmcpipeError:
            return False

    def parts(self, text: str, labels: Sequence[str]) -> list[list[dict[str, Any]]]:
        """The words of `text` for each label. Raises XmcpipeError if the model reads no words."""
        found = self._words.parts(text, [self._ids[label] for label in labels])
        return [[{"word": word, "part": round(part, 6)} for word, part in each] for each in found]


def answer(
    texts: Sequence[str], rows: Sequence[Sequence["Prediction"]], single: bool, explainer: Explainer | None
) -> bytes:
    """The JSON of the predictions of each text, with words if there is an `explainer`.

    All but ASCII is escaped, so that no name steers a terminal that prints the answer.
    """
    results = []
    for text, row in zip(texts, rows, strict=True):
        labels: list[dict[str, Any]] = [
            {
                "label": each.label,
                "text": each.text,
                "score": round(each.score, 6),
                "probability": None if each.probability is None else round(each.probability, 6),
            }
            for each in row
        ]
        if explainer is not None:
            for label, words in zip(labels, explainer.parts(text, [each.label for each in row]), strict=True):
                label["words"] = words
        results.append({"labels": labels})
    return json.dumps(results[0] if single else {"results": results}, allow_nan=False).encode()
