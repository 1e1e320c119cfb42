"""A body that isn't right gets one line that says what was expected and what was given."""

import json
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.served import TIMEOUT, Client, predict, serving
from xmcpipe.api.model import Model
from xmcpipe.errors import XmcpipeError
from xmcpipe.serving import question
from xmcpipe.serving.limits import Limits
from xmcpipe.serving.question import PredictBody, RefusedError, parsed

WRONG: list[tuple[bytes, str]] = [
    (b"", "expected a JSON object, got no body"),
    (b"{", "expected a JSON object, got text that isn't JSON at line 1, column 2"),
    (b'"text"', 'expected a JSON object with text or texts, got "text"'),
    (b"[]", "expected a JSON object with text or texts, got []"),
    (b"{}", "expected one of text and texts, got neither"),
    (b'{"text": "a", "texts": ["b"]}', "expected one of text and texts, got both"),
    (b'{"text": 5}', "expected text, a string, got 5"),
    (b'{"texts": "a"}', 'expected texts, a list of strings, got "a"'),
    (b'{"texts": ["a", null]}', "expected texts[1], a string, got null"),
    (b'{"text": "a", "k": 0}', "expected k, a whole number from 1, got 0"),
    (b'{"text": "a", "k": 2.0}', "expected k, a whole number from 1, got 2.0"),
    (b'{"text": "a", "k": true}', "expected k, a whole number from 1, got true"),
    (b'{"text": "a", "k": "3"}', 'expected k, a whole number from 1, got "3"'),
    (b'{"text": "a", "k": 101}', "expected k, at most 100, got 101"),
    (b'{"text": "a", "k": ' + b"9" * 5000 + b"}", "expected a JSON object, got a number of too many digits"),
    (
        b'{"text": "a", "threshold": 1.5}',
        'expected threshold, a number from 0 to 1, "f1" or "macro-f1", got 1.5',
    ),
    (
        b'{"text": "a", "threshold": NaN}',
        'expected threshold, a number from 0 to 1, "f1" or "macro-f1", got NaN',
    ),
    (
        b'{"text": "a", "threshold": "f2"}',
        'expected threshold, a number from 0 to 1, "f1" or "macro-f1", got "f2"',
    ),
    (
        b'{"text": "a", "threshold": "f1"}',
        "expected a calibration of the model, which has the threshold f1, got none",
    ),
    (
        b'{"text": "a", "allow": ["lable 3"]}',
        "expected labels of the model in allow, got 'lable 3' (did you mean 'label 3'",
    ),
    (b'{"text": "a", "allow": "x"}', 'expected allow, a list of label names, got "x"'),
    (b'{"text": "a", "deny": [1]}', "expected deny[0], a string, got 1"),
    (b'{"text": "a", "words": 1}', "expected words, true or false, got 1"),
    (b'{"text": "a", "tresholds": 1}', "unknown key \"tresholds\": did you mean 'threshold'?"),
    (b'{"text": "a", "text": "b"}', 'expected each key once, got "text" twice'),
    (b'{"text": "\\ud800"}', "expected text, a string of whole characters, got half of one at 0"),
    (
        b'{"text": "a", "deny": ["\\udfff"]}',
        "expected deny[0], a string of whole characters, got half of one at 0",
    ),
    (b'{"text": "\xff"}', "expected a body in UTF-8, got another byte at 10"),
    (b"[" * 100_000, "expected a JSON object, got values nested too deeply"),
    (
        b'{"text": "a", "allow": ["nope"]}',
        "expected labels of the model in allow, got 'nope' (GET /labels lists all labels)",
    ),
    (b'{"text": "a", "words": true}', "expected words: false, because the model reads no words"),
]


@pytest.mark.parametrize(("body", "line"), WRONG, ids=[line for _, line in WRONG])
def test_a_wrong_body(client: Client, body: bytes, line: str) -> None:
    answer = client.request("POST", "/predict", body)
    assert answer.status == 422
    assert answer.value["error"] == line or (
        "did you mean" in line and answer.value["error"].startswith(line)
    )
    assert len(answer.value["error"].splitlines()) == 1
    assert client.predict(text="word1", k=1).status == 200  # on the same connection


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["text", "texts", "k", "threshold", "allow", "deny", "words"]) | st.text(max_size=4),
    JSON_VALUES,
    max_size=4,
)


def outcome(body: bytes) -> PredictBody | RefusedError:
    try:
        return parsed(body)
    except RefusedError as error:
        return error


@given(OBJECTS | JSON_VALUES)
def test_any_json_is_read_as_it_is_or_refused_with_one_line(value: Any) -> None:
    found = outcome(json.dumps(value).encode())
    if isinstance(found, PredictBody):
        assert found == PredictBody(**value)
        assert found.model_dump(exclude_unset=True) == value
        return
    assert found.status == 422
    assert found.line.isascii()
    assert len(found.line.splitlines()) == 1
    assert len(found.line) < 200


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_with_one_line(content: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        parsed(content)
    assert len(caught.value.line.splitlines()) == 1


def test_a_body_that_is_not_declared_as_json(client: Client) -> None:
    for headers, got in (({}, "null"), ({"Content-Type": "text/plain"}, '"text/plain"')):
        answer = client.request("POST", "/predict", b'{"text": "a"}', headers)
        assert answer.status == 415
        line = f"expected the header Content-Type: application/json, got {got}"
        assert answer.value == {"error": line}


def test_limits_of_the_body_of_texts_and_of_their_number(model: Model) -> None:
    with serving(model, Limits(body=400, texts=3, text=50, queue=3)) as port:
        assert predict(port, texts=["word1 " * 8] * 3).status == 200
        too_large = "expected a body of at most 400 bytes, got more (send several requests)"
        for body, line in (
            ({"text": "a" * 51}, "expected text, at most 50 characters, got 51"),
            ({"texts": ["a", "b" * 51]}, "expected texts[1], at most 50 characters, got 51"),
            ({"texts": ["a"] * 4}, "expected at most 3 texts, got 4 (send several requests)"),
            ({"text": "a" * 400}, too_large),
        ):
            answer = predict(port, **body)
            assert (answer.status, answer.value) == (413, {"error": line})
        chunks = iter([b'{"text": "', b"a" * 400, b'"}'])  # of a body without a length
        with Client(port) as client:
            answer = client.request("POST", "/predict", chunks)
        assert (answer.status, answer.value) == (413, {"error": too_large})


def test_a_body_that_does_not_arrive_is_given_up(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question, "BODY_SECONDS", 0.2)
    head = (
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with serving(model) as port, socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        connection.sendall(head.encode())
        with connection.makefile("rb") as file:
            answer = file.read().decode()  # to the end: the service closes the connection
        assert answer.startswith("HTTP/1.1 408 ")
        assert answer.endswith('{"error":"expected the body within 0.2 seconds"}')
        assert predict(port, text="word1").status == 200


def test_a_threshold_for_a_model_without_probabilities(small: Model) -> None:
    with serving(small) as port:
        answer = predict(port, text="word1", threshold=0.5)
        assert answer.status == 422
        assert answer.value == {"error": "expected no threshold, because the model has no probabilities"}


def test_limits_that_cannot_be_met() -> None:
    with pytest.raises(XmcpipeError, match="a queue of at least the 256 texts of one request, got 100"):
        Limits(queue=100)
    with pytest.raises(XmcpipeError, match="expected batch >= 1"):
        Limits(batch=0)
