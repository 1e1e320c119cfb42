"""A file of predictions: one row for each input row, the same bytes after a kill, in bounded memory."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from scipy import sparse

from tests.small_models import LABELS
from xmcpipe.data.label_lists.files import read_label_lists
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference import bulk
from xmcpipe.inference.bulk import Job, Written, in_blocks, predict_file
from xmcpipe.inference.bundle import Bundle
from xmcpipe.inference.document import Document
from xmcpipe.inference.outputs import WRITERS, output_format, require_writable
from xmcpipe.inference.selection import Selection

IDENTITY = {"input": "some file"}
DOCUMENTS = [
    Document("a, b", "word1 word2"),
    Document("b", ""),
    Document("ü\n", "word3"),
    Document("d", "word4 word1 word9"),
    Document("e", "  "),
    Document("f", "word7"),
]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BLOCK_ROWS", 2)


def job(out: Path, identity: Any = IDENTITY) -> Job:
    return Job(out, out.suffix[1:], Selection(3), 2, identity)


@pytest.mark.parametrize("kind", list(WRITERS))
def test_each_format_has_one_row_for_each_text_in_order(bundle: Bundle, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"out.{kind}"
    assert predict_file(iter(DOCUMENTS), bundle, job(out), 6) == Written(6, 2, 0)
    expected = [
        [(each.label, each.score) for each in labels]
        for labels in bundle.predict([document.text for document in DOCUMENTS], Selection(3), 6)
    ]
    ids, found = READERS[kind](out)
    assert ids == [document.id for document in DOCUMENTS] or kind == "npz"
    for labels, others in zip(found, expected, strict=True):
        assert [label for label, _ in labels] == [label for label, _ in others]
        assert [score for _, score in labels] == pytest.approx([score for _, score in others], abs=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    if kind != "csv":  # the others are read by eval
        lists = read_label_lists(out, "predictions")
        assert lists.indptr.tolist() == [0, 3, 3, 6, 9, 9, 12]


def read_parquet(path: Path) -> tuple[list[str], list[list[tuple[str, float]]]]:
    table = pq.read_table(path).to_pydict()
    pairs = zip(table["labels"], table["scores"], strict=True)
    return table["id"], [list(zip(labels, scores, strict=True)) for labels, scores in pairs]


def read_jsonl(path: Path) -> tuple[list[str], list[list[tuple[str, float]]]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row["id"] for row in rows], [
        [(each["label"], each["score"]) for each in row["labels"]] for row in rows
    ]


def read_csv(path: Path) -> tuple[list[str], list[list[tuple[str, float]]]]:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "labels", "scores", "probabilities"]
    pairs = [(json.loads(labels), json.loads(scores)) for _, labels, scores, _ in rows]
    return [row[0] for row in rows], [list(zip(labels, scores, strict=True)) for labels, scores in pairs]


def read_npz(path: Path) -> tuple[list[str], list[list[tuple[str, float]]]]:
    matrix = sparse.load_npz(path)
    assert matrix.shape == (6, LABELS)
    rows = [
        sorted(zip(row.indices.tolist(), row.data.tolist(), strict=True), key=lambda pair: -pair[1])
        for row in matrix
    ]
    return [], [[(f"label {label}", score) for label, score in row] for row in rows]


READERS = {"parquet": read_parquet, "jsonl": read_jsonl, "csv": read_csv, "npz": read_npz}


def test_a_text_without_an_id_gets_its_row_number(bundle: Bundle, tmp_path: Path) -> None:
    predict_file([Document(None, f"word{n}") for n in range(5)], bundle, job(tmp_path / "o.jsonl"), None)
    assert read_jsonl(tmp_path / "o.jsonl")[0] == ["0", "1", "2", "3", "4"]


def test_no_texts_are_an_empty_file(bundle: Bundle, tmp_path: Path) -> None:
    predict_file([], bundle, job(tmp_path / "o.parquet"), 0)
    assert pq.read_table(tmp_path / "o.parquet").num_rows == 0


@pytest.mark.parametrize("kind", list(WRITERS))
@pytest.mark.parametrize("after", [0, 2, 3, 5])
def test_an_interrupted_prediction_continues_with_the_same_bytes(
    bundle: Bundle, tmp_path: Path, kind: str, after: int
) -> None:
    whole, out = tmp_path / f"whole.{kind}", tmp_path / f"out.{kind}"
    predict_file(DOCUMENTS, bundle, job(whole), 6)
    with pytest.raises(KeyboardInterrupt):
        predict_file(interrupted(after), bundle, job(out), 6)
    assert not out.exists()
    assert predict_file(DOCUMENTS, bundle, job(out), 6) == Written(6, 2, after // 2 * 2)
    assert out.read_bytes() == whole.read_bytes()


def interrupted(after: int) -> Iterator[Document]:
    yield from DOCUMENTS[:after]
    raise KeyboardInterrupt


def test_another_input_or_setting_starts_again(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    with pytest.raises(KeyboardInterrupt):
        predict_file(interrupted(4), bundle, job(out), 6)
    others = [Document(str(number), "word5") for number in range(3)]
    assert predict_file(others, bundle, job(out, {"input": "other"}), 3) == Written(3, 0, 0)
    assert read_jsonl(out)[0] == ["0", "1", "2"]


def test_a_damaged_block_is_predicted_again(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    with pytest.raises(KeyboardInterrupt):
        predict_file(interrupted(5), bundle, job(out), 6)
    first = sorted(job(out).partial.glob("block-*"))[0]
    first.write_bytes(first.read_bytes()[:-9])
    assert predict_file(DOCUMENTS, bundle, job(out), 6) == Written(6, 2, 0)
    assert read_jsonl(out)[0] == [document.id for document in DOCUMENTS]


def test_texts_that_cannot_be_read_again_leave_nothing(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        predict_file(interrupted(4), bundle, job(tmp_path / "o.jsonl", None), None)
    assert list(tmp_path.iterdir()) == []


def test_a_block_ends_after_many_characters_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BLOCK_ROWS", 100)
    monkeypatch.setattr(bulk, "BLOCK_CHARACTERS", 10)
    sizes = [len(block) for block in in_blocks(Document(None, "x" * 4) for _ in range(7))]
    assert sizes == [3, 3, 1]


def test_a_place_or_format_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    assert output_format(Path("a.CSV"), None) == "csv"
    assert output_format(Path("a"), "npz") == "npz"
    for call in (
        lambda: output_format(Path("a.xlsx"), None),
        lambda: output_format(Path("a.csv"), "excel"),
        lambda: require_writable(tmp_path),
        lambda: require_writable(tmp_path / "none" / "a.csv"),
    ):
        with pytest.raises(XmcpipeError):
            call()


# Predicts a CSV file of 300 characters a row with a model that takes no memory, and prints the peak in kB.
MEASURED = """
import sys, resource
from pathlib import Path
import numpy as np, pyarrow as pa
from xmcpipe.cli.text_source import Reading, TextFile
from xmcpipe.inference.bulk import Job, predict_file
from xmcpipe.inference.bundle import Top
from xmcpipe.inference.selection import Selection
class Constant:
    labels = pa.table({"label": ["a", "b"], "text": pa.array([None, None], pa.string())})
    def top(self, texts, selection, batch_size):
        scores = np.ones((len(texts), selection.k), np.float32)
        return Top(np.zeros((len(texts), selection.k), np.int32), scores, scores)
source, out = Path(sys.argv[1]), Path(sys.argv[2])
file = TextFile(source, Reading())
job = Job(out, out.suffix[1:], Selection(5), 64, {})
written = predict_file(file.documents(), Constant(), job, file.count())
assert written.documents == int(sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("kind", ["parquet", "npz"])
@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path, kind: str) -> None:
    peaks = {}
    for rows in (60_000, 600_000):
        source = tmp_path / f"{rows}.csv"
        with source.open("w") as file:
            file.write("id,text\n")
            file.writelines(f"{row},{'word ' * 60}\n" for row in range(rows))
        call = [sys.executable, "-c", MEASURED, str(source), str(tmp_path / f"o{rows}.{kind}"), str(rows)]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        peaks[rows] = int(done.stdout)
        source.unlink()
    # The texts of ten times the rows would be 160 MB more.
    assert peaks[600_000] - peaks[60_000] < 50_000, peaks
