"""Random truth and predictions of a small dataset, and the files and arrays in which people keep them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.stages.evaluate import EvalConfig, evaluate_files

FORMATS = ("jsonl", "parquet", "csv", "txt", "npz")


@dataclass(frozen=True)
class Side:
    """Predictions or truth: label ids of N documents, of L, with scores or without."""

    rows: list[list[int]]
    scores: list[list[float]] | None
    num_labels: int

    def matrix(self) -> Any:
        indptr = np.cumsum([0, *map(len, self.rows)])
        labels = np.array([label for row in self.rows for label in row], np.int64)
        scores = np.ones(len(labels)) if self.scores is None else np.concatenate(self.scores)
        return sparse.csr_matrix((scores, labels, indptr), shape=(len(self.rows), self.num_labels))

    def renamed(self, new: "np.ndarray[Any, Any]") -> "Side":
        """With label i as new[i]."""
        return replace(self, rows=[[int(new[label]) for label in row] for row in self.rows])


def world(seed: int) -> tuple[Side, Side, Side]:
    """Predictions, of a model of some skill, truth and training labels.

    Labels have frequencies as in text collections.
    """
    random = np.random.default_rng(seed)
    documents, labels = int(random.integers(60, 400)), int(random.integers(40, 1500))
    top, skill = int(random.integers(3, 11)), random.uniform(0.3, 0.9)
    chances = 1 / np.arange(1, labels + 1) ** random.uniform(0.5, 1)
    chances = random.permutation(chances / chances.sum())
    truth, predicted, scores = [], [], []
    for _ in range(documents):
        true = random.choice(labels, int(random.integers(1, 7)), replace=False, p=chances)
        guesses = random.choice(labels, top + len(true), replace=False, p=chances)
        found = [int(label) for label in true if random.random() < skill]
        ranking = (found + [int(label) for label in guesses if label not in found])[:top]
        truth.append(sorted(map(int, true)))
        predicted.append(ranking)
        distinct = random.choice(10_000, top, replace=False)  # ties are broken by id, which names change
        scores.append((np.sort(distinct)[::-1] / 10_000).tolist())
    trained = [
        sorted(map(int, random.choice(labels, int(random.integers(1, 7)), replace=False, p=chances)))
        for _ in range(4 * documents)
    ]
    return Side(predicted, scores, labels), Side(truth, None, labels), Side(trained, None, labels)


def write(path: Path, side: Side, names: bool = False) -> Path:
    """Write a side in the format of the path's ending; ids become names if `names`."""
    rows: list[Any] = [[f"n{label}" for label in row] for row in side.rows] if names else side.rows
    columns = {"labels": rows} | ({} if side.scores is None else {"scores": side.scores})
    if path.suffix == ".jsonl":
        lines = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    elif path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    elif path.suffix == ".csv":
        cells = zip(*(map(json.dumps, column) for column in columns.values()), strict=True)
        quoted = (",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells)
        path.write_text("\n".join([",".join(columns), *quoted, ""]))
    elif path.suffix == ".txt":
        scores = [[1] * len(row) for row in rows] if side.scores is None else side.scores
        both: Any = zip(rows, scores, strict=True)
        pairs = (zip(row, values, strict=True) for row, values in both)
        path.write_text("".join(" ".join(f"{label}:{score}" for label, score in row) + "\n" for row in pairs))
    elif path.suffix == ".npz":
        sparse.save_npz(path, side.matrix())
    else:
        raise ValueError(path)
    return path


def figures(predictions: Path, truth: Path, train: Path | None = None) -> tuple[dict[str, float], list[str]]:
    """P and, with training labels, PSP of files, and the warnings. Raises XmcpipeError."""
    metrics = evaluate_files(EvalInputs([predictions], truth, train), EvalConfig(k=(1, 3), rounds=0))
    names = [name for name in ("P@1", "P@3", "PSP@1", "PSP@3") if name in metrics["model"]]
    return {name: metrics["model"][name] for name in names}, metrics["warnings"]


def outcome(paths: tuple[Path, ...], right: dict[str, float] | None) -> str:
    """refused, warned, read (with the figures `right`), or silent: read as something that it isn't.

    `paths` are those of predictions, truth and, perhaps, training labels.
    """
    try:
        found, warnings = figures(*paths)
    except XmcpipeError:
        return "refused"
    if warnings:
        return "warned"
    return "read" if found == right else "silent"
