"""What strangers' files hold steers no terminal: not as text, not in tables, errors, logs or JSON."""

import json
import logging
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.cli import labelling, output, text_table
from xmcpipe.cli.shown import json_text, one_line, shown
from xmcpipe.inference.document import Document

HOSTILE = "a\x1b[2J\x9b2J\u202eb\u2066c\r\x07\x7f\x85\u2028d\ud800"
LETTERS = "größer 中文 עברית हिन्दी क्‍ष 👩‍🔬 №"  # with the joiners that scripts and emoji need


def steers(text: str) -> list[str]:
    """The characters of a text that a terminal may obey."""
    marks = "\u061c\u200e\u200f"
    return [
        each
        for each in text
        if unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(each) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        or each in marks
    ]


def test_the_hostile_text_steers() -> None:
    assert len(steers(HOSTILE)) == 10


@given(st.text(st.characters()))
def test_nothing_that_is_shown_steers(text: str) -> None:
    assert steers(one_line(text)) == []
    assert steers(shown(text).replace("\n", "").replace("\t", "")) == []
    assert steers(json_text(text)) == []


@given(st.text(st.characters()))
def test_json_keeps_the_value(text: str) -> None:
    assert json.loads(json_text({text: [text]})) == {text: [text]}


def test_letters_are_shown_as_they_are() -> None:
    assert one_line(LETTERS) == shown(LETTERS) == json.loads(json_text(LETTERS)) == LETTERS
    assert json_text(LETTERS) == f'"{LETTERS}"'


def test_a_line_break_in_a_name_begins_no_line() -> None:
    assert one_line("a\nb\tc") == "a\\x0ab\\x09c"
    assert shown("a\nb\tc") == "a\nb\tc"


def test_errors_logs_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.makeLogRecord({"msg": f"log {HOSTILE}"})
    output.error_line(f"error in {HOSTILE}")
    output.LogLines().emit(record)
    handler = output.LogLines()
    handler.as_json = True
    handler.emit(record)
    output.print_json({"name": HOSTILE})
    text_table.say(f"said {HOSTILE}")
    text_table.print_table(["name", HOSTILE], [[HOSTILE, "1"]])
    printed = capsys.readouterr()
    assert set(steers(printed.out + printed.err)) == {"\n"}
    assert "a\\x1b[2J\\x9b2J\\u202eb\\u2066c" in printed.out
    assert printed.err.count("\n") == 3


@pytest.mark.parametrize("as_json", [False, True])
def test_predictions(as_json: bool) -> None:
    from xmcpipe.inference.bundle import Prediction

    label: Any = Prediction(f"label\n{HOSTILE}", HOSTILE, 0.5, 0.6, [(HOSTILE, 0.25)])
    lines = list(labelling._lines(Document(f"id\n{HOSTILE}", HOSTILE), [label], as_json))
    assert len(lines) == (1 if as_json else 3)
    assert steers("".join(map(shown, lines))) == []
    assert not any("\n" in line for line in lines)
