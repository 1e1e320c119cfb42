"""Rows that are joined by their number, and rows and columns that are exchanged: said, or refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from typer.testing import CliRunner

from tests.unit.evaluation_world import QUICK, refusal, warnings, write_rows
from xmcpipe.cli.app import app
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.metrics import evaluate
from xmcpipe.metrics.misread.doubts import MisreadWarning
from xmcpipe.stages.evaluate import EvalConfig, compare_files, evaluate_files

DOCUMENTS, LABELS = 80, 50
FEW_ROUNDS = EvalConfig(rounds=5)


def rows(ids: list[Any] | None, labels: list[list[Any]]) -> list[dict[str, Any]]:
    return [{"labels": row} | ({} if ids is None else {"id": ids[at]}) for at, row in enumerate(labels)]


@pytest.mark.parametrize("with_ids", ["predictions", "truth"])
def test_ids_in_one_file_only_are_told(tmp_path: Path, with_ids: str) -> None:
    files = {
        role: write_rows(tmp_path / f"{role}.jsonl", rows(["x", "y"] if role == with_ids else None, labels))
        for role, labels in (("predictions", [["a"], ["b"]]), ("truth", [["a"], ["c"]]))
    }
    (warning,) = warnings(files["predictions"], files["truth"])
    other = "truth" if with_ids == "predictions" else "predictions"
    assert f"{files[with_ids]} has ids, such as 'x', and {files[other]} has none: its 2 documents" in warning
    assert "taken to be in the same order" in warning


@pytest.mark.parametrize("first", [0, 1])
def test_ids_that_count_the_rows_need_no_word(tmp_path: Path, first: int) -> None:
    predictions = write_rows(tmp_path / "p.jsonl", rows([first, first + 1], [["a"], ["b"]]))
    truth = write_rows(tmp_path / "t.jsonl", rows(None, [["a"], ["c"]]))
    assert warnings(predictions, truth) == []
    other = write_rows(tmp_path / "o.jsonl", rows([first + 1, first], [["a"], ["b"]]))
    assert "has ids, such as" in warnings(other, truth)[0]


def test_other_counts_with_ids_in_one_file_name_the_file_without(tmp_path: Path) -> None:
    predictions = write_rows(tmp_path / "p.jsonl", rows(["x", "y"], [["a"], ["b"]]))
    truth = write_rows(tmp_path / "t.jsonl", rows(None, [["a"], ["b"], ["c"]]))
    assert f"without ids in {truth} they are joined by row number" in refusal(predictions, truth)


def test_ids_as_floats_are_joined_with_whole_numbers(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,labels\n11.0,b\n10.0,a\n")
    truth = write_rows(tmp_path / "t.jsonl", rows([10, 11], [["a"], ["b"]]))
    metrics = evaluate_files(EvalInputs([tmp_path / "p.csv"], truth), QUICK)
    assert (metrics["model"]["P@1"], metrics["joined_by"], metrics["warnings"]) == (1.0, "id", [])


def test_names_that_hold_several_labels_of_the_other_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("labels\nd f\na\nc e\n")
    predictions = write_rows(tmp_path / "p.jsonl", rows(None, [["d", "f"], ["a"], ["c", "b"]]))
    (warning,) = warnings(predictions, tmp_path / "t.csv")
    assert "1 labels hold ' ' between labels of" in warning
    assert "such as 'd f': are these several labels?" in warning
    joined = write_rows(tmp_path / "j.jsonl", rows(None, [["a|d"], ["f"], ["c"]]))
    truth = write_rows(tmp_path / "t.jsonl", rows(None, [["a", "d"], ["f"], ["c"]]))
    assert "hold '|' between labels of" in warnings(joined, truth)[0]
    whole = write_rows(tmp_path / "w.jsonl", rows(None, [["new york"], ["york"], ["c"]]))
    assert warnings(whole, whole) == []


def draw(documents: int, seed: int) -> Any:
    """0/1 truth [N, L]: one to four labels each, of which a few are frequent."""
    generator = np.random.default_rng(seed)
    chances = 1 / np.arange(1, LABELS + 1)
    truth = np.zeros((documents, LABELS), int)
    for row in truth:
        row[generator.choice(LABELS, generator.integers(1, 5), False, chances / chances.sum())] = 1
    return truth


TRUTH: Any = draw(DOCUMENTS, 0)
SCORES: Any = TRUTH * 0.5 + np.random.default_rng(1).random(TRUTH.shape)


def saved(folder: Path, transpose: bool) -> tuple[Path, Path]:
    paths = folder / "p.npy", folder / "t.npy"
    for path, array in zip(paths, (SCORES, TRUTH), strict=True):
        np.save(path, array.T.copy() if transpose else array)
    return paths


def test_both_transposed_is_warned_about(tmp_path: Path) -> None:
    assert warnings(*saved(tmp_path, False)) == []
    (warning,) = warnings(*saved(tmp_path, True))
    assert "t.npy was read as 50 documents x 80 labels: each of these labels has a document, and" in warning
    occurring = TRUTH.any(axis=0)
    np.save(tmp_path / "p.npy", SCORES.T[occurring])
    np.save(tmp_path / "t.npy", TRUTH.T[occurring])
    (warning,) = warnings(tmp_path / "p.npy", tmp_path / "t.npy")
    assert "t.npy was read as 45 documents x 80 labels: documents have 1 to 34 labels, and" in warning
    with pytest.warns(MisreadWarning, match="truth was read as 50 documents x 80 labels"):
        evaluate(SCORES.T.copy(), TRUTH.T.copy())


def test_documents_without_labels_where_every_label_occurs(tmp_path: Path) -> None:
    """Of labels, some have no document in a test set; of documents, few have no label."""
    truth = np.repeat(np.eye(30, dtype=int), 4, axis=0)[:, :25]  # 120 x 25: the last labels have no document
    np.save(tmp_path / "t.npy", np.vstack([truth[:100].T, np.zeros((5, 100), int)]))
    np.save(tmp_path / "p.npy", np.random.default_rng(0).random((30, 100)))
    found = warnings(tmp_path / "p.npy", tmp_path / "t.npy")
    assert "each of these labels has a document, and 5 documents have no label" in found[0]


def test_the_shape_that_was_read_is_printed(tmp_path: Path) -> None:
    paths = saved(tmp_path, True)
    arguments = ["eval", "--predictions", str(paths[0]), "--truth", str(paths[1])]
    result = CliRunner().invoke(app, [*arguments, "--rounds", "0"])
    assert "50 documents, 80 labels" in " ".join(result.stdout.split())
    facts = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert (facts["documents"], facts["labels"]) == (50, 80)


@pytest.mark.parametrize("kind", ["npz", "jsonl"])
def test_training_labels_show_a_transposed_truth(tmp_path: Path, kind: str) -> None:
    train = tmp_path / f"r.{kind}"
    given = draw(300, 2)
    if kind == "npz":
        sparse.save_npz(train, sparse.csr_matrix(given))
        message = refusal(*saved(tmp_path, True), train)
        assert "r.npz: expected 80 labels as in" in message
        assert "is one of them transposed?" in message
    else:
        write_rows(train, rows(None, [np.flatnonzero(row).tolist() for row in given]))
        found = warnings(*saved(tmp_path, True), train)
        assert any("Is it transposed?" in warning for warning in found)
    assert warnings(*saved(tmp_path, False), train) == []


def test_training_labels_of_another_table_are_told(tmp_path: Path) -> None:
    given: Any = draw(300, 2)
    sparse.save_npz(tmp_path / "r.npz", sparse.csr_matrix(given))
    sparse.save_npz(
        tmp_path / "o.npz", sparse.csr_matrix(given[:, np.random.default_rng(3).permutation(LABELS)])
    )
    paths = saved(tmp_path, False)
    assert warnings(*paths, tmp_path / "r.npz") == []
    (warning,) = warnings(*paths, tmp_path / "o.npz")
    assert "o.npz are not those that are frequent in" in warning
    with pytest.warns(MisreadWarning, match="frequent in the training labels are not those"):
        evaluate(SCORES, TRUTH, given[:, ::-1])
    both = compare_files(EvalInputs([paths[0], paths[0]], paths[1], tmp_path / "o.npz"), FEW_ROUNDS)
    assert [each for each in both["warnings"] if "o.npz" in each] == [warning]


def test_predictions_below_the_width_of_a_transposed_file(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", TRUTH[:40].T.copy())
    predictions = write_rows(tmp_path / "p.jsonl", rows(None, [[at, 49] for at in range(40)]))
    message = refusal(predictions, tmp_path / "t.npy")
    assert "expected label ids below 40" in message
    assert "t.npy transposed?" in message


@pytest.mark.parametrize("documents", [12, 60])
def test_probabilities_that_add_up_in_columns_are_transposed(tmp_path: Path, documents: int) -> None:
    scores = np.random.default_rng(0).random((documents, 9)) ** 4
    scores /= scores.sum(axis=1, keepdims=True)
    truth = write_rows(tmp_path / "t.jsonl", rows(None, [[at % 9] for at in range(documents)]))
    np.save(tmp_path / "right.npy", scores.astype(np.float16))
    assert evaluate_files(EvalInputs([tmp_path / "right.npy"], truth), QUICK)["documents"] == documents
    np.save(tmp_path / "p.npy", scores.T.astype(np.float16))
    message = refusal(tmp_path / "p.npy", truth)
    assert f"got 9 rows and {documents} columns that add up to 1 each: the array is transposed" in message
