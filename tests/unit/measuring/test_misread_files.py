"""Files that are not what they are taken for: refused, warned about, or read right, and never in silence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.bench.fuzz import layouts
from tests.bench.fuzz.evaluation import HONEST, KINDS, run
from tests.unit.evaluation_world import many, refusal, warnings, write_rows
from xmcpipe.cli.app import app
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.stages.evaluate import EvalConfig, evaluate_files

READ = {"none", "lists as text in CSV", "training, right"} | layouts.READ  # no mistake: no false alarm


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_kind_of_mistake_is_read_in_silence(kind: str, seed: int) -> None:
    found = run(kind, seed)
    assert found in ({"read"} if kind in READ else {"refused", "warned"})


@pytest.mark.parametrize("seed", [85, 127])  # 4 labels and 1 label, frequent ones, kept their number
def test_ids_of_another_table_with_a_few_frequent_labels(seed: int) -> None:
    assert run("ids of another table", seed) == "warned"


@pytest.mark.parametrize("kind", HONEST)
def test_right_files_of_weak_models_are_read_with_their_figures(kind: str) -> None:
    assert run(kind, 3) in {"read", "warned"}


def test_omikuji_against_xc_text(tmp_path: Path) -> None:
    predictions, truth = tmp_path / "pred.txt", tmp_path / "truth.txt"
    predictions.write_text("3 0.912\t5 0.500\t0 0.100\n1 0.800\t2 0.200\n")
    truth.write_text("3:1 0:1\n2:1\n")
    metrics = evaluate_files(EvalInputs([predictions], truth), EvalConfig(k=(1, 3), rounds=0))
    assert metrics["model"]["P@1"] == 0.5
    assert metrics["model"]["R@3"] == 1.0
    assert metrics["warnings"] == []
    assert "look swapped: the truth has values from 0.1 to 0.912" in refusal(truth, predictions)


def test_truth_of_vectors_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    predictions = write_rows(tmp_path / "pred.jsonl", [{"labels": [1, 0, 2]}] * 5)
    vectors = [[0, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1], [1, 0, 0, 0, 0]]
    pq.write_table(pa.table({"text": ["…"] * 5, "labels": vectors}), tmp_path / "train.parquet")
    arguments = ["--predictions", str(predictions), "--truth", str(tmp_path / "train.parquet"), "--k", "1"]
    result = CliRunner().invoke(app, ["eval", *arguments])
    assert result.exit_code == 2
    assert "train.parquet: expected the labels of each document, got 0/1 vectors of length 5" in result.stderr
    assert result.stderr.count("\n") == 1


def test_warnings_are_lines_on_standard_error_and_in_json(tmp_path: Path) -> None:
    predictions = write_rows(tmp_path / "p.jsonl", [{"labels": ["a", "b"], "scores": [0.9, 0.1]}])
    truth = write_rows(tmp_path / "t.jsonl", [{"labels": ["a"], "scores": [3.0]}])
    arguments = ["eval", "--predictions", str(predictions), "--truth", str(truth)]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    (warning,) = json.loads(result.stdout)["warnings"]
    assert "values from 3 to 3: each that is not 0 counts as a label" in warning
    assert result.stderr == f"warning: {warning}\n"
    assert CliRunner().invoke(app, arguments).stderr == f"warning: {warning}\n"


def test_the_training_file_is_blamed_for_too_few_documents(tmp_path: Path) -> None:
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: [row % 5]))
    train = write_rows(tmp_path / "r.jsonl", [{"labels": [0]}, {"labels": [1]}])
    message = refusal(truth, truth, train)
    assert "r.jsonl: expected 3 or more training documents for PSP, got 2" in message
    assert "t.jsonl" not in message


def test_negative_values_of_a_truth_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("0:1 1:-1\n1:1\n")
    (tmp_path / "p.txt").write_text("0:0.5 1:0.25\n1:0.5\n")
    assert "write 0, or nothing, for what is no label" in refusal(tmp_path / "p.txt", tmp_path / "t.txt")


def test_scores_that_are_all_equal_are_told(tmp_path: Path) -> None:
    rows: list[Any] = [{"labels": [row % 7, 7 + row % 5], "scores": [1.0, 1.0]} for row in range(30)]
    predictions = write_rows(tmp_path / "p.jsonl", rows)
    truth = write_rows(tmp_path / "t.jsonl", [{"labels": row["labels"][:1]} for row in rows])
    (warning,) = warnings(predictions, truth)
    assert "every score of" in warning
    assert "ranked by id alone" in warning


def test_scores_that_rise_in_each_document_are_told(tmp_path: Path) -> None:
    rows: list[Any] = [{"labels": [row % 7, 7 + row % 5], "scores": [0.25, 0.5]} for row in range(30)]
    predictions = write_rows(tmp_path / "p.jsonl", rows)
    truth = write_rows(tmp_path / "t.jsonl", [{"labels": row["labels"][:1]} for row in rows])
    assert any(
        "rise in each document, so that its last label" in each for each in warnings(predictions, truth)
    )
    rows[0] = {"labels": [0, 7], "scores": [0.5, 0.5]}  # a tie in one document
    write_rows(predictions, rows)
    assert any("rise in each document" in each for each in warnings(predictions, truth))
    rows[1] = rows[8] = {"labels": [1, 8], "scores": [0.5, 0.25]}
    write_rows(predictions, rows)
    assert not any("rise in each document" in each for each in warnings(predictions, truth))


def test_labels_of_another_vocabulary_are_told_with_examples(tmp_path: Path) -> None:
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: [f"a{row % 20}"]))
    train = write_rows(tmp_path / "r.jsonl", many(lambda row: [f"a{row % 20}"]))
    half = write_rows(tmp_path / "p.jsonl", many(lambda row: [f"y{row}", f"a{row % 20}", f"x{row}"]))
    (warning,) = warnings(half, truth, train)
    assert "120 of 180 labels" in warning
    assert "'x0'" in warning
    none = write_rows(tmp_path / "n.jsonl", many(lambda row: [f"<a{row % 20}>"]))
    assert "none of the predicted labels is in truth or training: such as '<a0>'" in refusal(none, truth)
    assert refusal(none, truth).endswith("(write labels alike, not '<a0>' and 'a0')")
    zeros = write_rows(tmp_path / "z.jsonl", many(lambda row: [f"a00{row % 20}"]))
    assert refusal(zeros, truth).endswith("(write labels alike, not 'a000' and 'a0')")
    other = write_rows(tmp_path / "o.jsonl", many(lambda row: [f"b{row % 20}"]))
    assert refusal(other, truth).endswith("(use one vocabulary for both)")


def test_numbers_in_text_are_names_beside_names(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("12:0.9 7:0.5\n7:0.9\n")
    truth = write_rows(tmp_path / "t.jsonl", [{"labels": ["12"]}, {"labels": ["c"]}])
    metrics = evaluate_files(EvalInputs([tmp_path / "p.txt"], truth), EvalConfig(k=(1,), rounds=0))
    assert metrics["model"]["P@1"] == 0.5


def test_other_numbers_of_rows_have_a_hint_that_fits(tmp_path: Path) -> None:
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: [row % 5], 12))
    more = write_rows(tmp_path / "p.jsonl", many(lambda row: [row % 5], 13))
    assert "got 13 and 12" in refusal(more, truth)
    assert f"is the first line of {more} a header" in refusal(more, truth)
    np.save(tmp_path / "p.npy", np.random.default_rng(0).random((5, 12)))
    assert "looks transposed" in refusal(tmp_path / "p.npy", truth)


def test_a_popular_list_for_all_documents_is_no_mistake(tmp_path: Path) -> None:
    truth = write_rows(tmp_path / "t.jsonl", many(lambda row: [row % 30]))
    assert warnings(write_rows(tmp_path / "p.jsonl", many(lambda row: list(range(10)))), truth) == []


def test_figures_of_each_label_are_written_as_a_table(tmp_path: Path) -> None:
    predictions = write_rows(tmp_path / "p.jsonl", [{"labels": ["a", "b"]}, {"labels": ["b", "c"]}])
    truth = write_rows(tmp_path / "t.jsonl", [{"labels": ["a"]}, {"labels": ["a", "c"]}])
    path = tmp_path / "labels.parquet"
    arguments = ["eval", "--predictions", str(predictions), "--truth", str(truth), "--k", "1,2"]
    assert CliRunner().invoke(app, [*arguments, "--per-label", str(path)]).exit_code == 0
    rows = {row["label"]: row for row in pq.read_table(path).to_pylist()}
    assert list(rows) == ["a", "c"]  # b is in no truth
    assert (rows["a"]["support"], rows["a"]["predicted@2"], rows["a"]["precision@1"]) == (2, 1, 1.0)
    assert rows["a"]["recall@1"] == 0.5
    assert rows["a"]["F1@1"] == pytest.approx(2 / 3)
    assert (rows["c"]["recall@1"], rows["c"]["recall@2"]) == (0.0, 1.0)
    result = CliRunner().invoke(app, [*arguments, "--per-label", str(tmp_path / "labels.txt")])
    assert result.exit_code == 2
    assert "ends in .csv or .parquet" in result.stderr
