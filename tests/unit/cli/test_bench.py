"""The command `bench`."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xmcpipe.benchmark import implementations, run, timing
from xmcpipe.benchmark.compare import Comparison, compare
from xmcpipe.cli.app import app

SMALL = ["--labels", "60", "--fan-in", "4,8", "--features", "16", "--batch", "3", "--repeats", "1"]
FORWARD = [*SMALL, "--what", "forward", "--dtype", "float32", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _small_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COPIED_BYTES", "SWEPT_BYTES"):
        monkeypatch.setattr(timing, name, {"cpu": 1 << 20, "cuda": 1 << 20})


def test_a_table_json_and_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    options = ["--dtype", "float32,bfloat16", "--device", "cpu", "--out", str(tmp_path / "a" / "b")]
    result = CliRunner().invoke(app, ["bench", *SMALL, *options])
    assert result.exit_code == 0, result.output
    assert "L 60 · K 8 · D 16 · B 3 · bfloat16" in result.stdout
    assert "embedding_bag" in result.stdout
    document = json.loads((tmp_path / "a" / "b" / "bench.json").read_text())
    assert len(document["comparisons"]) == 2 * 2 * 4
    assert (tmp_path / "a" / "b" / "bench.png").is_file()


def test_a_run_that_fails_leaves_the_comparisons_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any) -> Comparison:
        if arguments[1] == "step":
            raise OSError("the machine is taken back")
        return compare(*arguments)

    monkeypatch.setattr(run, "compare", failing)
    grid = [*SMALL, "--dtype", "float32", "--device", "cpu"]
    result = CliRunner().invoke(app, ["bench", *grid, "--out", str(tmp_path)])
    assert isinstance(result.exception, OSError)
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]
    document = json.loads((tmp_path / "bench.json").read_text())
    assert [each["what"] for each in document["comparisons"]] == ["forward", "backward"]


def test_json_is_all_that_is_on_standard_output() -> None:
    result = CliRunner().invoke(app, ["bench", *FORWARD, "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["machine"]["large_pages"]
    assert [each["fan_in"] for each in document["comparisons"]] == [4, 8]
    states = {each["contender"]: each["state"] for each in document["comparisons"][0]["results"]}
    assert states["ffi"] == states["dense"] == "timed"
    assert result.stderr == ""


def test_without_matplotlib_the_json_is_written_and_the_plot_has_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = CliRunner().invoke(app, ["bench", *FORWARD, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json"]
    assert "xmcpipe[bench]" in result.stderr


def test_a_wrong_result_is_shown_and_the_exit_code_is_1(monkeypatch: pytest.MonkeyPatch) -> None:
    right = implementations.FixedFanIn.forward
    monkeypatch.setattr(implementations.FixedFanIn, "forward", lambda self: (right(self)[0] * 1.01,))
    result = CliRunner().invoke(app, ["bench", *FORWARD])
    assert result.exit_code == 1
    assert "WRONG" in result.stdout
    assert "forward: ffi wrong: scores off by" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fan-in", "17"], "got K = 17 for D = 16"),
        (["--dtype", "float12"], "'float12'"),
        (["--dtype", "float16"], "CUDA only"),
        (["--what", "all"], "'all'"),
        (["--labels", "many"], "expected integers, got --labels 'many'"),
        (["--labels", "0"], "L = 0"),
        (["--seconds", "0"], "above 0"),
        (["--device", "cuda:99"], "device 'cuda:99' can't be used"),
        (["--device", "abacus"], "device 'abacus' can't be used"),
    ],
)
def test_bad_input_is_one_line_and_2(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["bench", *FORWARD, *arguments])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert words in result.stderr


def test_a_folder_that_cannot_be_written_is_an_error_before_anything_is_timed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["bench", *FORWARD, "--out", str(tmp_path / "file" / "below")])
    assert result.exit_code == 2
    assert "can't create" in result.stderr
