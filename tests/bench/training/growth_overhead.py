"""Measures the cost of growth by gradient relative to training, on generated documents.

    python -m tests.bench.training.growth_overhead [--labels 20000] [--documents 50000] [--fan-in 64]

The output layer alone is trained, on random features and with memory = "light", so that steps are as short as
they get; with an encoder in the training, a rewiring is a smaller share. Steps and rewirings alternate, and
seconds are those of the processor, so that other work on the machine counts little. `shares` are a rewiring's
seconds divided by those of the steps of a default interval, with growth at random, by gradient and by
documents. Prints JSON.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from xmcpipe.modeling import heads
from xmcpipe.modeling.heads import Head, HeadShape
from xmcpipe.modeling.stepped import HeadSGD, stepped_loss
from xmcpipe.ops.layer import Positives, Rewiring, SparseLayer
from xmcpipe.ops.rewire import rewire_by_
from xmcpipe.training.growth.choice import largest_unread
from xmcpipe.training.growth.gradient import AverageGradient, LabelledDocuments, chunk_labels
from xmcpipe.training.growth.ring import Ring
from xmcpipe.training.head_config import RewireConfig
from xmcpipe.training.rewiring import Cut, rewire

ROWS, LABELS_OF_A_DOCUMENT, REPEATS, STEPS = 64, 5, 5, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("labels", 20_000), ("documents", 50_000), ("fan-in", 64), ("features", 384)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    shares = measure(options.labels, options.documents, options.fan_in, options.features)
    print(json.dumps(shares, indent=2))


@torch.no_grad()
def measure(labels: int, documents: int, fan_in: int, features: int) -> dict[str, Any]:
    """Seconds of a step and of the rewirings, and the shares of these."""
    config = RewireConfig()
    head = heads.build(HeadShape("ffi", features, labels, fan_in, False, dtype="bfloat16"))
    head.reset_parameters()
    head.requires_grad_(False)
    sgd = HeadSGD.of(head, 0.0, 0.0)
    batches = [_batch(labels, ROWS, features) for _ in range(config.window)]
    ring = Ring(config.window, ROWS, features, torch.device("cpu"))
    for batch in batches:
        ring.keep(np.arange(ROWS), *batch)
    all_ND, pairs = _batch(labels, documents, features)
    every = LabelledDocuments(pairs, lambda rows: all_ND[rows], documents)
    cut = Cut(0, 0, int(config.fraction * fan_in))
    functions: dict[str, Callable[[], Any]] = {
        "step": lambda: _steps(head, batches[:STEPS], sgd),
        "random": lambda: rewire(head, [], cut, 0, 1),
        "gradient": lambda: _grow(head, ring, cut, None),
        "documents": lambda: _grow(head, ring, cut, every),
    }
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(REPEATS + 1):
        for name, function in functions.items():
            times[name].append(_seconds(function))
    medians = {name: statistics.median(each[1:]) for name, each in times.items()}  # the first one compiles
    medians["step"] /= STEPS
    interval = config.interval * medians["step"]
    shares = {name: round(medians[name] / interval, 4) for name in medians if name != "step"}
    return {"interval": config.interval, "seconds": medians, "shares": shares}


def _batch(labels: int, rows: int, features: int) -> tuple[torch.Tensor, Positives]:
    rows_P = torch.arange(rows).repeat_interleave(LABELS_OF_A_DOCUMENT)
    pairs = torch.unique(torch.stack([rows_P, torch.randint(0, labels, rows_P.shape)], 1), dim=0)
    return torch.randn(rows, features).half().float(), Positives.of(pairs[:, 0], pairs[:, 1])


def _steps(head: Head, batches: list[tuple[torch.Tensor, Positives]], sgd: HeadSGD) -> None:
    for features_BD, positives in batches:
        stepped_loss(head, features_BD, positives, "bce", 1.0, sgd, 32_768)


def _grow(head: Head, ring: Ring, cut: Cut, every: LabelledDocuments | None) -> None:
    kept, shape = ring.contents(), head.shape
    documents = every or LabelledDocuments(kept.pairs, lambda rows: kept.features[rows], len(kept.rows))
    average = AverageGradient(head, "bce", kept, documents)
    rewire_by_(
        SparseLayer(head.weight.data, head.index),
        [],
        Rewiring(0, 0, 0, 1, 0, shape.in_features, cut.row_count),
        lambda labels, index, pruned: largest_unread(average.of(labels), index, pruned),
        chunk_labels(shape.in_features),
    )


def _seconds(function: Callable[[], Any]) -> float:
    begin = time.process_time()
    function()
    return time.process_time() - begin


if __name__ == "__main__":
    main()
