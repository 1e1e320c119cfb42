"""`evaluate_files` and `compare_files`, on files of every format: the figures of the stage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from tests.unit.evaluation_world import N_TRAIN, NAMES, QUICK, L, World, figures_of, table, write_rows
from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.stages.evaluate import EvalConfig, compare_files, evaluate_files


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(
    "kind", ["parquet", "jsonl", "jsonl names", "npz", "txt", "artifacts", "artifact and names"]
)
def test_files_of_every_format_give_the_figures_of_the_stage(world: World, tmp_path: Path, kind: str) -> None:
    # every label is in the training labels, so that a file of labels alone knows all L of them
    world.train[0] = list(range(L))
    world.write_split("train", [f"t{number}" for number in range(N_TRAIN)], world.train)
    expected = world.run()
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
    metrics = evaluate_files(EvalInputs([paths["predictions"]], paths["truth"], paths["train"]), QUICK)
    assert metrics["labels"] == L
    for name, value in figures_of(expected).items():
        assert metrics[name] == pytest.approx(value), name


def test_ids_of_any_size_are_ids(tmp_path: Path) -> None:
    """The training labels are counted before all else: by a table, or where an id is huge by hash."""
    found = []
    for number, far in enumerate((1, 3, 2**40 + 1)):
        rows: dict[str, list[dict[str, Any]]] = {
            "p": [{"id": n, "labels": [n % 4 * far, 5 * far]} for n in range(9)],
            "t": [{"id": n, "labels": [n % 3 * far, 7 * far]} for n in range(9)],
            "r": [{"labels": [label * far for label in range(n % 5 + 1)] * 2} for n in range(20)],
        }
        paths = [write_rows(tmp_path / f"{name}{number}.jsonl", of) for name, of in rows.items()]
        found.append(evaluate_files(EvalInputs(paths[:1], *paths[1:]), QUICK))
    assert found[0] == found[1] == found[2]
    assert (found[0]["labels"], found[0]["labels_in_training"]) == (6, 5)
    assert found[0]["propensity"]["n"] == 20
    assert found[0]["repeated_labels_merged"] == 60
    assert found[0]["popularity"]["P@1"] == pytest.approx(1 / 3)  # label 0, of every training document


def test_without_training_labels_there_is_no_psp_and_no_popularity(world: World) -> None:
    metrics = evaluate_files(EvalInputs([world.predictions], world.shards), QUICK)
    assert metrics["popularity"] is None
    assert metrics["propensity"] is None
    assert "PSP@1" not in metrics["model"]
    assert metrics["model"]["P@1"] == world.run()["model"]["P@1"]


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
    metrics = evaluate_files(EvalInputs([predictions], truth, train), EvalConfig(k=(1, 2)))
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
        given = EvalInputs([predictions], truth, train)
        assert evaluate_files(given, EvalConfig(k=(1,), rounds=0))["model"]["P@1"] == 1.0


def test_truth_without_any_label_and_repeated_predictions_are_refused(tmp_path: Path) -> None:
    one = write_rows(tmp_path / "one.jsonl", [{"id": 1, "labels": [3, 3]}])
    none = write_rows(tmp_path / "none.jsonl", [{"id": 1, "labels": []}])
    with pytest.raises(XmcpipeError, match=r"none\.jsonl: none of 1 documents has a true label"):
        evaluate_files(EvalInputs([one], none), QUICK)
    with pytest.raises(XmcpipeError, match=r"one\.jsonl.*more than once"):
        evaluate_files(EvalInputs([one], one), QUICK)


def test_filter_pairs_are_removed_before_the_cut_and_their_cost_is_reported(tmp_path: Path) -> None:
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
        metrics = evaluate_files(EvalInputs([predictions], truth, filter=pairs), config)
        assert metrics["model"]["P@1"] == 1.0  # 2 moved up to the first rank, and 1 after 5 went
        assert metrics["model"]["R@1"] == 1.0  # 5 is no miss of b either
        assert metrics["model"]["P@2"] == 0.5
        assert metrics["filter"] == {"pairs": 3, "true": 1}
        assert metrics["predictions_filtered"] == 3
        assert metrics["documents_short_by_filter"] == 1
    train = write_rows(tmp_path / "r.jsonl", [{"labels": [0, 1, 2, 5][:n]} for n in (4, 3, 2, 1)])
    popular = evaluate_files(EvalInputs([predictions], truth, train, lines), config)["popularity"]
    assert popular["P@1"] == 0.5  # 2 for document a, whose pairs are 0 and 1, and 0 for document b
    plain = evaluate_files(EvalInputs([predictions], truth), config)
    assert plain["model"]["P@1"] == 0.5
    assert plain["filter"] is None


def test_the_cost_of_the_filter_counts_documents_with_enough_candidates_and_distinct_pairs(
    tmp_path: Path,
) -> None:
    rows = [{"labels": [0, 1]}, {"labels": [0]}, {"labels": [1, 0]}]
    predictions, truth = (write_rows(tmp_path / f"{name}.jsonl", rows) for name in "pt")
    pairs = tmp_path / "filter.txt"
    pairs.write_text("0 0\n0 0\n1 0\n")
    metrics = evaluate_files(EvalInputs([predictions], truth, filter=pairs), EvalConfig(k=(2,), rounds=0))
    assert metrics["filter"] == {"pairs": 2, "true": 2}
    assert metrics["documents_short_by_filter"] == 1  # the second was short before
    assert metrics["documents_with_short_predictions"] == 2
    with pytest.raises(XmcpipeError, match="the pairs to exclude contain every true label"):
        evaluate_files(EvalInputs([predictions], truth, filter=truth), QUICK)


def test_predictions_of_unknown_labels_alone_are_refused(tmp_path: Path) -> None:
    predictions = write_rows(tmp_path / "p.jsonl", [{"labels": ["0"]}, {"labels": ["1"]}])
    truth = write_rows(tmp_path / "t.jsonl", [{"labels": ["zero"]}, {"labels": ["one"]}])
    with pytest.raises(XmcpipeError, match=r"p\.jsonl: none of the predicted labels is in truth"):
        evaluate_files(EvalInputs([predictions], truth), QUICK)


@pytest.mark.parametrize("filtered", [False, True])
def test_the_row_of_a_repeated_label_is_that_of_the_predictions(tmp_path: Path, filtered: bool) -> None:
    rows = [{"id": "b", "labels": [1, 2]}, {"id": "c", "labels": [1, 2, 9]}, {"id": "a", "labels": [3, 3]}]
    predictions = write_rows(tmp_path / "p.jsonl", rows)
    truth = write_rows(tmp_path / "t.jsonl", [{"id": name, "labels": [3, 1]} for name in "abc"])
    pairs = write_rows(tmp_path / "f.jsonl", [{"id": "c", "labels": [1]}])
    given = EvalInputs([predictions], truth, filter=pairs if filtered else None)
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
    found = compare_files(EvalInputs([good, bad], truth), EvalConfig(k=(1,), rounds=200))
    p = found["differences"]["P@1"]
    assert (p["first"], p["second"], p["difference"], p["significant"]) == (1.0, 0.5, 0.5, True)
    assert 0.3 < p["low"] < 0.5 < p["high"] < 0.7
    assert [system["predictions"] for system in found["systems"]] == [str(good), str(bad)]
    assert [system["predictions_of_unknown_labels"] for system in found["systems"]] == [0, 40]
    assert found["systems"][1]["figures"]["macro_F1_all@1"] > 0
    with pytest.raises(XmcpipeError, match="rounds = 0"):
        compare_files(EvalInputs([good, bad], truth), QUICK)
