"""The body of POST /predict: read up to a limit, and checked; a wrong one is refused with one line."""

import asyncio
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xmcpipe.config import nearest
from xmcpipe.serving.batching import Question
from xmcpipe.serving.limits import BODY_SECONDS, Limits

SHOWN = 60  # characters of a wrong value in an error
EXPECTED = {
    "text": "a string",
    "texts": "a list of strings",
    "k": "a whole number from 1",
    "threshold": 'a number from 0 to 1, "f1" or "macro-f1"',
    "allow": "a list of label names",
    "deny": "a list of label names",
    "words": "true or false",
}


class RefusedError(Exception):
    """A request that is not answered: the HTTP `status`, and a line that says why."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class PredictBody(BaseModel):
    """What is asked of POST /predict."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        title="PredictBody",
        json_schema_extra={"examples": [{"text": "A plugin that adds spell checking", "k": 3}]},
    )

    text: str | None = Field(None, description="One text to label. Give either text or texts.")
    texts: list[str] | None = Field(None, description="Several texts to label.")
    k: int = Field(5, ge=1, description="Number of labels for each text, best first.")
    threshold: Probability | Literal["f1", "macro-f1"] | None = Field(
        None,
        description="Only labels of at least this probability, or of that which a calibration has chosen.",
    )
    allow: list[str] | None = Field(None, description="Names of labels: no others are predicted.")
    deny: list[str] | None = Field(None, description="Names of labels that are not predicted.")
    words: bool = Field(
        False, description="Whether to add the words that speak for each label, if the model reads words."
    )


@dataclass(frozen=True)
class Asked:
    """A checked request: `single` if it gave `text`, so that its answer is not in a list."""

    texts: list[str]
    single: bool
    question: Question
    words: bool


async def read_asked(request: Request, limits: Limits) -> Asked:
    """The question in the body of `request`. Raises RefusedError for one that is wrong or too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(
            415, f"expected the header Content-Type: application/json, got {_shown(kind or None)}"
        )
    return _asked(parsed(await _read_body(request, limits.body)), limits)


async def _read_body(request: Request, limit: int) -> bytes:
    parts, size = [], int(request.headers.get("content-length", 0))
    if size <= limit:
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    size += len(part)
                    if size > limit:
                        break
                    parts.append(part)
        except TimeoutError as error:
            raise RefusedError(408, f"expected the body within {BODY_SECONDS:g} seconds") from error
    if size > limit:
        raise RefusedError(
            413, f"expected a body of at most {limit:,} bytes, got more (send several requests)"
        )
    return b"".join(parts)


def parsed(body: bytes) -> PredictBody:
    """The body as JSON, whose types are checked. Raises RefusedError with status 422."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_without_repeats)
        return PredictBody.model_validate(value)
    except UnicodeDecodeError as error:
        raise RefusedError(422, f"expected a body in UTF-8, got another byte at {error.start}") from error
    except ValidationError as error:
        raise RefusedError(422, _line(error)) from error
    except json.JSONDecodeError as error:
        place = f"text that isn't JSON at line {error.lineno}, column {error.colno}" if body else "no body"
        raise RefusedError(422, f"expected a JSON object, got {place}") from error
    except RecursionError as error:
        raise RefusedError(422, "expected a JSON object, got values nested too deeply") from error
    except ValueError as error:  # Python refuses whole numbers of thousands of digits
        raise RefusedError(422, "expected a JSON object, got a number of too many digits") from error


def _asked(body: PredictBody, limits: Limits) -> Asked:
    if (body.text is None) == (body.texts is None):
        got = "neither" if body.text is None else "both"
        raise RefusedError(422, f"expected one of text and texts, got {got}")
    texts = [body.text] if body.text is not None else body.texts or []
    if len(texts) > limits.texts:
        raise RefusedError(
            413, f"expected at most {limits.texts:,} texts, got {len(texts):,} (send several requests)"
        )
    if body.k > limits.k:
        raise RefusedError(422, f"expected k, at most {limits.k:,}, got {body.k:,}")
    for place, text in enumerate(texts):
        name = "text" if body.text is not None else f"texts[{place}]"
        if len(text) > limits.text:
            raise RefusedError(413, f"expected {name}, at most {limits.text:,} characters, got {len(text):,}")
        _require_characters(name, text)
    for name, labels in (("allow", body.allow), ("deny", body.deny)):
        for place, label in enumerate(labels or ()):
            _require_characters(f"{name}[{place}]", label)
    allow, deny = (None if each is None else tuple(each) for each in (body.allow, body.deny))
    return Asked(texts, body.text is not None, Question(body.k, body.threshold, allow, deny), body.words)


def _require_characters(name: str, text: str) -> None:
    """JSON can name halves of characters (\\ud800), which no text has."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RefusedError(
            422, f"expected {name}, a string of whole characters, got half of one at {error.start}"
        ) from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise RefusedError(422, f"expected each key once, got {_shown(repeated)} twice")
    return found


def _line(error: ValidationError) -> str:
    """What is wrong with the first wrong value."""
    first = error.errors(include_url=False)[0]
    key, *places = first["loc"] or ("",)
    if first["type"] == "extra_forbidden":
        return f"unknown key {_shown(key)}: {nearest(str(key), EXPECTED)}"
    if key not in EXPECTED:
        return f"expected a JSON object with text or texts, got {_shown(first['input'])}"
    places = [place for place in places if isinstance(place, int)]  # others name a part of a union
    expected = "a string" if places else EXPECTED[str(key)]
    name = f"{key}{''.join(f'[{place}]' for place in places)}"
    return f"expected {name}, {expected}, got {_shown(first['input'])}"


def _shown(value: Any) -> str:
    """A value as JSON in one short line of ASCII."""
    text = json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
