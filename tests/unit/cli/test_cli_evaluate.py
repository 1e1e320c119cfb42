"""`eval` on files from anywhere."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xmcpipe.cli.app import app


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two documents, one of them right at the first rank: P@1 is 0.5."""
    rows: dict[str, list[dict[str, Any]]] = {
        "predictions": [{"id": name, "labels": ["x", "y"], "scores": [0.9, 0.1]} for name in "ab"],
        "truth": [{"id": "a", "labels": ["x"]}, {"id": "b", "labels": ["z", "y"]}],
        "train": [{"id": str(row), "labels": ["x", "y", "z"][: row % 3 + 1]} for row in range(9)],
    }
    arguments = []
    for name, documents in rows.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(document) + "\n" for document in documents))
        arguments += [f"--{name}", str(path)]
    return arguments


def test_json_holds_every_figure_and_a_table_shows_them(files: list[str]) -> None:
    result = CliRunner().invoke(app, ["eval", *files, "--k", "1,2", "--json"])
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    assert metrics["k"] == [1, 2]
    assert metrics["model"]["P@1"] == 0.5
    assert metrics["model"]["P@2"] == 0.5
    assert metrics["propensity"]["n"] == 9
    shown = CliRunner().invoke(app, ["eval", *files, "--k", "1,2"]).stdout
    assert "precision" in shown
    assert "50.00" in shown
    assert "popular" in shown
    assert "PSP with A 0.55, B 1.5, N 9" in shown


def test_without_training_labels_it_says_that_there_is_no_psp(files: list[str]) -> None:
    result = CliRunner().invoke(app, ["eval", *files[:4]])
    assert result.exit_code == 0, result.output
    assert "no PSP" in result.stdout
    assert "popular@" not in result.stdout


def test_the_constants_can_be_set(files: list[str]) -> None:
    result = CliRunner().invoke(app, ["eval", *files, "--set", "eval.a=0.6", "--set", "eval.b=2.6", "--json"])
    assert json.loads(result.stdout)["propensity"] == {"kind": "standard", "a": 0.6, "b": 2.6, "n": 9}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--truth", "t"], "--truth was given without --predictions"),
        (["--train", "t"], "--train was given without --truth"),
        (["--predictions", "p", "--truth", "t", "--k", "1,x"], "whole numbers were wanted"),
        (["--predictions", "p", "--truth", "t", "--k", "3,1"], "eval: k = [3, 1] was given"),
        (["--predictions", "none.jsonl", "--truth", "none.jsonl"], "none.jsonl"),
    ],
)
def test_what_can_not_be_is_one_line(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["eval", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
