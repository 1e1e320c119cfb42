"""Values at the edge of what a recipe or a file can hold: one line with what is expected, or the result."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from xmcpipe.cli.app import app
from xmcpipe.cli.shown import json_text
from xmcpipe.config import from_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json
from xmcpipe.metrics import inverse_propensity
from xmcpipe.recipe import parse_toml
from xmcpipe.stages.evaluate import EvalConfig
from xmcpipe.training.config import TrainTable

DEEP = "[" * 100_000 + "]" * 100_000


def refused(*arguments: str) -> str:
    """The one error line of a command."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 2, done.output
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    return line


@pytest.mark.parametrize(
    "text",
    [
        f"x = {DEEP}",
        "x = " + "{a=" * 5000 + "1" + "}" * 5000,
        f"[{'.'.join(['a'] * 5000)}]",
        ".".join(["a"] * 5000) + " = 1",
        f"[train]\nseed = 1\n{'.'.join(['a'] * 5000)} = 1",
        f'x = "{"long" * 400_000}"',
    ],
)
def test_a_recipe_that_is_nested_too_deeply_or_too_long(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    assert "a.toml can't be read as TOML: " in refused("status", str(tmp_path / "a.toml"))


def test_dots_in_strings_and_comments_are_no_nesting() -> None:
    dots = "." * 100
    text = f"a = \"{dots}\" # {dots}\nb = '{dots}'\nc.d = 1.5"
    assert parse_toml(text) == {"a": dots, "b": dots, "c": {"d": 1.5}}


def test_json_that_is_nested_too_deeply_or_has_endless_numbers() -> None:
    for text, message in (
        (DEEP, "nested too deeply"),
        ('{"a":' * 100_000, "nested"),
        ("1" * 10_000, "digits"),
    ):
        with pytest.raises(json.JSONDecodeError, match=message):
            parse_json(text)
        with pytest.raises(json.JSONDecodeError, match=message):
            parse_json(text.encode())


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize("value", [DEEP, '{"a":' * 50_000 + "1" + "}" * 50_000, "1" * 10_000])
def test_a_table_of_such_json_is_refused(tmp_path: Path, name: str, value: str) -> None:
    path = tmp_path / name
    path.write_text(f'{{"id": "a", "text": "one", "labels": {value}}}\n')
    assert name in refused("import", "--train", str(path), "--store", str(tmp_path / "store"))
    path.write_text(f'[{{"id": "a", "text": "one", "labels": {value}}}]')
    assert name in refused("import", "--train", str(path), "--store", str(tmp_path / "store"))
    (tmp_path / "t.jsonl").write_text('{"id": "a", "labels": ["x"]}\n')
    sides = ["--predictions", str(tmp_path / "t.jsonl"), "--truth", str(path)]
    assert name in refused("eval", *sides)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**400])
def test_whole_numbers_have_64_bits(value: int) -> None:
    for key in ("seed", "batch_size", "checkpoint_minutes"):
        with pytest.raises(XmcpipeError, match=rf"train\.{key}: expected a whole number from -2\^63 to"):
            from_table(TrainTable, {key: value}, "train")


def test_the_seed_of_a_recipe_has_64_bits() -> None:
    assert from_table(TrainTable, {"seed": 2**63 - 1}, "train").seed == 2**63 - 1
    assert "seed: expected" in refused("status", "quickstart", "--set", f"seed={2**63}")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"a": 1e300}, r"expected \(b \+ 1\)\^a below 1e100, got a = 1e\+300, b = 1.5"),
        ({"bins": 10**9}, "expected bins of at most 1,000, got 1,000,000,000"),
        ({"rounds": 10**12}, "expected rounds of at most 1,000,000"),
        ({"k": [1, 10**12]}, "expected k of at most 1,000,000"),
    ],
)
def test_numbers_of_an_evaluation_that_nothing_can_compute(table: dict[str, object], message: str) -> None:
    with pytest.raises(XmcpipeError, match=message):
        from_table(EvalConfig, table, "eval")


def test_propensity_constants_at_the_edge_give_finite_weights() -> None:
    for a, b in ((0.0, 1.0), (1.0, 9e99), (100.0, 8.9), (5e-324, 5e-324)):
        config = EvalConfig(a=a, b=b)
        weights = inverse_propensity(np.array([0, 1, 1000]), 1000, config.a, config.b)
        assert ((weights >= 1) & (weights < 1e103)).all()
    with pytest.raises(XmcpipeError, match="below 1e100, got a = 1e"):
        inverse_propensity(np.array([1]), 1000, 1e300, 1.5)


def test_printed_json_has_no_nan_and_no_infinity() -> None:
    value = {"a": [1.5, float("nan"), (float("inf"), {"b": -float("inf")})], "c": "NaN"}
    assert json.loads(json_text(value)) == {"a": [1.5, None, [None, {"b": None}]], "c": "NaN"}
