"""`eval` on files of any system."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.cli.app import app
from xmcpipe.data.predictions import PredictionsWriter
from xmcpipe.data.shards.files import ShardWriter, shard_path


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


def test_without_training_labels_a_note_explains_the_missing_psp(files: list[str]) -> None:
    result = CliRunner().invoke(app, ["eval", *files[:4]])
    assert result.exit_code == 0, result.output
    assert "no PSP" in result.stdout
    assert "popular@" not in result.stdout


def test_ranks_in_any_order_and_the_bootstrap_by_options(files: list[str]) -> None:
    options = ["--k", "2,1", "--rounds", "7", "--level", "0.8", "--seed", "3", "--a", "0.5", "--b", "0.4"]
    metrics = json.loads(CliRunner().invoke(app, ["eval", *files, *options, "--json"]).stdout)
    assert metrics["k"] == [1, 2]
    assert {key: metrics["intervals"][key] for key in ("rounds", "level", "seed")} == {
        "rounds": 7, "level": 0.8, "seed": 3
    }  # fmt: skip
    assert metrics["propensity"] == {"kind": "standard", "a": 0.5, "b": 0.4, "n": 9}


def test_the_constants_can_be_set(files: list[str]) -> None:
    result = CliRunner().invoke(app, ["eval", *files, "--set", "eval.a=0.6", "--set", "eval.b=2.6", "--json"])
    assert json.loads(result.stdout)["propensity"] == {"kind": "standard", "a": 0.6, "b": 2.6, "n": 9}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--truth", "t"], "--truth needs --predictions or --compare"),
        (["--train", "t"], "--train needs --truth"),
        (["--filter", "t"], "--filter needs --truth"),
        (["--predictions", "p", "--compare", "p", "q", "--truth", "t"], "expected one of --predictions"),
        (["--compare", "none", "none"], "there is no recipe 'none'"),
        (["--compare", "n.jsonl", "n.jsonl"], "a recipe or the folder of an artifact, got n.jsonl"),
        (["pyproject.toml", "--recipe", "quickstart"], "expected one recipe, got two"),
        (["README.md"], "expected a recipe, got the file or folder README.md"),
        (["--predictions", "p", "--truth", "t", "--k", "1,x"], "expected integers, got --k '1,x'"),
        (["--predictions", "p", "--truth", "t", "--k", "3,3"], "eval: expected k to be distinct rising"),
        (["--predictions", "p", "--truth", "t", "--train", "r", "--b", "inf"], "eval.b: expected a finite"),
        (["--predictions", "p", "--truth", "t", "--shards", "s"], "--shards would have no effect here"),
        (
            ["--compare", "p.npz", "q.npz", "--truth", "t", "--store", "s"],
            "--store would have no effect here",
        ),
        (["--predictions", "p", "--truth", "t", "--force"], "--force would have no effect here"),
        (["--compare", ".", ".", "--force"], "--force would have no effect here"),
        (["--predictions", "p", "--truth", "t", "--bins", "3"], "--bins would have no effect here"),
        (["--compare", ".", ".", "--bins", "3"], "--bins would have no effect here"),
        (["--predictions", "p", "--truth", "t", "--a", "0.5"], "--a would have no effect here"),
        (["--predictions", "p", "--truth", "t", "--b", "0.5"], "--b would have no effect here"),
        (["--json", "--format", "latex"], "--format would have no effect here"),
        (["--predictions", "none.jsonl", "--truth", "none.jsonl"], "none.jsonl"),
    ],
)
def test_impossible_options_are_one_line(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["eval", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_two_systems_side_by_side(files: list[str], tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"id": name, "labels": ["y"]}) + "\n" for name in "ab"))
    arguments = ["eval", "--compare", files[1], str(other), *files[2:], "--k", "1", "--set", "eval.rounds=50"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["differences"]["P@1"]
    assert (found["first"], found["second"], found["significant"]) == (0.5, 0.5, False)
    shown = CliRunner().invoke(app, arguments).stdout
    assert "A − B" in shown
    assert f"B: {other}" in shown


def test_two_artifacts_find_the_shards_that_both_were_predicted_on(tmp_path: Path) -> None:
    store = tmp_path / "store"
    places = [make_predictions(store, name, "5" * 64, labels) for name, labels in (("1", [0]), ("2", [1]))]
    compare = ["eval", "--store", str(store), "--k", "1", "--set", "eval.rounds=20", "--json", "--compare"]
    missing = CliRunner().invoke(app, [*compare, *places])
    assert missing.exit_code == 2
    assert "the shards that both were predicted on are not in" in missing.stderr
    make_shards(store / "shards" / ("5" * 16), "5" * 64)
    result = CliRunner().invoke(app, [*compare, *places])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["differences"]["P@1"]["difference"] == 1.0
    assert found["propensity"]["n"] == 3
    other = make_predictions(store, "3", "6" * 64, [0])
    different = CliRunner().invoke(app, [*compare, places[0], other])
    assert different.exit_code == 2
    assert "were predicted on different shards" in different.stderr
    assert "--shards" in different.stderr


def test_two_artifacts_are_compared_with_the_constants_of_their_own_metrics(tmp_path: Path) -> None:
    store, compare = tmp_path / "store", ["eval", "--k", "1", "--rounds", "9", "--json"]
    make_shards(store / "shards" / ("5" * 16), "5" * 64)
    places = [make_predictions(store, name, "5" * 64, [0]) for name in "12"]
    compare += ["--store", str(store), "--compare", *places]

    def constants(*options: str) -> tuple[float, float]:
        found = json.loads(CliRunner().invoke(app, [*compare, *options]).stdout)["propensity"]
        return found["a"], found["b"]

    def measured(name: str, **config: Any) -> None:
        folder = store / "metrics" / (name * 16)
        folder.mkdir(parents=True)
        inputs = {"predictions": name * 64, "shards": "5" * 64}
        Manifest("eval", "metrics", 1, name * 64, config, inputs, {}, {}, {}).write(folder)

    assert constants() == (0.55, 1.5)
    measured("1", a=0.6, b=2.6, propensity="standard", k=[1, 3])
    assert constants() == (0.6, 2.6)
    assert constants("--a", "0.5") == (0.5, 2.6)
    assert constants("--set", "eval.b=0.4") == (0.6, 0.4)
    measured("2", a=0.5, b=0.4, propensity="standard")
    refused = CliRunner().invoke(app, compare)
    assert refused.exit_code == 2
    assert "the two systems were measured with" in refused.stderr
    assert constants("--a", "0.6", "--b", "1.5") == (0.6, 1.5)


def make_manifest(folder: Path, stage: str, kind: str, fingerprint: str, inputs: dict[str, str]) -> None:
    Manifest(stage, kind, 1, fingerprint, {}, inputs, {}, {}, {}).write(folder)


def make_vocabulary(folder: Path) -> None:
    table = pa.table({"label": ["x", "y"], "text": pa.nulls(2, pa.string())})
    pq.write_table(table, folder / "labels.parquet")


def make_predictions(store: Path, name: str, shards: str, labels: list[int]) -> str:
    """Predictions of one document."""
    folder = store / "predictions" / (name * 16)
    folder.mkdir(parents=True)
    with PredictionsWriter(folder / "predictions.parquet") as table:
        table.write(pa.array(["a"]), np.array([labels]), np.ones((1, len(labels)), np.float32))
    make_vocabulary(folder)
    make_manifest(folder, "predict", "predictions", name * 64, {"shards": shards})
    return str(folder)


def make_shards(folder: Path, fingerprint: str) -> None:
    """A test document with the label x, and three for training."""
    folder.mkdir(parents=True)
    for split, labels in (("train", [[0], [1], [0]]), ("test", [[0]])):
        with ShardWriter(shard_path(folder, split, 0)) as shard:
            ids = pa.array(["a", "b", "c"][: len(labels)])
            tokens = pa.array([[1]] * len(labels), pa.list_(pa.int32()))
            shard.write(ids, tokens, pa.array(labels, pa.list_(pa.int32())))
    make_vocabulary(folder)
    make_manifest(folder, "tokenize", "shards", fingerprint, {})


def test_deciles_and_tables_for_papers_and_pages(files: list[str]) -> None:
    shown = CliRunner().invoke(app, ["eval", *files, "--bins", "2", "--format", "markdown"]).stdout
    assert shown.startswith("| % | @1 | @3 | @5 | popular @1")
    assert "| by frequency, % | labels |" in shown
    assert "\n- PSP with A 0.55" in shown
    shown = CliRunner().invoke(app, ["eval", *files, "--format", "latex"]).stdout
    assert shown.count(r"\begin{tabular}") == 2
    assert "\n% PSP with A 0.55" in shown
    assert CliRunner().invoke(app, ["eval", *files, "--format", "word"]).exit_code == 2


def test_xc_text_with_a_filter(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("0:0.9 1:0.8\n2:0.5\n")
    (tmp_path / "t.txt").write_text("2 3\n1:1\n2:1\n")
    (tmp_path / "f.txt").write_text("0 0\n")
    named = {"predictions": "p.txt", "truth": "t.txt", "filter": "f.txt"}
    arguments = [word for name, file in named.items() for word in (f"--{name}", str(tmp_path / file))]
    result = CliRunner().invoke(app, ["eval", *arguments, "--k", "1", "--json"])
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    assert (metrics["model"]["P@1"], metrics["labels"]) == (1.0, 3)
    assert "1 pairs count neither" in CliRunner().invoke(app, ["eval", *arguments, "--k", "1"]).stdout
