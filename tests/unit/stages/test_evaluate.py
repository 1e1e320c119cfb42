"""The stage on artifacts and `evaluate_files` on files of every format: the same figures from all of them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from xmcpipe.config import from_table
from xmcpipe.data.filter_pairs import FilterPairs
from xmcpipe.data.predictions import PredictionsWriter
from xmcpipe.data.shards import ShardWriter, shard_path
from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics import api, evaluation, inverse_propensity
from xmcpipe.stages.evaluate import EVAL, EvalConfig, compare_files, evaluate_files
from xmcpipe.stages.measuring import Given

L, N_TRAIN, N_TEST, K = 30, 80, 50, 5
NAMES = [f"label {number}" for number in range(L)]
QUICK = EvalConfig(rounds=0)


def draw(documents: int, seed: int, smallest: int = 1) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    chances = 1 / np.arange(1, L + 1)
    sizes = generator.integers(smallest, 6, documents)
    return [
        sorted(generator.choice(L, size, replace=False, p=chances / chances.sum()).tolist()) for size in sizes
    ]


class World:
    """Shards and predictions artifacts of a small data set, and its pieces."""

    def __init__(self, root: Path) -> None:
        self.train, self.truth = draw(N_TRAIN, 0), draw(N_TEST, 1, smallest=0)
        self.predicted = [np.random.default_rng(n).permutation(L)[:K].tolist() for n in range(N_TEST)]
        self.scores = np.sort(np.random.default_rng(3).random((N_TEST, K)).astype(np.float32))[:, ::-1]
        self.ids = [f"doc{number}" for number in range(N_TEST)]
        self.shards, self.predictions, self.out = root / "shards", root / "predictions", root / "out"
        for folder in (self.shards, self.predictions, self.out):
            folder.mkdir(parents=True)
        vocabulary = pa.table({"label": NAMES, "text": pa.nulls(L, pa.string())})
        pq.write_table(vocabulary, self.shards / "labels.parquet")
        pq.write_table(vocabulary, self.predictions / "labels.parquet")
        self.write_split("train", [f"t{number}" for number in range(N_TRAIN)], self.train)
        self.write_split("test", self.ids, self.truth)
        self.write_predictions(self.ids)

    def write_split(self, split: str, ids: list[str], rows: list[list[int]]) -> None:
        half = len(ids) // 2
        for number, part in enumerate((slice(0, half), slice(half, None))):
            with ShardWriter(shard_path(self.shards, split, number)) as shard:
                tokens = pa.array([[1]] * len(ids[part]), pa.list_(pa.int32()))
                shard.write(pa.array(ids[part]), tokens, pa.array(rows[part], pa.list_(pa.int32())))

    def write_predictions(self, ids: list[str]) -> None:
        with PredictionsWriter(self.predictions / "predictions.parquet") as table:
            table.write(pa.array(ids), np.array(self.predicted), self.scores)

    def run(self, **config: Any) -> dict[str, Any]:
        inputs = {"predictions": self.predictions, "shards": self.shards}
        EVAL.run(EvalConfig(**config), inputs, self.out, self.out)
        metrics: dict[str, Any] = json.loads((self.out / "metrics.json").read_text())
        return metrics


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_stage_writes_all_figures_and_what_they_rest_on(world: World) -> None:
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
    with pytest.raises(XmcpipeError, match=r"no label text .*'standard'"):
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
    given = Given([world.predictions], world.shards, world.shards)
    assert figures_of(evaluate_files(given, config)) == figures_of(paper)
    both = Given([world.predictions] * 2, world.shards, world.shards)
    compared = compare_files(both, config)
    assert compared["propensity"] == paper["propensity"]
    assert compared["differences"]["PSP@1"]["first"] == pytest.approx(paper["model"]["PSP@1"])
    train = write_rows(world.out / "train.jsonl", [{"labels": [NAMES[0]]}])
    with pytest.raises(XmcpipeError, match=r"counts label texts as documents, and .*train\.jsonl has none"):
        evaluate_files(Given([world.predictions], world.shards, train), config)
    assert evaluate_files(Given([world.predictions], world.shards), config)["propensity"] is None


def test_pairs_that_the_dataset_excludes_are_neither_hits_nor_misses(world: World, tmp_path: Path) -> None:
    """As if they were neither in the truth nor predicted, in any order of the rows and by any numbering."""
    row = next(row for row, true in enumerate(world.truth) if len(true) > 1)
    gone, best = world.truth[row][0], world.predicted[row][0]
    FilterPairs.of(np.array([row, row]), np.array([gone, best]), L).write(world.shards, "test")
    order = np.random.default_rng(0).permutation(N_TEST)
    rows = [{"id": world.ids[n], "labels": [NAMES[label] for label in world.predicted[n]]} for n in order]
    named = write_rows(tmp_path / "p.jsonl", rows)
    config = EvalConfig(k=(1, 3), rounds=0)
    found = [
        world.run(k=(1, 3), rounds=0),
        evaluate_files(Given([world.predictions], world.shards, world.shards), config),
        evaluate_files(Given([named], world.shards, world.shards), config),
    ]
    (world.shards / "filter_test.parquet").unlink()
    excluded = {gone, best}
    in_truth = sum(label in excluded for label in world.truth[row])
    world.truth[row] = [label for label in world.truth[row] if label not in excluded]
    world.predicted[row] = [label for label in world.predicted[row] if label not in excluded]
    in_predictions = K - len(world.predicted[row])
    world.predicted[row] += [-1] * in_predictions
    world.write_split("test", world.ids, world.truth)
    world.write_predictions(world.ids)
    wanted = world.run(k=(1, 3), rounds=0)
    for metrics in found:
        assert metrics["model"] == pytest.approx(wanted["model"])
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
        name: evaluate_files(Given([predictions], tmp_path / name), EvalConfig(k=(1,), rounds=0))
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
    wanted = world.run()
    order = np.random.default_rng(5).permutation(N_TEST)
    world.predicted = [world.predicted[n] for n in order]
    world.scores = world.scores[order]
    world.write_predictions([world.ids[n] for n in order])
    assert world.run() == wanted


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
    with pytest.raises(XmcpipeError, match=r"predictions has no labels\.parquet"):
        world.run()


def figures_of(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in ("model", "popularity", "documents", "propensity")}


def table(ids: list[str], rows: list[list[Any]], scores: Any = None) -> pa.Table:
    columns: dict[str, Any] = {"id": ids, "labels": rows}
    return pa.table(columns if scores is None else {**columns, "scores": list(scores)})


@pytest.mark.parametrize(
    "kind", ["parquet", "jsonl", "jsonl names", "npz", "txt", "artifacts", "artifact and names"]
)
def test_files_of_every_format_give_the_figures_of_the_stage(world: World, tmp_path: Path, kind: str) -> None:
    # every label is in the training labels, so that a file of labels alone knows all L of them
    world.train[0] = list(range(L))
    world.write_split("train", [f"t{number}" for number in range(N_TRAIN)], world.train)
    wanted = world.run()
    paths = dict.fromkeys(("predictions", "truth", "train"), world.shards) | {
        "predictions": world.predictions
    }
    train_ids = [f"t{number}" for number in range(N_TRAIN)]
    sources = {
        "predictions": (world.ids, world.predicted, world.scores),
        "truth": (world.ids, world.truth, None),
        "train": (train_ids, world.train, None),
    }
    for role, (ids, rows, scores) in sources.items():
        if kind == "artifacts" or (kind == "artifact and names" and role == "predictions"):
            continue
        named = "names" in kind
        content = table(ids, [[NAMES[label] for label in row] for row in rows] if named else rows, scores)
        paths[role] = tmp_path / f"{role}.{kind.split()[0] if kind != 'artifact and names' else 'jsonl'}"
        if kind == "parquet":
            pq.write_table(content, paths[role])
        elif kind == "npz":
            indptr = np.cumsum([0, *map(len, rows)])
            data = np.ones(indptr[-1]) if scores is None else scores.ravel()
            matrix = sparse.csr_matrix((data, np.concatenate(rows).astype(int), indptr), shape=(len(rows), L))
            sparse.save_npz(paths[role], matrix)
        elif kind == "txt":
            values = np.ones((len(rows), L)) if scores is None else scores
            pairs = [zip(row, value, strict=False) for row, value in zip(rows, values.tolist(), strict=True)]
            text = [" ".join(f"{label}:{value!r}" for label, value in row) for row in pairs]
            paths[role].write_text("\n".join([f"{len(rows)} {L}", *text, ""]))
        else:
            paths[role].write_text("".join(json.dumps(row) + "\n" for row in content.to_pylist()))
    metrics = evaluate_files(Given([paths["predictions"]], paths["truth"], paths["train"]), QUICK)
    assert metrics["labels"] == L
    for name, value in figures_of(wanted).items():
        assert metrics[name] == pytest.approx(value), name


def test_ids_of_any_size_are_ids(tmp_path: Path) -> None:
    """The training labels are counted before all else: by a table, or where an id is huge by hash."""
    found = []
    for number, far in enumerate((1, 3, 2**40 + 1)):
        rows = {
            "p": [{"id": n, "labels": [n % 4 * far, 5 * far]} for n in range(9)],
            "t": [{"id": n, "labels": [n % 3 * far, 7 * far]} for n in range(9)],
            "r": [{"labels": [label * far for label in range(n % 5 + 1)] * 2} for n in range(20)],
        }
        paths = [write_rows(tmp_path / f"{name}{number}.jsonl", of) for name, of in rows.items()]
        found.append(evaluate_files(Given(paths[:1], *paths[1:]), QUICK))
    assert found[0] == found[1] == found[2]
    assert (found[0]["labels"], found[0]["labels_in_training"]) == (6, 5)
    assert found[0]["propensity"]["n"] == 20
    assert found[0]["repeated_labels_merged"] == 60
    assert found[0]["popularity"]["P@1"] == pytest.approx(1 / 3)  # label 0, of every training document


def test_without_training_labels_there_is_no_psp_and_no_popularity(world: World) -> None:
    metrics = evaluate_files(Given([world.predictions], world.shards), QUICK)
    assert metrics["popularity"] is None
    assert metrics["propensity"] is None
    assert "PSP@1" not in metrics["model"]
    assert metrics["model"]["P@1"] == world.run()["model"]["P@1"]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_unusual_input_is_counted(tmp_path: Path) -> None:
    predictions = write_rows(
        tmp_path / "p.jsonl",
        [
            {"id": 1, "labels": ["new", "a"], "scores": [2.0, 1.0]},
            {"id": 2, "labels": ["b"], "scores": [1.0]},
        ],
    )
    truth = write_rows(tmp_path / "t.jsonl", [{"id": 2, "labels": ["b", "b"]}, {"id": 1, "labels": []}])
    train = write_rows(
        tmp_path / "r.jsonl", [{"id": n, "labels": ["a", "b", "b"] if n == 0 else ["a"]} for n in range(4)]
    )
    metrics = evaluate_files(Given([predictions], truth, train), EvalConfig(k=(1, 2)))
    assert metrics["model"]["P@1"] == 0.5
    assert metrics["labels"] == 2
    assert metrics["documents_without_truth"] == 1
    assert metrics["documents_with_short_predictions"] == 1
    assert metrics["predictions_of_unknown_labels"] == 1
    assert metrics["repeated_labels_merged"] == 2
    assert metrics["popularity"]["P@1"] == 0.0  # `a` is the most frequent


def test_a_tie_across_the_cut_goes_to_the_lower_id_in_any_order_of_the_file(tmp_path: Path) -> None:
    truth = write_rows(tmp_path / "t.jsonl", [{"id": 1, "labels": [2]}])
    train = write_rows(tmp_path / "r.jsonl", [{"labels": [2, 9, 11]}] * 3)
    for labels in ([9, 2, 11], [11, 9, 2]):
        rows = [{"id": 1, "labels": labels, "scores": [1.0, 1.0, 1.0]}]
        predictions = write_rows(tmp_path / "p.jsonl", rows)
        given = Given([predictions], truth, train)
        assert evaluate_files(given, EvalConfig(k=(1,), rounds=0))["model"]["P@1"] == 1.0


def test_truth_without_any_label_and_repeated_predictions_are_refused(tmp_path: Path) -> None:
    one = write_rows(tmp_path / "one.jsonl", [{"id": 1, "labels": [3, 3]}])
    none = write_rows(tmp_path / "none.jsonl", [{"id": 1, "labels": []}])
    with pytest.raises(XmcpipeError, match=r"none\.jsonl: none of 1 documents has a true label"):
        evaluate_files(Given([one], none), QUICK)
    with pytest.raises(XmcpipeError, match=r"one\.jsonl.*more than once"):
        evaluate_files(Given([one], one), QUICK)


def test_filter_pairs_go_before_the_cut_and_what_they_cost_is_said(tmp_path: Path) -> None:
    documents = [
        {"id": "a", "labels": [0, 1, 2, 3], "scores": [4.0, 3.0, 2.0, 1.0]},
        {"id": "b", "labels": [5, 1], "scores": [2.0, 1.0]},
    ]
    predictions = write_rows(tmp_path / "p.jsonl", documents)
    truth = write_rows(tmp_path / "t.jsonl", [{"id": "b", "labels": [5, 1]}, {"id": "a", "labels": [2]}])
    lines = tmp_path / "filter.txt"
    lines.write_text("1 0\n1 1\n0 5\n")  # rows of the truth, which are in another order
    lists = write_rows(tmp_path / "f.jsonl", [{"id": "a", "labels": [0, 1]}, {"id": "b", "labels": [5]}])
    config = EvalConfig(k=(1, 2), rounds=0)
    for pairs in (lines, lists):
        metrics = evaluate_files(Given([predictions], truth, filter=pairs), config)
        assert metrics["model"]["P@1"] == 1.0  # 2 moved up to the first rank, and 1 after 5 went
        assert metrics["model"]["R@1"] == 1.0  # 5 is no miss of b either
        assert metrics["model"]["P@2"] == 0.5
        assert metrics["filter"] == {"pairs": 3, "true": 1}
        assert metrics["predictions_filtered"] == 3
        assert metrics["documents_short_by_filter"] == 1
    train = write_rows(tmp_path / "r.jsonl", [{"labels": [0, 1, 2, 5][:n]} for n in (4, 3, 2, 1)])
    popular = evaluate_files(Given([predictions], truth, train, lines), config)["popularity"]
    assert popular["P@1"] == 0.5  # 2 for document a, whose pairs are 0 and 1, and 0 for document b
    plain = evaluate_files(Given([predictions], truth), config)
    assert plain["model"]["P@1"] == 0.5
    assert plain["filter"] is None


def test_what_the_filter_costs_is_of_documents_that_had_enough_and_of_distinct_pairs(tmp_path: Path) -> None:
    rows = [{"labels": [0, 1]}, {"labels": [0]}, {"labels": [1, 0]}]
    predictions, truth = (write_rows(tmp_path / f"{name}.jsonl", rows) for name in "pt")
    pairs = tmp_path / "filter.txt"
    pairs.write_text("0 0\n0 0\n1 0\n")
    metrics = evaluate_files(Given([predictions], truth, filter=pairs), EvalConfig(k=(2,), rounds=0))
    assert metrics["filter"] == {"pairs": 2, "true": 2}
    assert metrics["documents_short_by_filter"] == 1  # the second was short before
    assert metrics["documents_with_short_predictions"] == 2
    with pytest.raises(XmcpipeError, match="the pairs to leave out are all the true labels"):
        evaluate_files(Given([predictions], truth, filter=truth), QUICK)


def test_predictions_of_unknown_labels_alone_are_refused(tmp_path: Path) -> None:
    predictions = write_rows(tmp_path / "p.jsonl", [{"labels": ["0"]}, {"labels": ["1"]}])
    truth = write_rows(tmp_path / "t.jsonl", [{"labels": ["zero"]}, {"labels": ["one"]}])
    with pytest.raises(XmcpipeError, match=r"p\.jsonl: none of the predicted labels is in truth"):
        evaluate_files(Given([predictions], truth), QUICK)


@pytest.mark.parametrize("filtered", [False, True])
def test_the_row_of_a_repeated_label_is_that_of_the_predictions(tmp_path: Path, filtered: bool) -> None:
    rows = [{"id": "b", "labels": [1, 2]}, {"id": "c", "labels": [1, 2, 9]}, {"id": "a", "labels": [3, 3]}]
    predictions = write_rows(tmp_path / "p.jsonl", rows)
    truth = write_rows(tmp_path / "t.jsonl", [{"id": name, "labels": [3, 1]} for name in "abc"])
    pairs = write_rows(tmp_path / "f.jsonl", [{"id": "c", "labels": [1]}])
    given = Given([predictions], truth, filter=pairs if filtered else None)
    with pytest.raises(XmcpipeError, match=r"p\.jsonl: row 2 predicts a label more than once"):
        evaluate_files(given, EvalConfig(k=(2,), rounds=0))
    rows[2]["labels"] = [3, 2]
    write_rows(predictions, rows)
    metrics = evaluate_files(given, EvalConfig(k=(1, 2), rounds=0))
    assert metrics["model"]["P@1"] == pytest.approx(2 / 3 if filtered else 1)
    assert metrics.get("predictions_filtered", 0) == int(filtered)


def test_two_systems_are_compared_on_the_same_documents_whatever_their_order(tmp_path: Path) -> None:
    truth = write_rows(tmp_path / "t.jsonl", [{"id": n, "labels": [n % 4]} for n in range(80)])
    good = write_rows(tmp_path / "g.jsonl", [{"id": n, "labels": [n % 4]} for n in reversed(range(80))])
    bad = write_rows(tmp_path / "b.jsonl", [{"id": n, "labels": [n % 4 if n % 2 else 9]} for n in range(80)])
    found = compare_files(Given([good, bad], truth), EvalConfig(k=(1,), rounds=200))
    p = found["differences"]["P@1"]
    assert (p["first"], p["second"], p["difference"], p["significant"]) == (1.0, 0.5, 0.5, True)
    assert 0.3 < p["low"] < 0.5 < p["high"] < 0.7
    assert [system["predictions"] for system in found["systems"]] == [str(good), str(bad)]
    assert [system["predictions_of_unknown_labels"] for system in found["systems"]] == [0, 40]
    assert found["systems"][1]["figures"]["macro_F1_all@1"] > 0
    with pytest.raises(XmcpipeError, match="rounds = 0"):
        compare_files(Given([good, bad], truth), QUICK)


@pytest.mark.parametrize(
    "table",
    [
        *({"k": []}, {"k": [0, 1]}, {"k": [3, 1]}, {"k": [1, 1]}, {"a": -1.0}, {"b": 0.0}),
        *({"b": float("nan")}, {"bins": 0}, {"rounds": -1}, {"level": 95.0}),
    ],
)
def test_bad_settings_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(XmcpipeError, match=r"eval.* was given"):
        from_table(EvalConfig, table, "eval")


def test_the_module_loads_nothing_heavy() -> None:
    code = (
        "import sys, xmcpipe.stages.evaluate; print(sorted({'numpy', 'pyarrow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
