"""Paths that no file can have: one line that names them, in every command that takes a path."""

from pathlib import Path

import pytest

from tests.unit.corners.test_values import refused

LONG = "x" * 300


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "labels": ["b"]}\n')
    (tmp_path / "a.toml").write_text('[import]\ntrain = "rows.jsonl"\n')
    (tmp_path / "loop").symlink_to("loop")


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", LONG),
        ("status", f"{LONG}.toml"),
        ("status", "a.toml", "--store", LONG),
        ("run", "a.toml", "--store", LONG),
        ("gc", "--store", LONG),
        ("import", "--train", f"{LONG}.jsonl"),
        ("import", "--train", "rows.jsonl", "--label-table", LONG),
        ("predict", "--model", LONG, "--text", "a"),
        ("grow", LONG, "--labels", "rows.jsonl"),
        ("export", LONG, "--format", "onnx", "-o", "out"),
        ("eval", "--predictions", LONG, "--truth", "rows.jsonl"),
        ("report", LONG),
        ("serve", LONG, "--port", "0"),
    ],
)
def test_a_name_that_is_too_long(arguments: tuple[str, ...]) -> None:
    line = refused(*arguments)
    assert LONG in line
    assert "File name too long" in line


def test_links_that_lead_to_each_other() -> None:
    line = refused("run", "a.toml", "--store", "loop")
    assert "loop" in line
    assert "Too many levels of symbolic links (name another path)" in line
    assert refused("import", "--train", "loop").startswith("error: import.train: expected a file, but loop ")
