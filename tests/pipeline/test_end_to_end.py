"""The whole chain on the synthetic dataset: it learns, reuses artifacts, and reruns what a change affects."""

import json
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.pipeline.places import LIGHT, Workplace, settings

STAGES = ["download", "tokenize", "cluster", "train", "predict", "eval"]


def metrics(place: Workplace) -> dict[str, Any]:
    (path,) = place.store.glob("metrics/*/metrics.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def states(outcome: dict[str, Any]) -> dict[str, str]:
    return {stage["stage"]: stage["state"] for stage in outcome["stages"]}


def test_it_learns_well_above_popularity(finished: Workplace) -> None:
    figures = metrics(finished)
    assert figures["model"]["P@1"] > 0.5
    assert figures["model"]["P@1"] > figures["popularity"]["P@1"] + 0.3
    assert figures["model"]["PSP@5"] > 2 * figures["popularity"]["PSP@5"]


def model_figures(place: Workplace) -> dict[str, Any]:
    (path,) = place.store.glob("model/*/model.json")
    figures: dict[str, Any] = json.loads(path.read_text())["figures"]
    return figures


def test_the_memory_of_training_was_predicted(finished: Workplace) -> None:
    memory = model_figures(finished)["memory"]
    predicted, measured = memory["predicted_bytes"], memory["measured_bytes"]
    assert memory["ratio"] == pytest.approx(predicted["total"] / measured["total"], abs=1e-3)
    assert 0.9 < memory["ratio"] < 1.1
    assert measured["host"] > measured["total"] > predicted["classifier weights"] > 0


def test_the_light_mode_learns_too(workplace: Workplace) -> None:
    """Half the bytes for the layer, no buffer of its size, and predictions that are as good."""
    paper = metrics(workplace)
    (before,) = workplace.store.glob("model/*")
    light = workplace.run(*settings(LIGHT))["metrics"]
    assert light["model"]["P@1"] > light["popularity"]["P@1"] + 0.3
    assert light["model"]["P@1"] > paper["model"]["P@1"] - 0.1
    (model,) = set(workplace.store.glob("model/*")) - {before}
    facts = json.loads((model / "model.json").read_text())
    assert facts["head"]["dtype"] == "bfloat16"
    assert 0.9 < facts["figures"]["memory"]["ratio"] < 1.1
    assert facts["figures"]["head_bytes"] == 60 * (8 * (2 + 2) + 4)


def test_train_steps_is_a_short_name_for_max_steps(workplace: Workplace) -> None:
    command = ["train", "--recipe", "tiny.toml", "--json"]
    made = json.loads(workplace.call(*command, "--steps", "4").stdout)
    assert (made["state"], made["figures"]["steps"]) == ("made", 4)
    repeated = json.loads(workplace.call(*command, "--set", "train.max_steps=4").stdout)
    assert (repeated["state"], repeated["path"]) == ("reused", made["path"])
    workplace.call(*command, "--steps", "0", code=2)


def test_a_second_run_reuses_every_stage(finished: Workplace) -> None:
    assert states(finished.run()) == dict.fromkeys(STAGES, "reused")


@pytest.mark.parametrize(
    ("setting", "first"),
    [
        ("tokenize.max_length=20", "tokenize"),
        ("cluster.num_clusters=6", "cluster"),
        ("train.max_steps=4", "train"),
        ("predict.k=7", "predict"),
        ("eval.a=0.6", "eval"),
    ],
)
def test_a_changed_key_reruns_the_dependent_stages(workplace: Workplace, setting: str, first: str) -> None:
    short = ["--set", "train.epochs=1"] if STAGES.index(first) < STAGES.index("train") else []
    outcome = workplace.run("--set", setting, *short)
    position = STAGES.index(first)
    expected = {stage: "made" if STAGES.index(stage) >= position else "reused" for stage in STAGES}
    assert states(outcome) == expected


def test_a_runtime_key_reruns_nothing(finished: Workplace) -> None:
    outcome = finished.run("--set", "train.log_every=7", "--set", "predict.batch_size=3")
    assert states(outcome) == dict.fromkeys(STAGES, "reused")


def test_the_model_answers_without_the_shards(workplace: Workplace) -> None:
    (model,) = workplace.store.glob("model/*")
    alone = workplace.folder / "model"
    model.rename(alone)
    for kind in ("raw", "shards", "clusters", "predictions", "metrics"):
        (workplace.store / kind).rename(workplace.folder / f"moved-{kind}")
    raw = next((workplace.folder / "moved-raw").glob("*"))
    table = pq.read_table(raw / "test.parquet")
    names = pq.read_table(raw / "labels.parquet")["label"].to_pylist()
    texts, truth = table["text"].to_pylist()[:40], table["labels"].to_pylist()[:40]
    done = workplace.call(
        "predict", "--model", "model", "--top", "3", "--json", "--input", "-", stdin="\n".join(texts) + "\n"
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 40
    hits = [
        answer["labels"][0]["label"] in {names[label] for label in labels}
        for answer, labels in zip(answers, truth, strict=True)
    ]
    assert np.mean(hits) > 0.5


WITHOUT = """
import sys
for name in ("polars", "faiss", "sklearn", "tensorboardX"):
    sys.modules[name] = None  # importing it raises ImportError
"""


@pytest.mark.slow
def test_training_needs_no_polars_and_no_faiss(
    workplace: Workplace,
) -> None:
    """As on a GPU machine to which only the shards and clusters were copied."""
    (shards,), (clusters,) = workplace.store.glob("shards/*"), workplace.store.glob("clusters/*")
    common = [
        "--recipe",
        "tiny.toml",
        "--set",
        "train.epochs=2",
        "--store",
        "elsewhere",
        "--shards",
        str(shards),
    ]
    trained = workplace.patched(WITHOUT, "train", *common, "--clusters", str(clusters))
    assert trained.returncode == 0, trained.stderr
    (model,) = (workplace.folder / "elsewhere" / "model").glob("*")
    predicted = workplace.patched(WITHOUT, "predict", *common, "--model", str(model))
    assert predicted.returncode == 0, predicted.stderr
    assert len(list((workplace.folder / "elsewhere").glob("predictions/*/predictions.parquet"))) == 1


def test_predictions_are_ordered_and_of_the_test_documents(finished: Workplace) -> None:
    (path,) = finished.store.glob("predictions/*/predictions.parquet")
    table = pq.read_table(path)
    (raw,) = finished.store.glob("raw/*/test.parquet")
    assert table["id"].to_pylist() == pq.read_table(raw)["id"].to_pylist()
    for labels, scores in zip(table["labels"].to_pylist(), table["scores"].to_pylist(), strict=True):
        assert len(set(labels)) == len(labels) == 5
        assert scores == sorted(scores, reverse=True)


def test_gc_keeps_an_artifact_and_its_inputs(workplace: Workplace) -> None:
    (model,) = workplace.store.glob("model/*")
    workplace.call("gc", "--keep", str(model), "--yes")
    remaining = sorted(path.name for path in workplace.store.glob("[!.]*") if any(path.iterdir()))
    assert remaining == ["clusters", "model", "raw", "shards"]


def test_verify_finds_a_changed_byte(workplace: Workplace) -> None:
    workplace.call("status", "tiny.toml", "--verify")
    (path,) = workplace.store.glob("predictions/*/predictions.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    done = workplace.call("status", "tiny.toml", "--verify", code=2)
    assert "predictions.parquet" in done.stdout + done.stderr


@pytest.mark.parametrize("head", ["dense", "bottleneck"])
def test_the_dense_comparisons_train_in_the_same_trainer(workplace: Workplace, head: str) -> None:
    outcome = workplace.run("--set", f"train.head.kind={head}", "--set", "train.epochs=2")
    assert states(outcome)["train"] == "made"


def test_threshold_pruning_and_hinge_and_sgd_and_accumulation_train(workplace: Workplace) -> None:
    lines = [
        "train.loss=squared_hinge",
        "train.rewire.mode=threshold",
        "train.rewire.threshold=0.05",
        "train.head.optimizer=sgd",
        "train.accumulation=2",
        "train.head.intermediate=48",
        "train.encoder.checkpointing=true",
        "train.precision=bfloat16",
        "train.epochs=2",
    ]
    workplace.run(*settings(lines))
    log = [
        json.loads(line)
        for path in workplace.store.glob("model/*/log/metrics.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert any(line["kind"] == "rewire" and 0 < line["share"] < 0.9 for line in log)
