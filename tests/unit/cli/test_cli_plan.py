"""`xmcpipe plan`: from a stated shape or from shards, as a table and as JSON, and its errors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.artifacts.versions import CLUSTERS_VERSION, SHARDS_VERSION
from xmcpipe.cli.app import app
from xmcpipe.data.schema import LABELS
from xmcpipe.data.shards.files import ShardWriter, shard_path

RECIPE = """
name = "small"
[import]
train = "absent.jsonl"
[tokenize]
encoder = "ENCODER"
max_length = 24
[cluster]
num_clusters = 8
[train]
memory = "light"
batch_size = 16
epochs = 10
[train.head]
fan_in = 8
bias = false
optimizer = "sgd"
momentum = 0.0
[train.auxiliary]
weight = 0.4
"""
SOME, DOCUMENTS = 50, 30


@pytest.fixture
def cli(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Invoke `plan` in a folder that holds r.toml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XMCPIPE_STORE", raising=False)
    Path("r.toml").write_text(RECIPE.replace("ENCODER", str(tiny_encoder)))
    return lambda *arguments: CliRunner().invoke(app, ["plan", *map(str, arguments)])


@pytest.fixture
def artifacts(tiny_encoder: Path, tmp_path: Path) -> list[str]:
    """--shards and --clusters of 50 labels: 30 documents of up to 12 tokens, 2 labels each, 4 clusters."""
    folders = {"shards": tmp_path / "shards", "clusters": tmp_path / "clusters"}
    for kind, version in (("shards", SHARDS_VERSION), ("clusters", CLUSTERS_VERSION)):
        folders[kind].mkdir()
        config = {"encoder": str(tiny_encoder), "max_length": 24}
        Manifest("made", kind, version, "0" * 64, config, {}, {}, {}, {}).write(folders[kind])
    tokens = pa.array([[5] * (number % 12 + 1) for number in range(DOCUMENTS)], pa.list_(pa.int32()))
    labels = pa.array([[number, number + 1] for number in range(DOCUMENTS)], pa.list_(pa.int32()))
    with ShardWriter(shard_path(folders["shards"], "train", 0)) as shard:
        shard.write(pa.array([str(number) for number in range(DOCUMENTS)]), tokens, labels)
    names = {"label": [str(label) for label in range(SOME)], "text": [None] * SOME}
    pq.write_table(pa.table(names, schema=LABELS), folders["shards"] / "labels.parquet")
    clusters = pa.table({"cluster": (np.arange(SOME) % 4).astype(np.int32)})
    pq.write_table(clusters, folders["clusters"] / "clusters.parquet")
    return [word for kind, folder in folders.items() for word in (f"--{kind}", str(folder))]


def facts(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_a_stated_shape_is_planned_both_ways(cli: Any) -> None:
    found = facts(cli("r.toml", "--labels", 2048, "--positives", 3, "--documents", 1000, "--json"))
    assert found["data"] == {
        "labels": 2048, "documents": 1000, "tokens": 24, "positives": 3.0, "clusters": 8, "label_texts": 0,
        "terms": 48.0,
        "piece_length": 0,
    }  # fmt: skip
    assert [each["memory"] for each in found["plans"]] == ["light", "paper"]
    for each in found["plans"]:
        parts = dict(each["device_bytes"])
        assert parts.pop("total") == sum(parts.values())
        assert parts["classifier indices"] == 2 * 2048 * 8
        assert each["device"] == "cuda"
        assert each["floor"]["seconds"] is None
        assert each["host_bytes"]["documents"] == 64_000
    light, paper = (each["device_bytes"] for each in found["plans"])
    assert 2 * light["classifier weights"] == paper["classifier weights"] == 4 * 2048 * 8


def test_the_table_has_a_column_for_each_and_the_floor_in_time(cli: Any) -> None:
    result = cli("r.toml", "--labels", 2000, "--device", "cpu", "--bandwidth", 100)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("2,000 labels · batch 16 x 24 tokens · ")
    assert lines[0].endswith(" · cpu · memory = 'light' (GiB)")
    words = [line.split() for line in lines]
    assert ["on", "the", "device", "light", "paper"] in words
    assert ["on", "the", "host", "light", "paper"] in words
    assert sum(line[:1] == ["total"] for line in words) == 2
    light, paper = (line for line in lines if line.startswith(("light: ", "paper: ")))
    assert light.startswith("light: a classifier step moves ")
    assert paper.endswith(" ms at 100 GB/s")


def test_times_at_a_stated_speed(cli: Any) -> None:
    stated = ("r.toml", "--labels", 2000, "--documents", 170, "--device", "cpu")
    speeds = ("--bandwidth", 100, "--tflops", 0.5, "--set", "train.epochs=3")
    found = json.loads(cli(*stated, *speeds, "--json").stdout)
    assert found["steps"] == {"an_epoch": 11, "all": 33}
    for each in found["plans"]:
        expected = each["floor"]["bytes"] / 1e11 + each["encoder_flops"] / 5e11
        assert each["step_seconds"] == pytest.approx(expected)
    table = cli(*stated, *speeds).stdout.splitlines()
    lines = [line for line in table if line.startswith(("light: ", "paper: "))]
    assert [line.partition(":")[0] for line in lines] == ["light", "light", "paper", "paper"]
    assert lines[-1].endswith(" hours in total")


def test_a_bandwidth_can_be_measured(cli: Any) -> None:
    found = facts(cli("r.toml", "--labels", 100, "--device", "cpu", "--measure", "--json"))
    assert found["bytes_per_second"] > 1e8
    for each in found["plans"]:
        expected = each["floor"]["bytes"] / found["bytes_per_second"]
        assert each["floor"]["seconds"] == pytest.approx(expected)


def test_shards_and_clusters_that_exist_determine_the_shape_of_the_data(
    cli: Any, artifacts: list[str]
) -> None:
    found = facts(cli("--recipe", "r.toml", *artifacts, "--json"))
    of_shards = {"labels": 50, "documents": 30, "tokens": 12, "positives": 2.0, "clusters": 4}
    of_shards["piece_length"] = 0
    assert found["data"] == {**of_shards, "label_texts": 0, "terms": 24.0}
    stated = facts(cli("r.toml", *artifacts, "--labels", 70, "--tokens", 20, "--json"))
    assert stated["data"] == {**of_shards, "labels": 70, "tokens": 20, "label_texts": 0, "terms": 40.0}


WITH_TEXTS = ("--set", "train.label_features=true")


def test_label_texts_are_training_documents_too(cli: Any, artifacts: list[str], tmp_path: Path) -> None:
    stated = ("r.toml", "--labels", 400, "--documents", 200, "--positives", 3, "--json")
    without, found = facts(cli(*stated)), facts(cli(*stated, *WITH_TEXTS))
    assert (without["data"]["label_texts"], found["data"]["label_texts"]) == (0, 400)
    # a twentieth of the documents is set aside for validation, but no label texts
    assert (without["steps"]["an_epoch"], found["steps"]["an_epoch"]) == (-(-190 // 16), -(-590 // 16))
    assert found["steps"]["all"] == 10 * found["steps"]["an_epoch"]
    for each in found["plans"]:
        assert each["host_bytes"]["documents"] == 64 * 600
    with ShardWriter(shard_path(tmp_path / "shards", "label", 0)) as shard:
        texts = pa.array([[5] * 20] * 7, pa.list_(pa.int32()))
        labels = pa.array([[number] for number in range(7)], pa.list_(pa.int32()))
        shard.write(pa.array([f"label {number}" for number in range(7)]), texts, labels)
    of_shards = facts(cli("r.toml", *artifacts, "--json", *WITH_TEXTS))["data"]
    assert (of_shards["documents"], of_shards["label_texts"], of_shards["tokens"]) == (30, 7, 20)
    assert of_shards["positives"] == 2.0
    assert facts(cli("r.toml", *artifacts, "--json"))["data"]["tokens"] == 12


def test_no_recipe_is_needed(cli: Any, tiny_encoder: Path) -> None:
    settings = [f"train.encoder.name={tiny_encoder}", "train.head.fan_in=8", "train.head.kind=dense"]
    settings.append("train.head.bias=false")
    words = [word for setting in settings for word in ("--set", setting)]
    found = facts(cli(*words, "--labels", 300, "--tokens", 16, "--json"))
    assert [each["memory"] for each in found["plans"]] == ["paper"]  # a dense head has no light mode
    assert found["plans"][0]["device_bytes"]["classifier weights"] == 4 * 300 * 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["r.toml"], "the number of labels is unknown: the shards of this recipe are not in the store"),
        (["r.toml", "--recipe", "r.toml", "--labels", "9"], "expected one recipe, got two"),
        (["--labels", "9"], "the recipe names no encoder (give --set train.encoder.name=NAME)"),
        (["r.toml", "--labels", "9", "--set", "train.head.fan_in=33"], "got K = 33 and D = 32"),
        (["r.toml", "--labels", "9", "--tokens", "999"], "expected at most 64 tokens for encoder "),
        (["r.toml", "--labels", "9", "--set", "train.encoder.name=no/such-encoder"], "can't be read"),
    ],
)
def test_an_error_is_one_line(cli: Any, arguments: list[str], message: str) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_recipe_of_a_public_dataset_needs_no_data(cli: Any) -> None:
    published = json.loads(cli("amazon670k-light", "--json").stdout)
    assert (published["data"]["labels"], published["data"]["documents"]) == (670_091, 490_449)
    assert published["plans"][0]["memory"] == "light"


def test_stated_labels_are_those_of_other_data(cli: Any) -> None:
    stated = json.loads(cli("eurlex4k", "--labels", 50, "--json").stdout)
    assert (stated["data"]["labels"], stated["data"]["documents"]) == (50, 0)
