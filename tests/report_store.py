"""A store with two finished runs, made quickly: the files of every stage, without training anything.

Names and texts contain HTML and scripts, which a report must show as plain text.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from xmcpipe.artifacts import versions
from xmcpipe.artifacts.fingerprint import fingerprint
from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.config import to_table
from xmcpipe.data.predictions import PredictionsWriter
from xmcpipe.data.schema import LABELS, RAW_DOCUMENTS
from xmcpipe.data.shards.files import ShardWriter, shard_path
from xmcpipe.measuring.metrics_json import METRICS_VERSION
from xmcpipe.stages.evaluate import EvalConfig, run
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.head_config import HeadConfig

SCRIPT = "<script>alert(1)</script>"
TEXT = "</script><script>alert(2)</script> \u2028 & <b>bold</b> <!-- {{ 7 * 7 }}"
NAMES = [SCRIPT, "a&b", "“quoted”", *(f"label{number}" for number in range(3, 12))]
TRAIN, TEST, FEATURES, FAN_IN = 60, 40, 16, 4


def make_runs(root: Path, dataset: str = "synthetic") -> tuple[Store, list[Path]]:
    """The store, and the metrics folders of a sparse and a dense run on the same documents."""
    store = Store(root)
    raw = publish(
        store, "download", "raw", versions.RAW_VERSION, {"dataset": dataset}, {"source": "0" * 64}, _raw
    )
    shards = publish(
        store, "tokenize", "shards", versions.SHARDS_VERSION, {"encoder": "tiny"}, _of(raw), _shards
    )
    return store, [make_run(store, shards, kind).path for kind in ("ffi", "dense")]


def make_run(store: Store, shards: Artifact, kind: str, eval_config: EvalConfig | None = None) -> Artifact:
    """Model, predictions and metrics of a run with this kind of head; the dense one is right more often."""
    config = TrainConfig(head=HeadConfig(kind=kind, fan_in=FAN_IN))
    figures = {
        "head": kind, "head_parameters": 48 if kind == "ffi" else 192, "encoder_parameters": 1000,
        "seconds": 90.0, "documents_per_second": 20.0, "steps": 60, "best_step": 60, "device": "cpu",
        "memory": {
            "predicted_bytes": {"encoder weights": 4000, "classifier weights": 200, "total": 4200,
                                "host": 90000},
            "measured_bytes": {"total": 4300, "host": 95000},
            "ratio": 0.9767,
        },
    }  # fmt: skip
    model = publish(
        store, "train", "model", versions.MODEL_VERSION, to_table(config, keys="identity"), _of(shards),
        lambda folder: _model(folder, kind), figures,
    )  # fmt: skip
    predictions = publish(
        store, "predict", "predictions", versions.PREDICTIONS_VERSION, {"k": 5}, _of(model, shards),
        lambda folder: _predictions(folder, 0.35 if kind == "ffi" else 0.6),
    )  # fmt: skip
    config_of_eval = eval_config or EvalConfig(rounds=40)
    folders = {"predictions": predictions.path, "shards": shards.path}
    return publish(
        store, "eval", "metrics", METRICS_VERSION, to_table(config_of_eval, keys="identity"),
        _of(predictions, shards), lambda folder: run(config_of_eval, folders, folder, folder),
    )  # fmt: skip


def publish(
    store: Store,
    stage: str,
    kind: str,
    version: int,
    config: dict[str, Any],
    inputs: dict[str, str],
    write: Callable[[Path], Any],
    figures: dict[str, Any] | None = None,
) -> Artifact:
    """An artifact like one that a stage makes."""
    folder = store.building(kind)
    write(folder)
    name = fingerprint(stage, version, config, inputs)
    made_by = {
        "xmcpipe": "0.1.0", "python": "3.11", "libraries": {"numpy": "2"}, "host": "there", "cpus": 2,
        "platform": "Linux", "command": ["xmcpipe", "run", "my recipe.toml"], "runtime": {},
        "started": "2026-01-01T00:00:00.000+00:00", "seconds": 2.5, "peak_rss_bytes": 1 << 20,
    }  # fmt: skip
    manifest = Manifest(stage, kind, version, name, config, inputs, {}, figures or {}, made_by)
    return store.publish(folder, store.seal(folder, manifest, {}), replace=True)


def documents(split: str) -> tuple[list[str], list[str], list[list[int]]]:
    """Ids, texts and labels of a split."""
    random = np.random.default_rng(len(split))
    count = TRAIN if split == "train" else TEST
    ids = [f"{split}-{number}" for number in range(count)]
    texts = [TEXT if number == 0 else f"document {number} about {split}" for number in range(count)]
    chances = 1 / np.arange(1, len(NAMES) + 1)
    chances /= chances.sum()
    labels = [
        sorted(random.choice(len(NAMES), random.integers(1, 4), replace=False, p=chances).tolist())
        for _ in range(count)
    ]
    return ids, texts, labels


def _of(*artifacts: Artifact) -> dict[str, str]:
    return {each.manifest.kind: each.manifest.fingerprint for each in artifacts}


def _labels(folder: Path) -> None:
    texts = [f"text of {name}" if number % 2 else None for number, name in enumerate(NAMES)]
    pq.write_table(pa.table([NAMES, texts], schema=LABELS), folder / "labels.parquet")


def _raw(folder: Path) -> None:
    _labels(folder)
    for split in ("train", "test"):
        pq.write_table(pa.table(list(documents(split)), schema=RAW_DOCUMENTS), folder / f"{split}.parquet")


def _shards(folder: Path) -> None:
    _labels(folder)
    for split in ("train", "test"):
        ids, _, labels = documents(split)
        lists = [pa.array(rows, pa.list_(pa.int32())) for rows in ([[1, 2]] * len(ids), labels)]
        with ShardWriter(shard_path(folder, split, 0)) as shard:
            shard.write(pa.array(ids), *lists)


def _model(folder: Path, kind: str) -> None:
    _labels(folder)
    head = {"kind": kind, "in_features": FEATURES, "num_labels": len(NAMES), "fan_in": FAN_IN}
    (folder / "model.json").write_text(json.dumps({"head": head}))
    index = np.stack([np.random.default_rng(row).permutation(FEATURES)[:FAN_IN] for row in range(len(NAMES))])
    weights = {"head.weight": np.zeros((len(NAMES), FAN_IN if kind == "ffi" else FEATURES), np.float32)}
    save_file(
        weights | ({"head.index": index.astype(np.uint16)} if kind == "ffi" else {}),
        folder / "model.safetensors",
    )
    lines: list[dict[str, Any]] = []
    for step in range(5, 65, 5):
        lines.append({
            "kind": "train", "step": step, "epoch": step / 30, "loss": 9 - step / 10,
            "rate_factor": 1 - step / 80,
            "auxiliary_weight": max(0.0, 0.4 - step / 75), "documents_per_second": 20.0 + step / 10,
            "memory_bytes": 1,
        })  # fmt: skip
        lines.append(
            {
                "kind": "gradient",
                "step": step,
                "main": 0.1 + step / 60,
                "auxiliary": None if step > 30 else 1 / step,
            }
        )
        if step % 20 == 0 and kind == "ffi":
            lines.append({"kind": "rewire", "step": step, "replaced": 10, "share": 0.2})
    lines += [{"kind": "validation", "step": step, "P@1": step / 80, "P@3": step / 120} for step in (30, 60)]
    (folder / "log").mkdir()
    (folder / "log" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _predictions(folder: Path, right: float) -> None:
    _labels(folder)
    ids, _, truth = documents("test")
    random = np.random.default_rng(int(100 * right))
    scores = random.normal(size=(len(ids), len(NAMES))).astype(np.float32)
    for row, labels in enumerate(truth):
        scores[row, labels] += 4 * (random.random(len(labels)) < right)
    best = np.argsort(-scores, axis=1)[:, :5]
    with PredictionsWriter(folder / "predictions.parquet") as table:
        table.write(pa.array(ids), best.astype(np.int32), np.take_along_axis(scores, best, 1))
