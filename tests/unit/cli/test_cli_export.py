"""`import` of a dataset's folder into the store, and `export` from it."""

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.layout_folders import NAMES, pecos, x_y
from xmcpipe.cli.app import app


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output if code else result.stdout


def test_import_a_folder_and_export_it(tmp_path: Path) -> None:
    pecos(tmp_path / "source")
    keep = ["--empty-text", "keep", "--no-labels", "keep", "--min-label-count", "0"]
    command = ["import", tmp_path / "source", *keep, "--store", tmp_path / "store", "--json"]
    made = json.loads(run(*command))
    assert (made["state"], made["figures"]["train"], made["figures"]["labels"]) == ("made", 5, len(NAMES))
    second = json.loads(run(*command, "--layout", "pecos"))
    assert (second["state"], second["path"]) == ("reused", made["path"])
    files = json.loads(run("export", made["path"], "--format", "xc", "-o", tmp_path / "out", "--json"))
    assert files["path"] == str(tmp_path / "out")
    written = (tmp_path / "out" / "trn_X_Y.txt").read_bytes()
    # as in the source, except that the labels of each document are sorted
    assert written == x_y([("", [0, 1]), ("", [2]), ("", [0]), ("", [1, 3]), ("", [])])
    assert files["files"]["trn_X_Y.txt"] == len(written)
    assert "X.trn.txt" in run("export", made["path"], "--out", tmp_path / "pecos")
    assert "expected a new or empty folder" in run("export", made["path"], "-o", tmp_path / "out", code=2)


def test_a_folder_that_is_no_dataset_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "trn_X_Xf.txt").write_text("")
    assert "bags of words and no text" in run("import", tmp_path, "--store", tmp_path / "store", code=2)
    assert "expected either train (a table) or folder" in run("import", "--store", tmp_path / "store", code=2)
    assert not (tmp_path / "store" / "raw").exists()


def test_a_damaged_artifact_is_not_exported(tmp_path: Path) -> None:
    pecos(tmp_path / "source")
    made = json.loads(run("import", tmp_path / "source", "--store", tmp_path / "store", "--json"))
    labels = next(Path(made["path"]).glob("labels*"))
    content = bytearray(labels.read_bytes())
    content[len(content) // 2] ^= 1
    labels.write_bytes(content)
    message = run("export", made["path"], "-o", tmp_path / "out", code=2)
    assert "was changed" in message
    assert labels.name in message
    assert not (tmp_path / "out").exists()
