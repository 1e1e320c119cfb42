"""`predict` on texts, with a fake model."""

import gzip
import json
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from xmcpipe.cli.app import app
from xmcpipe.inference.bundle import Prediction


class FakeBundle:
    """Labels a text with its words, and records the texts."""

    seen: ClassVar[list[str]] = []

    @staticmethod
    def load(folder: Path, explain: bool, propensity_weight: float) -> "FakeBundle":
        assert propensity_weight == 0.0
        assert folder == Path("model")
        assert not explain
        return FakeBundle()

    def predict(self, texts: Iterable[str], k: int, batch_size: int) -> Iterator[list[Prediction]]:
        for text in texts:
            self.seen.append(text)
            words = text.split()[:k]
            yield [
                Prediction(word, word.upper() if word != "plain" else None, 1.0 / (i + 1))
                for i, word in enumerate(words)
            ]


@pytest.fixture
def predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = types.ModuleType("xmcpipe.inference.bundle")
    module.Bundle = FakeBundle  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xmcpipe.inference.bundle", module)
    monkeypatch.chdir(tmp_path)
    FakeBundle.seen.clear()
    Path("model").mkdir()
    return lambda *arguments, **more: CliRunner().invoke(
        app, ["predict", "--model", "model", *arguments], **more
    )


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_texts_of_the_command_line_become_json_lines_off_a_terminal(predict: Any) -> None:
    result = predict("--text", "plain blue", "--text", "gemütlich", "--top", "2")
    assert rows(result.stdout) == [
        {
            "text": "plain blue",
            "labels": [
                {"label": "plain", "text": None, "score": 1.0},
                {"label": "blue", "text": "BLUE", "score": 0.5},
            ],
        },
        {"text": "gemütlich", "labels": [{"label": "gemütlich", "text": "GEMÜTLICH", "score": 1.0}]},
    ]


def test_on_a_terminal_they_are_for_people(predict: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcpipe.cli.commands.predict._is_terminal", lambda: True)
    result = predict("--text", "plain blue")
    assert result.stdout.splitlines() == ["plain blue", "     1.0000  plain", "     0.5000  blue  BLUE"]


def test_a_file_of_objects_keeps_its_ids(predict: Any) -> None:
    Path("in.jsonl").write_text('{"id": 7, "text": "a b"}\n\n{"text": "c"}')
    result = predict("--input", "in.jsonl", "--top", "1")
    assert [(row.get("id"), row.get("text"), row["labels"][0]["label"]) for row in rows(result.stdout)] == [
        ("7", None, "a"),
        (None, "c", "c"),
    ]
    with gzip.open("in.jsonl.gz", "wt") as file:
        file.write('{"id": "x", "text": "a b"}\n')
    assert rows(predict("--input", "in.jsonl.gz").stdout)[0]["id"] == "x"


def test_standard_input_takes_lines_and_objects(predict: Any) -> None:
    result = predict(input='blue sky\n{"id": "x", "text": "green"}\n')
    assert FakeBundle.seen == ["blue sky", "green"]
    assert rows(result.stdout)[1]["id"] == "x"
    predict("--input", "-", input="red\n")
    assert FakeBundle.seen[-1] == "red"
    empty = predict(input="")
    assert (empty.exit_code, empty.stdout) == (0, "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "a"}\nplain', "in.jsonl, line 2 isn't JSON"),
        (b'{"text": "a"}\n{"texts": "b"}', "in.jsonl, line 2, got texts"),
        (b'{"text": 3}', "expected a string `text` in in.jsonl, line 1"),
        (b"[3]", "line 1, got list"),
        ('{"text": "gemütlich"}'.encode("latin-1"), "in.jsonl isn't UTF-8"),
    ],
)
def test_a_line_that_is_no_document_is_one_error(predict: Any, content: bytes, message: str) -> None:
    Path("in.jsonl").write_bytes(content)
    result = predict("--input", "in.jsonl")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_impossible_options_are_refused(predict: Any) -> None:
    assert "expected one of --text" in predict("--text", "a", "--input", "b").stderr
    assert "none.jsonl does not exist" in predict("--input", "none.jsonl").stderr
    nothing = CliRunner().invoke(app, ["predict", "--text", "a"])
    assert nothing.exit_code == 2
    assert "expected a model or a recipe" in nothing.stderr
