"""`xmcpipe import`: options that aren't keys as they stand, and one line for a file that would be misread."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xmcpipe.cli.app import app


@pytest.fixture
def import_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `xmcpipe import` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    arguments = ("import", "--store", "store", "--set", "import.test_every=2")
    return lambda *more: CliRunner().invoke(app, [*arguments, *more])


def test_label_columns_are_separated_by_commas_and_repeatable(import_: Any) -> None:
    rows = "".join(f"text {row},{row % 2},1,0\n" for row in range(20))
    Path("x.csv").write_text("text,a,b,c\n" + rows)
    done = import_("--train", "x.csv", "--label-columns", "a, b", "--label-columns", "c", "--json")
    assert done.exit_code == 0, done.output
    manifest = json.loads(done.stdout)
    assert manifest["figures"]["labels"] == 2  # no document has c
    assert manifest["figures"]["train"] + manifest["figures"]["test"] == 20


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "expected lists of labels in column 'labels', but they hold only 0 and 1"),
        (("--label-columns", "labels"), "expected a string or a number in 'labels', got a list"),
        (("--multi-hot", "--label-columns", "a"), "expected label_columns or multi_hot, got both"),
        (("--format", "fasttxt"), "import.format: expected one of 'auto', 'jsonl'"),
        (
            ("--split", "stratified", "--test", "x.jsonl"),
            "expected one table, which split = 'stratified' divides",
        ),
    ],
)
def test_a_file_that_would_be_misread_is_one_line(
    import_: Any, arguments: tuple[str, ...], expected: str
) -> None:
    Path("x.jsonl").write_text('{"text": "a", "labels": [0, 1, 0]}\n{"text": "b", "labels": [1, 0, 0]}\n')
    done = import_("--train", "x.jsonl", *arguments)
    assert done.exit_code == 2, done.output
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]
    assert not list(Path("store").glob("raw/*"))
