"""The stage, on artifacts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.evaluation_world import N_TEST, N_TRAIN, NAMES, K, L, World, figures_of, table, write_rows
from xmcpipe.config import from_table
from xmcpipe.data.filter_pairs import FilterPairs
from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.metrics import api, evaluation, inverse_propensity
from xmcpipe.stages.evaluate import EVAL, EvalConfig, compare_files, evaluate_files


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_stage_writes_all_figures_and_their_sources(world: World) -> None:
    metrics = world.run(a=0.6, b=2.6)
    truth = [set(row) for row in world.truth]
    precision = [len(truth[n] & set(world.predicted[n][:3])) / 3 for n in range(N_TEST)]
    assert metrics["model"]["P@3"] == pytest.approx(np.mean(precision))
    counts = np.bincount(np.concatenate(world.train), minlength=L)
    popular = np.lexsort((np.arange(L), -counts))[:5]
    hits = [len(true & set(popular.tolist())) / 5 for true in truth]
    assert metrics["popularity"]["P@5"] == pytest.approx(np.mean(hits))
    c = (np.log(N_TRAIN) - 1) * 3.6**0.6
    weight = 1 + c * (counts + 2.6) ** -0.6
    raw = [sum(weight[label] for label in truth[n] & set(world.predicted[n][:1])) for n in range(N_TEST)]
    best = [max((weight[label] for label in true), default=0.0) for true in truth]
    assert metrics["model"]["PSP_raw@1"] == pytest.approx(np.mean(raw))
    assert metrics["model"]["PSP@1"] == pytest.approx(np.mean(raw) / np.mean(best))
    assert metrics["propensity"] == {"kind": "standard", "a": 0.6, "b": 2.6, "n": N_TRAIN}
    assert (metrics["documents"], metrics["labels"], metrics["joined_by"]) == (N_TEST, L, "id")
    assert metrics["labels_in_test"] == len(set().union(*truth))
    assert metrics["documents_without_truth"] == sum(not true for true in truth) > 0
    assert metrics["model"].keys() == metrics["popularity"].keys()
    assert metrics["labels_in_training"] == np.count_nonzero(counts)
    low, high = metrics["intervals"]["model"]["P@3"]
    assert low < metrics["model"]["P@3"] < high
    bins = metrics["by_frequency"]
    assert [each["name"] for each in bins] == ["head", "torso", "tail"]
    assert sum(each["figures"]["P@3"] for each in bins) == pytest.approx(metrics["model"]["P@3"])


def test_the_headline_is_in_the_result(world: World) -> None:
    inputs = {"predictions": world.predictions, "shards": world.shards}
    result = EVAL.run(EvalConfig(k=(1, 2)), inputs, world.out, world.out)
    assert {"P@1", "P@2", "PSP@1", "PSP@2", "popularity P@1", "A", "B", "N", "propensity"} == set(
        result.figures
    )
    assert result.figures["N"] == N_TRAIN


def test_the_paper_propensity_counts_label_texts_as_documents(world: World) -> None:
    with pytest.raises(XmcpipeError, match=r"expects label texts, got none .*'standard'"):
        world.run(propensity="paper")
    labelled = list(range(0, L, 2))
    world.write_split("label", [NAMES[label] for label in labelled], [[label] for label in labelled])
    standard, paper = (world.run(propensity=name, rounds=0) for name in ("standard", "paper"))
    assert (standard["propensity"]["kind"], standard["propensity"]["n"]) == ("standard", N_TRAIN)
    assert (paper["propensity"]["kind"], paper["propensity"]["n"]) == ("paper", N_TRAIN + len(labelled))
    counts = np.bincount(np.concatenate([*world.train, labelled]), minlength=L)
    inverse = inverse_propensity(counts, N_TRAIN + len(labelled), 0.55, 1.5)
    raw = [
        sum(inverse[label] for label in set(true) & set(best[:1]))
        for true, best in zip(world.truth, world.predicted, strict=True)
    ]
    assert paper["model"]["PSP_raw@1"] == pytest.approx(np.mean(raw))
    assert paper["model"]["P@1"] == standard["model"]["P@1"]
    config = EvalConfig(propensity="paper", rounds=9)
    given = EvalInputs([world.predictions], world.shards, world.shards)
    assert figures_of(evaluate_files(given, config)) == figures_of(paper)
    both = EvalInputs([world.predictions] * 2, world.shards, world.shards)
    compared = compare_files(both, config)
    assert compared["propensity"] == paper["propensity"]
    assert compared["differences"]["PSP@1"]["first"] == pytest.approx(paper["model"]["PSP@1"])
    train = write_rows(world.out / "train.jsonl", [{"labels": [NAMES[0]]}])
    with pytest.raises(XmcpipeError, match=r"counts label texts as documents, and .*train\.jsonl has none"):
        evaluate_files(EvalInputs([world.predictions], world.shards, train), config)
    assert evaluate_files(EvalInputs([world.predictions], world.shards), config)["propensity"] is None


def test_pairs_that_the_dataset_excludes_are_neither_hits_nor_misses(world: World, tmp_path: Path) -> None:
    """The figures are those without the pairs, in any order of the rows and with any numbering."""
    row = next(row for row, true in enumerate(world.truth) if len(true) > 1)
    missing, best = world.truth[row][0], world.predicted[row][0]
    FilterPairs.of(np.array([row, row]), np.array([missing, best]), L).write(world.shards, "test")
    order = np.random.default_rng(0).permutation(N_TEST)
    rows = [{"id": world.ids[n], "labels": [NAMES[label] for label in world.predicted[n]]} for n in order]
    named = write_rows(tmp_path / "p.jsonl", rows)
    config = EvalConfig(k=(1, 3), rounds=0)
    found = [
        world.run(k=(1, 3), rounds=0),
        evaluate_files(EvalInputs([world.predictions], world.shards, world.shards), config),
        evaluate_files(EvalInputs([named], world.shards, world.shards), config),
    ]
    (world.shards / "filter_test.parquet").unlink()
    excluded = {missing, best}
    in_truth = sum(label in excluded for label in world.truth[row])
    world.truth[row] = [label for label in world.truth[row] if label not in excluded]
    world.predicted[row] = [label for label in world.predicted[row] if label not in excluded]
    in_predictions = K - len(world.predicted[row])
    world.predicted[row] += [-1] * in_predictions
    world.write_split("test", world.ids, world.truth)
    world.write_predictions(world.ids)
    expected = world.run(k=(1, 3), rounds=0)
    for metrics in found:
        assert metrics["model"] == pytest.approx(expected["model"])
        assert metrics["filter"] == {"pairs": 2, "true": in_truth}
        assert metrics["predictions_filtered"] == in_predictions
    assert in_truth > 0
    assert in_predictions > 0


def test_a_table_of_an_artifact_brings_the_pairs_that_the_artifact_excludes(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"label": ["x", "y"], "text": pa.nulls(2, pa.string())}), tmp_path / "labels.parquet"
    )
    for split in ("train", "test"):
        pq.write_table(table(["a", "b"], [[0, 1], [1]]), tmp_path / f"{split}.parquet")
    FilterPairs.of(np.array([0]), np.array([0]), 2).write(tmp_path, "test")
    (tmp_path / "manifest.json").write_text("{}")
    predictions = write_rows(tmp_path / "p.jsonl", [{"id": name, "labels": ["x", "y"]} for name in "ab"])
    found = {
        name: evaluate_files(EvalInputs([predictions], tmp_path / name), EvalConfig(k=(1,), rounds=0))
        for name in ("", "test.parquet", "train.parquet")
    }
    assert found[""] == found["test.parquet"]
    assert found[""]["filter"] == {"pairs": 1, "true": 1}
    assert found[""]["model"]["P@1"] == 0.5
    assert found["train.parquet"]["filter"] is None  # the pairs are of the test's rows


def test_pieces_of_any_size_give_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = world.run()
    monkeypatch.setattr(evaluation, "ROWS", 7)
    monkeypatch.setattr(api, "ROWS", 3)
    pieces = world.run()
    assert pieces["model"] == pytest.approx(whole["model"])
    assert pieces["intervals"]["model"]["P@5"] == pytest.approx(whole["intervals"]["model"]["P@5"])


def test_the_order_of_rows_does_not_matter(world: World) -> None:
    expected = world.run()
    order = np.random.default_rng(5).permutation(N_TEST)
    world.predicted = [world.predicted[n] for n in order]
    world.scores = world.scores[order]
    world.write_predictions([world.ids[n] for n in order])
    assert world.run() == expected


def test_predictions_of_other_documents_are_refused(world: World) -> None:
    world.write_predictions([*world.ids[:-1], "stranger"])
    with pytest.raises(XmcpipeError, match=f"1 documents .*'doc{N_TEST - 1}'.*1 documents .*'stranger'"):
        world.run()


def test_another_vocabulary_is_refused(world: World) -> None:
    other = pa.table({"label": NAMES[::-1], "text": pa.nulls(L, pa.string())})
    pq.write_table(other, world.predictions / "labels.parquet")
    with pytest.raises(XmcpipeError, match="another vocabulary"):
        world.run()


def test_an_artifact_without_its_vocabulary_is_refused(world: World) -> None:
    (world.predictions / "labels.parquet").unlink()
    with pytest.raises(XmcpipeError, match=r"expected labels\.parquet in .*predictions"):
        world.run()


@pytest.mark.parametrize(
    "table",
    [
        *({"k": []}, {"k": [0, 1]}, {"k": [3, 1]}, {"k": [1, 1]}, {"a": -1.0}, {"b": 0.0}),
        *({"b": float("nan")}, {"bins": 0}, {"rounds": -1}, {"level": 95.0}),
    ],
)
def test_bad_settings_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(XmcpipeError, match=r"^eval.*: expected .*, got "):
        from_table(EvalConfig, table, "eval")


def test_the_module_loads_nothing_heavy() -> None:
    code = (
        "import sys, xmcpipe.stages.evaluate; print(sorted({'numpy', 'pyarrow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
