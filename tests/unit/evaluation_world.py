"""Artifacts of a small random dataset, for the tests of evaluation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xmcpipe.data.predictions import PredictionsWriter
from xmcpipe.data.shards.files import ShardWriter, shard_path
from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.stages.evaluate import EVAL, EvalConfig, evaluate_files

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


def figures_of(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in ("model", "popularity", "documents", "propensity")}


def table(ids: list[str], rows: list[list[Any]], scores: Any = None) -> pa.Table:
    columns: dict[str, Any] = {"id": ids, "labels": rows}
    return pa.table(columns if scores is None else {**columns, "scores": list(scores)})


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def many(labels: Any, count: int = 60) -> list[dict[str, Any]]:
    return [{"labels": labels(row)} for row in range(count)]


def refusal(predictions: Path, truth: Path, train: Path | None = None) -> str:
    """The error of a measurement of files that must be refused."""
    with pytest.raises(XmcpipeError) as error:
        evaluate_files(EvalInputs([predictions], truth, train), QUICK)
    return str(error.value)


def warnings(predictions: Path, truth: Path, train: Path | None = None) -> list[str]:
    """The sentences of a measurement about what its files may be instead."""
    found: list[str] = evaluate_files(EvalInputs([predictions], truth, train), QUICK)["warnings"]
    return found
