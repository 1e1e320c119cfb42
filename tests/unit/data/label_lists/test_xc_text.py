"""The text files of the extreme classification repository, in all their forms."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from xmcpipe.data.label_lists.files import Role, read_label_lists
from xmcpipe.data.label_lists.lists import LabelLists
from xmcpipe.data.label_lists.text import blocks, xc_text
from xmcpipe.data.tables import lines
from xmcpipe.errors import XmcpipeError


def read(folder: Path, text: str, role: Role = "predictions") -> LabelLists:
    path = folder / "given.txt"
    path.write_text(text, encoding="utf-8")
    return read_label_lists(path, role)


def as_lists(lists: LabelLists) -> list[list[int]]:
    return [part.tolist() for part in np.split(lists.labels, lists.indptr[1:-1])]


EXPECTED = [[3, 1], [], [0]]
SCORES = [0.5, 0.25, -1e-3]


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("3:0.5 1:0.25\n\n0:-1e-3\n", None),
        ("3:0.5 1:0.25\n\n0:-1e-3", None),
        ("3 9\n3:0.5  1:.25 \n\n 0:-0.001\r\n", 9),
        ("3 1000 9\n3:0.5 1:0.25\n\n0:-1e-3\n", 9),
        ("2 0:-1e-3\n0 3:0.5\n0 1:0.25\n", None),
        ("0 3:0.5 1:0.25\n\n2 0:-1e-3\n", None),
        ("3 9\n0\t3:0.5\n2 0:-1e-3\n0 1:0.25\n", 9),
    ],
)
def test_every_form_of_predictions(tmp_path: Path, text: str, width: int | None) -> None:
    lists = read(tmp_path, text)
    assert as_lists(lists) == EXPECTED
    assert lists.scores is not None
    assert lists.scores.tolist() == SCORES
    assert (lists.width, lists.ids) == (width, None)


def test_a_header_counts_documents_that_have_no_line(tmp_path: Path) -> None:
    assert as_lists(read(tmp_path, "5 9\n1 3:0.5\n")) == [[], [3], [], [], []]


def test_truth_has_no_scores_and_its_zeros_are_no_labels(tmp_path: Path) -> None:
    lists = read(tmp_path, "3 9\n3:1 1:0 2:1.0\n\n0:1\n", "truth")
    assert as_lists(lists) == [[3, 2], [], [0]]
    assert lists.scores is None


def test_filter_pairs_are_row_and_label_and_never_a_header(tmp_path: Path) -> None:
    assert as_lists(read(tmp_path, "2 7\n0 5\n2 1\n", "filter")) == [[5], [], [7, 1]]
    assert len(read(tmp_path, "", "filter")) == 0


def test_many_blocks_and_compressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_CHARACTERS", 50)
    monkeypatch.setattr(xc_text, "ROWS", 7)
    random = np.random.default_rng(0)
    rows = [random.permutation(20)[: random.integers(0, 4)].tolist() for _ in range(100)]
    pairs = [" ".join(f"{label}:{1 - at / 4}" for at, label in enumerate(row)) for row in rows]
    text = "100 20\n" + "".join(f"{line}\n" for line in pairs)
    with gzip.open(tmp_path / "p.txt.gz", "wt") as file:
        file.write(text)
    assert as_lists(read_label_lists(tmp_path / "p.txt.gz", "predictions")) == rows
    by_row = "".join(f"{n} {pairs[n]}\n" for n in random.permutation(100))
    lists = read(tmp_path, "100 20\n" + by_row)
    assert as_lists(lists) == rows
    assert (lists.indptr[-1], lists.width) == (sum(map(len, rows)), 20)


def test_an_empty_file_has_no_documents(tmp_path: Path) -> None:
    assert len(read(tmp_path, "")) == 0
    assert len(read(tmp_path, "\n\n")) == 2  # two without a prediction


@pytest.mark.parametrize(
    ("text", "role", "message"),
    [
        ("3:0.5\n1:x\n", "predictions", "line 2: expected `label:score …`, got '1:x'"),
        ("3:0.5\n1: 2\n", "predictions", "line 2: expected `label:score …`, got '1: 2'"),
        ("3 9\n3:0.5\nred:1\n1:1\n", "predictions", "got 'red:1'"),
        ("3:0.5 4\n", "predictions", "got '3:0.5 4'"),
        ("2 9\n3:0.5\n-1:2\n", "truth", "line 3: expected `label:score …`, got '-1:2'"),
        ("3.0:0.5\n", "truth", "got '3.0:0.5'"),
        ("0 3:1\nx 3:1\n", "truth", "line 2: expected `row label:score …`, got 'x 3:1'"),
        ("0 3:1\n1 3 1\n", "truth", "got '1 3 1'"),
        ("0 1\n1\n", "filter", "line 2: expected `row label`, got '1'"),
        ("0 1\n1 x\n", "filter", "got '1 x'"),
        ("3 9\n3:1\n", "truth", "expected 3 documents, as its header states, got 1 lines"),
        ("1 9\n3:1\n4:1\n", "truth", "expected 1 documents, as its header states, got 2 lines"),
        ("1 9\n9:1\n", "truth", "expected labels below 9, as its header states, got 9"),
        ("2 9\n5 3:1\n", "truth", "expected rows below 2, as its header states, got 5"),
        ("0:nan\n", "predictions", "row 0 is not a number"),
        ("0:1\n3:nan\n", "truth", "expected 1 or 0 for a label, got `3:nan`"),
        ("0 3:NaN\n", "train", "expected 1 or 0 for a label, got `3:nan`"),
    ],
)
def test_an_error_names_the_faulty_part(tmp_path: Path, text: str, role: Role, message: str) -> None:
    with pytest.raises(XmcpipeError) as error:
        read(tmp_path, text, role)
    assert message in str(error.value)
    assert "given.txt" in str(error.value)


def test_bytes_that_are_no_utf_8_get_a_hint_that_helps(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(b"0:1\n0:1 \xe9\n")
    with pytest.raises(XmcpipeError, match=r"line 2: the bytes aren't utf-8 \(write the file in UTF-8"):
        read_label_lists(tmp_path / "p.txt", "predictions")


@pytest.mark.parametrize(
    ("text", "role", "fault"),
    [
        ("1000000000000000 1:1\n", "predictions", "at most 16,777,216 documents for its 1 labels"),
        ("1000000000000000 5\n0 1:1\n", "predictions", "in its header, got 1000000000000000"),
        ("1 1000000000000000\n0:1\n", "truth", "in its header, got 1000000000000000"),
        (f"{'9' * 5000} 5\n0:1\n", "truth", "in its header, got 99999"),
        ("1000000000000000 1\n", "filter", "at most 16,777,216 documents for its 1 labels"),
    ],
)
def test_numbers_that_ask_for_terabytes(tmp_path: Path, text: str, role: Role, fault: str) -> None:
    with pytest.raises(XmcpipeError, match=fault):
        read(tmp_path, text, role)


def test_millions_of_empty_lines_take_little_memory(tmp_path: Path) -> None:
    """The lines are read some at a time, however many a block holds."""
    path = tmp_path / "x.txt.gz"
    path.write_bytes(gzip.compress(b"0:1\n" + b"\n" * 3_000_000))
    sizes = [len(block) for _, block in blocks.line_blocks(path)]
    assert (max(sizes), sum(sizes)) == (blocks.LINES, 3_000_001)
    assert len(read_label_lists(path, "truth")) == 3_000_001
