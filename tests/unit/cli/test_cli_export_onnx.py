"""`export --format onnx`: what the user sees."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.small_models import write_model
from xmcpipe.cli.app import app

pytest.importorskip("onnxruntime", reason="needs the extra onnx")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_model_as_files_and_as_json(tiny_encoder: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", tiny_encoder)
    done = call("export", model, "--format", "onnx", "-o", tmp_path / "onnx")
    assert done.exit_code == 0, done.output
    *files, last = done.stdout.splitlines()
    assert {line.rpartition("/")[2] for line in files} >= {"model.onnx", "model.onnx.data", "README.md"}
    assert last.startswith("same labels as the model for 12 random documents; scores differ by ")
    assert len(last) <= 80
    facts = json.loads(call("export", model, "--format", "onnx", "-o", tmp_path / "two", "--json").stdout)
    assert facts["documents_compared"] == 12
    assert 0 <= facts["largest_score_difference"] < 1e-5
    assert facts["files"]["model.onnx"] == (tmp_path / "two" / "model.onnx").stat().st_size


def test_a_model_in_another_layout_names_onnx(tmp_path: Path) -> None:
    from tests.unit.stages.test_export import write_manifest

    (tmp_path / "model").mkdir()
    write_manifest(tmp_path / "model", "model", 1)
    done = call("export", tmp_path / "model", "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "a model has --format onnx" in done.stderr
    done = call("export", tmp_path / "model", "--format", "onnx", "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "is not a model artifact" in done.stderr
    assert not (tmp_path / "out").exists()
