"""JSON and Parquet: under which keys ids and scores are found, and rows that lack what others have."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.data.label_lists.label_files import as_lists, refused, write_jsonl, write_parquet
from xmcpipe.data.label_lists import json_lines, json_text
from xmcpipe.data.label_lists.files import read_label_lists


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    return (write_jsonl if path.suffix == ".jsonl" else write_parquet)(path, rows)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("ids", ["id", "ID", "doc_id", "documentId", "imageid"])
@pytest.mark.parametrize("scores", ["scores", "Scores", "probabilities", "probs", "confidence"])
def test_ids_and_scores_under_other_names(tmp_path: Path, suffix: str, ids: str, scores: str) -> None:
    rows: list[dict[str, Any]] = [
        {"labels": ["a", "b"], scores: [0.5, 0.9], ids: "x"},
        {"labels": ["c"], scores: [0.25], ids: "y"},
    ]
    lists = read_label_lists(write(tmp_path / f"p{suffix}", rows), "predictions", top=1)
    assert as_lists(lists) == [["b"], ["c"]]  # without scores, a would be the best
    assert lists.ids is not None
    assert lists.ids.to_pylist() == ["x", "y"]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_the_truth_is_not_read_as_predictions(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"p{suffix}", [{"labels": [1], "predictions": [2]}])
    refused(path, "got a column 'predictions' too: is 'labels' the truth?")
    assert as_lists(read_label_lists(path, "truth")) == [[1]]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("ids", [[10.0, 11.0], ["10.0", "11.0"], [10, 11], ["10", "11"]])
def test_whole_numbers_as_ids(tmp_path: Path, suffix: str, ids: list[Any]) -> None:
    path = write(tmp_path / f"p{suffix}", [{"id": each, "labels": [1]} for each in ids])
    lists = read_label_lists(path, "truth")
    assert lists.ids is not None
    assert lists.ids.to_pylist() == ["10", "11"]
    refused(
        write(tmp_path / f"q{suffix}", [{"id": 1.5, "labels": [1]}]), "strings or integers in column 'id'"
    )


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_zero_says_that_a_label_is_none(tmp_path: Path, suffix: str) -> None:
    rows = [{"labels": [3, 5], "scores": [1, 0]}, {"labels": [4], "scores": [1]}]
    lists = read_label_lists(write(tmp_path / f"t{suffix}", rows), "truth")
    assert (as_lists(lists), lists.grades) == ([[3], [4]], None)


def test_scores_that_first_rows_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, the first row alone decided which keys are read."""
    rows: list[dict[str, Any]] = [{"labels": []}, {"labels": [1, 2], "scores": [0.5, 0.9]}]
    lists = read_label_lists(write_jsonl(tmp_path / "p.jsonl", rows), "predictions")
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.5, 0.9]
    refused(write_jsonl(tmp_path / "q.jsonl", [{"labels": [1]}, *rows]), "row 0 has more or fewer scores")
    refused(
        write_jsonl(tmp_path / "r.jsonl", [{"labels": [1]}, {"labels": [2], "id": 7}]), "1 rows have no id"
    )
    monkeypatch.setattr(json_lines, "SCANNED", 1)
    late = [{"labels": [1]}] * 5 + [{"labels": [1, 2], "scores": [0.5, 0.9]}]
    refused(write_jsonl(tmp_path / "s.jsonl", late), "row 0 has more or fewer scores")
    monkeypatch.setattr(json_text, "BLOCK_BYTES", 40)
    refused(write_jsonl(tmp_path / "s.jsonl", late), "expected the keys of the rows before, got 'scores' too")


def test_pairs_as_labels(tmp_path: Path) -> None:
    rows = [{"id": 1, "labels": [["a", 0.25], ["b", 0.5]]}, {"id": 2, "labels": []}]
    lists = read_label_lists(write_jsonl(tmp_path / "p.jsonl", rows), "predictions")
    assert as_lists(lists) == [["a", "b"], []]
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.25, 0.5]
    assert lists.ids is not None
    for nested in ([[3, 5], [0, 1]], [["a"], ["b", "c"]]):
        refused(write_jsonl(tmp_path / "q.jsonl", [{"labels": nested}]), "got a list of lists")


def test_names_of_classes_that_hugging_face_stores(tmp_path: Path) -> None:
    feature = {"feature": {"names": ["u", "v", "w"], "_type": "ClassLabel"}, "_type": "Sequence"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"labels": feature}}})}
    pq.write_table(
        pa.table({"labels": [[2, 0], [1]]}).replace_schema_metadata(metadata), tmp_path / "t.parquet"
    )
    lists = read_label_lists(tmp_path / "t.parquet", "truth")
    assert (as_lists(lists), lists.width) == ([["w", "u"], ["v"]], 3)


def test_scores_under_names_like_score(tmp_path: Path) -> None:
    for name in ("logits", "label_scores", "predicted_probabilities", "pred_prob"):
        path = write_jsonl(tmp_path / "p.jsonl", [{"labels": ["a", "b"], name: [0.5, 0.9], "max_prob": 0.9}])
        assert as_lists(read_label_lists(path, "predictions", top=1)) == [["b"]]
    rows = [{"labels": [1], "logits": [0.5], "label_scores": [0.5]}]
    refused(write_jsonl(tmp_path / "p.jsonl", rows), "one column of scores, got 'logits' and 'label_scores'")


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_number_beside_a_truth_is_no_list_of_scores(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"t{suffix}", [{"labels": [1, 2], "score": 4.5, "weight": 0}])
    assert as_lists(read_label_lists(path, "truth")) == [[1, 2]]


@pytest.mark.parametrize("name", ["p.npz", "p.txt", "p.jsonl", "p.parquet", "p.npy"])
def test_a_pointer_of_git_lfs_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    refused(tmp_path / name, "got a pointer of Git LFS", "git lfs pull")


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_scores_that_are_text(tmp_path: Path, suffix: str) -> None:
    rows: list[Any] = [{"labels": [], "scores": []}, {"labels": ["a", "b"], "scores": ["0.5", " 9e-1"]}]
    lists = read_label_lists(write(tmp_path / f"p{suffix}", rows), "predictions")
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.5, 0.9]
    rows[1]["scores"][0] = "0,5"
    refused(write(tmp_path / f"p{suffix}", rows), "expected numbers as scores, got '0,5'", "write 0.9")


def test_scores_that_are_text_in_pairs_and_objects(tmp_path: Path) -> None:
    for labels in (
        [["a", "0.5"], ["b", "0.75"]],
        [{"label": "a", "score": "0.5"}, {"label": "b", "score": "0.75"}],
    ):
        lists = read_label_lists(write_jsonl(tmp_path / "p.jsonl", [{"labels": labels}]), "predictions")
        assert lists.scores is not None
        assert (as_lists(lists), lists.scores.tolist()) == ([["a", "b"]], [0.5, 0.75])
    lists = read_label_lists(write_jsonl(tmp_path / "p.jsonl", [{"data": [["a", "0.5"]]}]), "predictions")
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.5]


def test_scores_of_two_types_are_one_clear_line(tmp_path: Path) -> None:
    rows: list[Any] = [{"labels": ["a"], "scores": [0.5]}, {"labels": ["b"], "scores": ["0.5"]}]
    path = write_jsonl(tmp_path / "p.jsonl", rows)
    refused(
        path, "values of 'scores' are of two types: number before, and string in row 1", "scores as numbers"
    )
