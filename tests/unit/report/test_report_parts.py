"""Measurements, the headline table and the sample of documents, from artifacts made for the tests."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report_store import NAMES, SCRIPT, TEST, documents, make_run, make_runs
from xmcpipe.artifacts.store import Artifact
from xmcpipe.data.filter_pairs import FilterPairs
from xmcpipe.metrics import evaluate
from xmcpipe.report.cells import clock, gib_of, millions
from xmcpipe.report.facts.measurement import measure_runs
from xmcpipe.report.facts.runs import named, read_run
from xmcpipe.report.facts.sample import Sample, cut, draw_sample, ndcg
from xmcpipe.report.page.render import packed
from xmcpipe.report.sections.headline import headline, training_memory
from xmcpipe.stages.evaluate import EvalConfig


def test_figures_are_those_of_the_metrics_and_differences_are_paired(finished_shelf: Any) -> None:
    runs = finished_shelf.runs()
    (sparse, dense), tests = measure_runs(runs, rounds=60, seed=3)
    assert sparse.figures["P@1"] == runs[0].metrics["model"]["P@1"]
    assert sparse.intervals["P@1"] == tuple(runs[0].metrics["intervals"]["model"]["P@1"])
    assert sparse.differences == {}
    gain = dense.differences["P@3"]
    assert gain.difference == pytest.approx(dense.figures["P@3"] - sparse.figures["P@3"])
    assert gain.low < gain.difference < gain.high
    assert list(tests) == [runs[0].test_set]
    assert (sparse.notes, dense.notes) == ([], [])


def test_without_rounds_there_are_no_differences(finished_shelf: Any) -> None:
    (_, dense), _ = measure_runs(finished_shelf.runs(), rounds=0, seed=0)
    assert dense.differences == {}


def test_older_metrics_are_measured_again(shelf: Any) -> None:
    for path in shelf.metrics:
        metrics = json.loads((path / "metrics.json").read_text())
        old = {
            key: value
            for key, value in metrics.items()
            if key not in ("version", "intervals", "by_frequency")
        }
        (path / "metrics.json").write_text(json.dumps(old))
    mine = measure_runs(shelf.runs(), rounds=60, seed=3)[0][0]
    low, high = mine.intervals["P@1"]
    assert low <= mine.figures["P@1"] <= high
    assert sum(each["figures"]["P@1"] for each in mine.bins) == pytest.approx(mine.figures["P@1"])


def test_without_shards_the_page_shows_the_stored_metrics(shelf: Any) -> None:
    runs = shelf.runs()
    shelf.lose("shards")
    sparse, dense = measure_runs(shelf.runs(), rounds=60, seed=3)[0]
    assert sparse.intervals["P@1"] == tuple(runs[0].metrics["intervals"]["model"]["P@1"])
    assert sparse.bins
    assert dense.differences == {}
    assert "its shards were deleted from the store" in sparse.notes[0]


def test_a_note_on_an_error_ends_once(shelf: Any) -> None:
    path = shelf.runs()[0].artifacts["predictions"].path / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:100])
    sparse, dense = measure_runs(shelf.runs(), rounds=0, seed=0)[0]
    assert sparse.notes[0].startswith("it could not be measured again")
    assert not sparse.notes[0].endswith(".")
    assert dense.predictions is None


def test_the_headline_has_a_row_for_each_and_marks_the_best(finished_shelf: Any) -> None:
    runs = finished_shelf.runs()
    measured, _ = measure_runs(runs, rounds=60, seed=3)
    table = headline(runs, measured, [])
    assert [row.kind for row in table.rows] == ["run", "run", "difference", "baseline"]
    assert table.heads[-3:] == ["Memory", "Training", "Parameters"]
    assert all(len(row.cells) == len(table.heads) for row in table.rows)
    sparse, dense = table.rows[0].cells[0], table.rows[1].cells[0]
    assert (sparse.strong, dense.strong) == (False, True)
    assert dense.text == f"{100 * runs[1].metrics['model']['P@1']:.2f}"
    assert table.rows[0].cells[-1].text == "0.00 M"


def test_memory_states_how_it_was_counted() -> None:
    new = {"memory": {"measured_bytes": {"total": 7, "host": 9}}, "device": "cuda:0"}
    assert training_memory(new) == (7, "GPU")
    assert training_memory({"peak_bytes": {"host": 9}, "device": "cpu"}) == (9, "resident")
    assert training_memory({}) is None
    assert [clock(seconds) for seconds in (2.54, 59, 61, 3725)] == ["2.5 s", "59 s", "1:01 min", "1:02:05 h"]
    assert [gib_of(count) for count in (1024, 3 << 20, 3 << 30)] == ["1.0 KiB", "3.0 MiB", "3.00 GiB"]
    assert [millions(count) for count in (1_400_000, 360_000_000)] == ["1.40 M", "360 M"]


def sample_of(shelf: Any, count: int, seed: int = 0) -> Any:
    runs = shelf.runs()
    measured, tests = measure_runs(runs, rounds=0, seed=0)
    return draw_sample(runs, measured, tests[runs[0].test_set], count, seed)


def test_the_sample_is_drawn_by_its_seed_and_hardest_first(finished_shelf: Any) -> None:
    sample = sample_of(finished_shelf, 15)
    assert sample.ids == sample_of(finished_shelf, 15).ids
    assert set(sample.ids) != set(sample_of(finished_shelf, 15, seed=1).ids)
    assert (len(set(sample.ids)), sample.num_test_documents) == (15, TEST)
    mean = np.mean(list(sample.ndcg.values()), axis=0)
    assert (np.diff(mean) >= 0).all()


def test_the_sample_shows_documents_unchanged(finished_shelf: Any) -> None:
    sample = sample_of(finished_shelf, 1000)
    ids, texts, labels = documents("test")
    assert sorted(sample.ids) == sorted(ids)
    for at, name in enumerate(sample.ids):
        row = ids.index(name)
        assert sample.texts[at] == cut(texts[row], 300)
        assert sorted(sample.labels[label][0] for label in sample.truth[at]) == sorted(
            NAMES[label] for label in labels[row]
        )
        scores = [score for _, score in sample.predicted["ffi"][at]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 5
    assert SCRIPT in [name for name, _ in sample.labels]
    hits = [
        [label in set(truth) for label, _ in best]
        for best, truth in zip(sample.predicted["dense"], sample.truth, strict=True)
    ]
    assert np.mean([row[0] for row in hits]) == pytest.approx(
        finished_shelf.runs()[1].metrics["model"]["P@1"]
    )


def test_ndcg_of_a_document_is_that_of_the_metrics() -> None:
    gains = [1.0, 1 / np.log2(3), 0.5]
    for ranking, truth in (([3, 1, 2], [1, 2]), ([1, 2, 3], [4]), ([5, 6, 7], [5, 6, 7, 8]), ([1], [1])):
        theirs = evaluate([ranking], [truth], k=(3,), num_labels=10).figures["nDCG@3"]
        assert ndcg([label in truth for label in ranking], len(truth), gains) == pytest.approx(theirs)
    assert ndcg([False], 0, gains) == 0.0


def test_columns_name_a_label_once_and_are_json(finished_shelf: Any) -> None:
    columns = sample_of(finished_shelf, 10).columns()
    text = json.dumps(columns, allow_nan=False)
    assert text.count('"label7"') <= 1
    assert len({name for name, _ in columns["labels"]}) == len(columns["labels"])
    assert [run["name"] for run in columns["runs"]] == ["ffi", "dense"]


def test_texts_are_cut_to_a_line() -> None:
    assert cut("a\n  b\tc", 10) == "a b c"
    assert cut("word " * 100, 12) == "word word w…"


def test_pairs_that_the_dataset_leaves_out_are_neither_true_nor_predicted(shelf: Any) -> None:
    before = sample_of(shelf, 1000)
    row = next(at for at, name in enumerate(before.ids) if before.predicted["ffi"][at])
    number = documents("test")[0].index(before.ids[row])
    name = before.labels[before.predicted["ffi"][row][0][0]][0]
    pairs = FilterPairs.of(np.array([number]), np.array([NAMES.index(name)]), len(NAMES))
    pairs.write(shelf.runs()[0].artifacts["shards"].path, "test")
    after = sample_of(shelf, 1000)
    at = after.ids.index(before.ids[row])
    shown = [label for label, _ in after.predicted["ffi"][at]] + after.truth[at]
    assert name not in [after.labels[label][0] for label in shown]


def test_runs_on_other_documents_are_not_compared(finished_shelf: Any, tmp_path: Path) -> None:
    store, metrics = make_runs(tmp_path / "store", "other")
    runs = named([finished_shelf.runs()[0], read_run(Artifact.at(metrics[1]), store)], ["here", "there"])
    (here, there), tests = measure_runs(runs, rounds=20, seed=0)
    assert len(tests) == 2
    assert (here.notes, there.differences) == ([], {})
    assert "other documents than here" in there.notes[0]
    table = headline(runs, [here, there], [])
    assert not any(cell.strong for row in table.rows for cell in row.cells)  # neither is the better one


def test_a_difference_is_to_the_first_run_or_there_is_none(shelf: Any) -> None:
    first, second = shelf.runs()
    shutil.rmtree(first.artifacts["predictions"].path)
    runs = named([*shelf.runs(), second], ["deleted", "present", "repeated"])
    measured, _ = measure_runs(runs, rounds=20, seed=0)
    assert [each.differences for each in measured] == [{}, {}, {}]
    assert "deleted could not be measured again" in measured[1].notes[0]


def test_runs_at_different_ranks_are_compared_at_common_ranks(shelf: Any) -> None:
    shards = shelf.runs()[0].artifacts["shards"]
    other = make_run(shelf.store, shards, "dense", EvalConfig(k=(1, 2), rounds=20))
    runs = named([shelf.runs()[0], read_run(other, shelf.store)], ["one", "two"])
    _, two = measure_runs(runs, rounds=20, seed=0)[0]
    assert {name.partition("@")[2] for name in two.differences} == {"1"}


def test_ten_thousand_documents_stay_under_five_megabytes() -> None:
    """Texts with word frequencies like those of real text, 300 characters each, and two runs."""
    random = np.random.default_rng(0)
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(random.choice(list(letters), random.integers(2, 11))) for _ in range(30_000)]
    chances = 1 / np.arange(10, len(words) + 10)
    drawn = iter(random.choice(len(words), 1_200_000, p=chances / chances.sum()).tolist())

    def text(count: int, most: int) -> str:
        return cut(" ".join(words[next(drawn)] for _ in range(count)), most)

    documents, labels = 10_000, 20_000
    drawn_labels = random.integers(0, labels, (documents, 5)).tolist()
    drawn_scores = random.normal(size=(documents, 5)).tolist()
    ranked = [list(zip(*pair, strict=True)) for pair in zip(drawn_labels, drawn_scores, strict=True)]
    sample = Sample(
        num_test_documents=documents, k=5, ids=[str(number) for number in range(documents)],
        texts=[text(60, 300) for _ in range(documents)],
        labels=[(text(2, 40), text(8, 60)) for _ in range(labels)],
        truth=random.integers(0, labels, (documents, 5)).tolist(),
        predicted={"one": ranked, "two": ranked[::-1]},
        ndcg={"one": [0.125] * documents, "two": [0.25] * documents},
    )  # fmt: skip
    charts_and_all = 1_100_000  # what the pages of the tests have without documents
    size = len(packed(sample.columns()))
    assert size + charts_and_all < 5_000_000


def test_memory_in_the_headline_is_of_one_kind(finished_shelf: Any) -> None:
    runs = finished_shelf.runs()
    measured, _ = measure_runs(runs, rounds=0, seed=0)

    def shown(runs: Any) -> list[str]:
        return [row.cells[-3].below for row in headline(runs, measured, []).rows if row.kind == "run"]

    assert shown(runs) == ["tensors (CPU)"] * 2
    model = runs[1].artifacts["model"]
    figures = {**model.manifest.figures, "memory": {"measured_bytes": {"host": 7 << 30}}}
    older = dataclasses.replace(model, manifest=dataclasses.replace(model.manifest, figures=figures))
    runs[1] = dataclasses.replace(runs[1], artifacts={**runs[1].artifacts, "model": older})
    assert shown(runs) == ["resident"] * 2
