"""Measures the cost of classifier, loss and data path relative to the bare encoder, on the same batches.

    python -m tests.bench.training.training_overhead SHARDS [--clusters CLUSTERS] [--head ffi] [--fan-in 64]

`bare` is the encoder's forward and backward pass with a sum as the loss; `whole` adds collating, pooling,
dropout, the output layer, its loss and gradient, the auxiliary branch, and the classifier's optimizer step.
Neither includes the encoder's own optimizer. The two alternate batch by batch, so that noise on the machine
slows both alike; the ratio is that of the sums. Prints JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from xmcpipe.artifacts.store import Artifact
from xmcpipe.config import from_table
from xmcpipe.training.build import new_model
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed, TokenBatch, read_clusters
from xmcpipe.training.gradients import SplitEmbedding
from xmcpipe.training.trainer import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--clusters", type=Path)
    parser.add_argument("--head", choices=["ffi", "dense", "bottleneck"], default="ffi")
    parser.add_argument("--fan-in", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=20)
    options = parser.parse_args()
    table = {
        "batch_size": options.batch_size,
        "loss": "bce",
        "encoder": {"pooling": "mean", "dropout": 0.1},
        "head": {"kind": options.head, "fan_in": options.fan_in, "bias": True},
        "auxiliary": {"weight": 0.4 if options.clusters else 0.0},
    }
    config = from_table(TrainConfig, table, "train")
    trainer = make_trainer(config, options.shards, options.clusters)
    groups = trainer.feed.groups(0)[: options.batches + 3]
    print(json.dumps(measure(trainer, [rows for (rows,) in groups]), indent=2))


def make_trainer(config: TrainConfig, shards: Path, clusters_folder: Path | None) -> Trainer:
    device = torch.device("cpu")
    feed = Feed(shards, config, 0, device)
    clusters = read_clusters(clusters_folder, feed.num_labels) if clusters_folder else None
    encoder = Artifact.at(shards).manifest.config["encoder"]
    model = new_model(config, encoder, 0, feed, int(clusters.max()) + 1 if clusters is not None else 0)
    model.train()
    return Trainer(config, model, feed, clusters, device, Path(tempfile.mkdtemp()))


def measure(trainer: Trainer, batches: list[Any]) -> dict[str, Any]:
    """Time both on each batch."""

    def bare(rows: Any) -> None:
        batch = ready[len(rows), int(rows[0])]
        assert isinstance(batch, TokenBatch), "no training with a frozen encoder is measured"
        with torch.autocast("cpu", torch.bfloat16):
            hidden = trainer.model.encoder(input_ids=batch.input_ids_BS, attention_mask=batch.mask_BS)
        torch.autograd.backward(hidden.last_hidden_state.float().sum())

    def whole(rows: Any) -> None:
        batch = trainer.feed.batch(rows)
        step = trainer.gradient_step
        split = SplitEmbedding(trainer.model.dropout(step.embed(batch)))
        main_loss, auxiliary, weight = step.losses(split, batch, len(rows), trainer.auxiliary_weight)
        torch.autograd.backward((1.0 - weight) * main_loss + weight * auxiliary)
        split.backward()
        _, classifier = trainer.updates.optimizers()
        classifier.step()

    ready = {(len(rows), int(rows[0])): trainer.feed.batch(rows) for rows in batches}
    seconds: dict[str, list[float]] = {"bare": [], "whole": []}
    for number, rows in enumerate(batches):
        for name, function in (("bare", bare), ("whole", whole)):
            trainer.model.zero_grad(set_to_none=True)
            started = time.perf_counter()
            function(rows)
            if number >= 3:  # the first three batches warm up allocators and kernels
                seconds[name].append(time.perf_counter() - started)
    return {**_head_facts(trainer), **_times(seconds)}


def _head_facts(trainer: Trainer) -> dict[str, Any]:
    head = trainer.model.head
    return {
        "head": head.shape.kind,
        "head_parameters": head.num_parameters,
        "head_bytes": head.num_bytes,
        "labels": head.num_labels,
        "fan_in": head.shape.fan_in,
        "features": head.shape.in_features,
        "batch_size": trainer.config.batch_size,
    }


def _times(seconds: dict[str, list[float]]) -> dict[str, Any]:
    pairs = [one / other for one, other in zip(seconds["whole"], seconds["bare"], strict=True)]
    return {
        "batches": len(pairs),
        "bare_ms": 1000 * statistics.mean(seconds["bare"]),
        "whole_ms": 1000 * statistics.mean(seconds["whole"]),
        "ratio": sum(seconds["whole"]) / sum(seconds["bare"]),
        "ratio_median_of_pairs": statistics.median(pairs),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
