"""A recipe with a frozen encoder, from embed to metrics, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.pipeline.places import LIGHT, Workplace, settings
from xmcpipe.data.embeddings import embeddings_path, read_embeddings

FROZEN = [
    "train.encoder.frozen=true",
    "train.auxiliary.weight=0",
    "train.epochs=20",  # a step takes a millisecond
    "train.head.fan_in=24",
    "train.head.lr=0.1",
]


@pytest.fixture
def frozen(workplace: Workplace) -> Workplace:
    """A workplace whose recipe embeds; its shards exist."""
    recipe = workplace.folder / "tiny.toml"
    recipe.write_text(recipe.read_text().replace("[train]", '[embed]\npooling = "mean"\n\n[train]', 1))
    return workplace


BEGUN = ["train.head.weight_init=means"]
AVERAGED = ["train.average=ema", "train.average_decay=0.9"]


@pytest.mark.parametrize(
    "mode", [[], [*BEGUN, *AVERAGED], [*BEGUN, *LIGHT]], ids=["paper", "averaged", "light"]
)
def test_it_learns_from_the_embeddings_and_predicts_from_text(frozen: Workplace, mode: list[str]) -> None:
    before = set(frozen.store.glob("model/*"))
    outcome = frozen.run(*settings([*FROZEN, *mode]))
    made = [stage["stage"] for stage in outcome["stages"] if stage["state"] == "made"]
    assert made == ["embed", "train", "predict", "eval"]
    metrics = outcome["metrics"]
    assert metrics["model"]["P@1"] > metrics["popularity"]["P@1"] + 0.1  # the encoder's weights are random
    (model,) = set(frozen.store.glob("model/*")) - before
    facts = json.loads((model / "model.json").read_text())
    assert facts["recipe"]["embed"]["pooling"] == "mean"
    assert 0.9 < facts["figures"]["memory"]["ratio"] < 1.1
    # The model scores text with its own encoder: the features are those that it was trained on.
    document = "the first test document"
    done = frozen.call("predict", "--model", str(model), "--text", document, "--json")
    assert json.loads(done.stdout)


def test_each_row_of_the_artifact_is_a_document_of_the_shards(frozen: Workplace) -> None:
    frozen.call("embed", "--recipe", "tiny.toml")
    (artifact,) = frozen.store.glob("embeddings/*")
    manifest = json.loads((artifact / "manifest.json").read_text())
    for split in ("train", "test"):
        (raw,) = frozen.store.glob(f"raw/*/{split}.parquet")
        embeddings = read_embeddings(embeddings_path(artifact, split))
        assert len(embeddings) == pq.read_metadata(raw).num_rows
        assert np.isfinite(embeddings).all()
        assert len(np.unique(embeddings, axis=0)) > 0.9 * len(embeddings)
    assert manifest["figures"]["documents"] > 1000


def test_embeddings_of_another_pooling_or_of_other_shards_are_refused(frozen: Workplace) -> None:
    flags = settings(FROZEN)
    done = frozen.call("run", "tiny.toml", *flags, "--set", "embed.pooling=cls", "--to", "train", code=2)
    assert "expected embeddings with pooling 'mean', as in [train.encoder], got 'cls'" in done.stderr
    (artifact,) = frozen.store.glob("embeddings/*")
    (clusters,) = frozen.store.glob("clusters/*")
    changed = ["--set", "tokenize.max_length=12"]
    frozen.call("tokenize", "--recipe", "tiny.toml", *changed)
    named = ["--embeddings", str(artifact), "--clusters", str(clusters)]
    done = frozen.call("train", "--recipe", "tiny.toml", *flags, *changed, *named, code=2)
    assert "expected embeddings of shards" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_recipe_without_embed_is_told_what_to_add(workplace: Workplace) -> None:
    done = workplace.call("run", "tiny.toml", *settings(FROZEN), code=2)
    assert "train needs embeddings" in done.stderr
    assert "add [embed] to the recipe" in done.stderr
    assert "set train.encoder.frozen = false and" in done.stderr


def test_a_recipe_without_the_key_finds_its_old_model(workplace: Workplace, tmp_path: Path) -> None:
    """The key was added after models existed: at its default it is not in the fingerprint."""
    (model,) = workplace.store.glob("model/*")
    config = json.loads((model / "manifest.json").read_text())["config"]
    assert "frozen" not in config["encoder"]
    shutil.rmtree(workplace.store / "predictions")
    outcome = workplace.run("--set", "train.encoder.frozen=false")
    assert {stage["stage"]: stage["state"] for stage in outcome["stages"]}["train"] == "reused"


@pytest.mark.parametrize("how", [FROZEN, ["train.epochs=1"]], ids=["frozen", "fine-tuned"])
def test_long_documents_are_read_in_pieces_by_every_stage(frozen: Workplace, how: list[str]) -> None:
    pieces = ["tokenize.max_length=6", "tokenize.max_pieces=3", "tokenize.stride=1"]
    outcome = frozen.run(*settings([*how, *pieces]))
    made = {stage["stage"]: Path(stage["path"]) for stage in outcome["stages"]}
    assert json.loads((made["tokenize"] / "manifest.json").read_text())["figures"]["train"]["max"] > 6
    facts = json.loads((made["train"] / "model.json").read_text())
    assert [facts[key] for key in ("max_length", "max_pieces", "stride")] == [6, 3, 1]
    # The texts of the test documents get the labels that the documents of the shards get.
    predicted = pq.read_table(made["predict"] / "predictions.parquet").to_pylist()[:20]
    (raw,) = frozen.store.glob("raw/*/test.parquet")
    texts = pq.read_table(raw)["text"].to_pylist()[:20]
    names = pq.read_table(made["train"] / "labels.parquet")["label"].to_pylist()
    asked = [flag for text in texts for flag in ("--text", text)]
    done = frozen.call("predict", "--model", str(made["train"]), *asked, "--top", "1", "--json")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    best = [answer["labels"][0]["label"] for answer in answers]
    assert best == [names[row["labels"][0]] for row in predicted]
