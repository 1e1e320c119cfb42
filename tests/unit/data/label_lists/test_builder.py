"""Only labels that can reach the top are kept, for scores of every type."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.data.label_lists.label_files import as_lists, write_parquet
from xmcpipe.data.label_lists.files import read_label_lists


@pytest.mark.parametrize("with_scores", [True, False])
def test_only_candidates_for_the_top_are_kept(tmp_path: Path, with_scores: bool) -> None:
    rows: list[dict[str, Any]] = [
        {"labels": [5, 6, 7, 8], "scores": [0.1, 0.9, 0.5, 0.5]},
        {"labels": [1], "scores": [0.3]},
        {"labels": [1, 2, 3], "scores": [3.0, 2.0, 1.0]},
    ]
    if not with_scores:
        rows = [{"labels": row["labels"]} for row in rows]
    lists = read_label_lists(write_parquet(tmp_path / "p.parquet", rows), "predictions", top=2)
    expected = [[6, 7, 8], [1], [1, 2]] if with_scores else [[5, 6], [1], [1, 2]]  # 7 and 8 tie
    assert as_lists(lists) == expected


def test_only_candidates_for_the_top_are_kept_of_names(tmp_path: Path) -> None:
    rows = [{"labels": ["x", "y", "z"], "scores": [1.0, 3.0, 2.0]}, {"labels": ["z"], "scores": [1.0]}]
    lists = read_label_lists(write_parquet(tmp_path / "p.parquet", rows), "predictions", top=1)
    assert as_lists(lists) == [["y"], ["z"]]


NUMBERS = ("uint8", "uint64", "int8", "int64", "float16", "float32", "float64")


@pytest.mark.parametrize(
    ("kind", "suffix"), [("bool", ".npz"), *product(NUMBERS, (".npz", ".parquet"))]
)  # fmt: skip
def test_scores_of_every_type_reach_the_top(tmp_path: Path, kind: str, suffix: str) -> None:
    """Unsorted, with a stored zero: minus an unsigned score is no small number."""
    rows = [[(0, 0), (3, 1), (1, 0)], [(0, 0), (4, 0), (2, 1)], [(5, 1)]]
    if kind not in ("bool", "int8"):
        rows[0] = [(0, 0), (3, 200), (1, 100)]
    labels = [[label for label, _ in row] for row in rows]
    scores = [np.array([score for _, score in row], kind) for row in rows]
    path = tmp_path / f"p{suffix}"
    if suffix == ".npz":
        indptr = np.cumsum([0, *map(len, rows)])
        np.savez(path, data=np.concatenate(scores), indices=np.concatenate(labels), indptr=indptr,
                 shape=(3, 6), format="csr")  # fmt: skip
    else:
        pq.write_table(pa.table({"labels": labels, "scores": [list(row) for row in scores]}), path)
    assert as_lists(read_label_lists(path, "predictions", top=1)) == [[3], [2], [5]]


def test_integer_scores_beyond_a_float64_stay_apart(tmp_path: Path) -> None:
    rows = [{"labels": [1, 2], "scores": [2**60, 2**60 + 1]}]
    lists = read_label_lists(write_parquet(tmp_path / "p.parquet", rows), "predictions", top=1)
    assert as_lists(lists) == [[2]]
