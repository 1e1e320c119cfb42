"""Measures peak memory and seconds per step at the sizes of the paper's datasets.

    python -m tests.bench.shapes amazon-670k

The encoder has the dataset's size and random weights. Documents are random tokens of the dataset's length,
with as many random labels as its documents have. Labels, fan-in and batch size are the paper's (Tables 8 and
9). Memory and speed depend on nothing else. The whole training step runs: encoder, auxiliary branch, loss
over all labels, both updates. With --small all sizes are reduced so that a CPU needs seconds: this only shows
that the script runs.

Prints one JSON object: predicted and measured bytes, seconds per step, and the time of an epoch, computed
from the real number of documents. With --plan nothing is trained, and the prediction for a GPU is printed.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from xmcpipe.data.shards.files import ShardWriter, shard_path
from xmcpipe.memory.compare import memory_figures
from xmcpipe.memory.measure import FirstStepsMeter
from xmcpipe.memory.plan import plan
from xmcpipe.memory.shape import BatchShape
from xmcpipe.modeling.devices import pick_device
from xmcpipe.training.build import new_model
from xmcpipe.training.config import AuxiliaryConfig, TrainConfig
from xmcpipe.training.encoder_config import EncoderConfig
from xmcpipe.training.feed import Feed
from xmcpipe.training.head_config import HeadConfig, RewireConfig
from xmcpipe.training.initial.grouping import label_order
from xmcpipe.training.trainer import Trainer

if TYPE_CHECKING:
    from transformers import PretrainedConfig

WARM_UP = 5


@dataclass(frozen=True)
class Shape:
    """The sizes that memory and speed depend on; `target_…` are goals, 0 for none.

    `group` labels share their features, and the `frequent` most frequent labels read all of them.
    """

    labels: int
    documents: int
    labels_per_document: float
    encoder: str
    batch: int
    tokens: int
    fan_in: int
    clusters: int
    target_gib: float = 0.0
    target_epoch_minutes: float = 0.0
    paper_gib: float = 0.0
    loss: str = "squared_hinge"
    group: int = 1
    frequent: int = 0


SHAPES = {
    "lf-amazontitles-131k": Shape(
        131_073, 294_805, 5.15, "distilbert", 512, 32, 128, 2048, 1.3, paper_gib=2.2, loss="bce"
    ),
    "wiki-500k": Shape(501_070, 1_779_881, 4.75, "bert", 128, 128, 128, 4096, 2.4, paper_gib=4.1),
    "amazon-670k": Shape(670_091, 490_449, 5.45, "bert", 64, 128, 128, 4096, 2.0, 2.75, 3.7),
    "amazon-670k-grouped": Shape(
        670_091, 490_449, 5.45, "bert", 64, 128, 64, 4096, 1.5, 2.75, loss="bce", group=16, frequent=67_009
    ),
    "amazon-3m-grouped": Shape(
        2_812_281,
        1_717_899,
        36.17,
        "bert",
        128,
        128,
        128,
        8192,
        2.8,
        12.0,
        loss="bce",
        group=64,
        frequent=56_246,
    ),
    "amazon-3m": Shape(2_812_281, 1_717_899, 36.17, "bert", 128, 128, 256, 8192, 4.8, 12.0, 13.5),
    "100m": Shape(100_000_000, 1_717_899, 5.0, "bert", 128, 128, 128, 0, 80.0),
}


def small(shape: Shape) -> Shape:
    """The shape cut down for a CPU."""
    labels = max(shape.labels // 1000, 512)
    shape = replace(shape, labels=labels, frequent=shape.frequent // 1000)
    return replace(shape, batch=16, tokens=16, fan_in=16, clusters=8, encoder="tiny")


def encoder_config(name: str, tokens: int) -> "PretrainedConfig":
    """The configuration of the encoder with this name."""
    from transformers import BertConfig, DistilBertConfig

    tiny = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}
    configs: dict[str, Callable[[], PretrainedConfig]] = {
        "bert": BertConfig,
        "distilbert": DistilBertConfig,
        "tiny": lambda: BertConfig(**tiny, vocab_size=1000, max_position_embeddings=max(tokens, 32)),
    }
    return configs[name]()


def write_encoder(folder: Path, name: str, tokens: int) -> int:
    """Write an encoder with random weights, with save_pretrained; returns the size of its vocabulary."""
    from transformers import AutoModel

    config = encoder_config(name, tokens)
    AutoModel.from_config(config).save_pretrained(folder)
    return int(config.vocab_size)


def predict(name: str, shape: Shape, memory: str) -> dict[str, object]:
    """The predicted GPU memory of a step, by part, and the bytes that a classifier step must move."""
    from transformers import AutoModel

    def encoder() -> torch.nn.Module:
        module: torch.nn.Module = AutoModel.from_config(encoder_config(shape.encoder, shape.tokens))
        return module.float()

    positives = round(shape.batch * shape.labels_per_document)
    step = BatchShape(shape.labels, shape.clusters, shape.batch, shape.tokens, positives)
    found = plan(configure(shape, memory, "cpu", 100), encoder, step, "cuda")
    parts = {part: size for part, size in found.part_peaks.items() if size}
    facts = {"shape": name, "memory": memory, **asdict(shape), "parts": parts, "total_bytes": found.total}
    return {**facts, "classifier_step_bytes": found.floor.bytes}


def write_shards(folder: Path, shape: Shape, documents: int, vocabulary: int) -> None:
    """Write random documents of full length, in the format that training reads."""
    draw = np.random.default_rng(0)
    counts = np.maximum(draw.poisson(shape.labels_per_document, documents), 1)
    labels = [np.unique(draw.integers(0, shape.labels, count)) for count in counts]
    tokens = draw.integers(5, vocabulary, documents * shape.tokens).astype(np.int32)
    offsets = np.arange(documents + 1, dtype=np.int32) * shape.tokens
    label_offsets = np.cumsum([0, *map(len, labels)]).astype(np.int32)
    with ShardWriter(shard_path(folder, "train", 0)) as shard:
        shard.write(
            pa.array([str(number) for number in range(documents)], pa.string()),
            pa.ListArray.from_arrays(pa.array(offsets), pa.array(tokens)),
            pa.ListArray.from_arrays(
                pa.array(label_offsets), pa.array(np.concatenate(labels).astype(np.int32))
            ),
        )
    with pq.ParquetWriter(folder / "labels.parquet", pa.schema([("label", pa.string())])) as writer:
        for begin in range(0, shape.labels, 1 << 22):  # only their number is read, so all have one name
            writer.write_table(pa.table({"label": ["x"] * min(1 << 22, shape.labels - begin)}))


def configure(shape: Shape, memory: str, device: str, steps: int) -> TrainConfig:
    """The paper's settings; in mode `light` with SGD and activation checkpointing.

    Groups are of labels by frequency, which needs no clusters; their memory and speed are the same.
    """
    light = memory == "light"
    head = HeadConfig(
        fan_in=shape.fan_in,
        group=shape.group,
        group_by="frequency",
        frequent_labels=shape.frequent,
        bias=shape.frequent > 0,  # it keeps frequent labels out of the sparse head
        optimizer="sgd" if light else "adamw",
        momentum=0.0 if light else 0.9,
    )
    return TrainConfig(
        epochs=1000,
        max_steps=steps,
        batch_size=shape.batch,
        loss=shape.loss,
        memory=memory,  # type: ignore[arg-type]
        warmup_steps=1,
        validation=0.0,
        encoder=EncoderConfig(checkpointing=light),
        head=head,
        rewire=RewireConfig(interval=10),
        auxiliary=AuxiliaryConfig(weight=0.4 if shape.clusters else 0.0, cutoff_epoch=500.0),
        device=device,
    )


def measure(name: str, shape: Shape, memory: str, device_name: str, steps: int) -> dict[str, object]:
    """Train `steps` steps; returns their time and memory."""
    device = pick_device(device_name)
    config = configure(shape, memory, device_name, WARM_UP + steps)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        vocabulary = write_encoder(folder / "encoder", shape.encoder, shape.tokens)
        write_shards(folder, shape, shape.batch * 8, vocabulary)
        feed = Feed(folder, config, 0, device)
        begin = time.perf_counter()
        order = label_order(config, feed, None)
        of = (config, str(folder / "encoder"), vocabulary, feed, shape.clusters, device)
        model = new_model(*of, order_L=order)
        feed.separate(model.frequent, model.head.order)
        built = time.perf_counter() - begin
        clusters = torch.arange(shape.labels) % shape.clusters if shape.clusters else None
        meter = FirstStepsMeter()
        trainer = Trainer(config, model, feed, clusters, device, folder, meter)
        times = trainer.time_steps(WARM_UP + steps)[WARM_UP:]
    step = statistics.median(times)
    return {
        "shape": name,
        "memory": memory,
        **asdict(shape),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "build_seconds": round(built, 2),
        "step_seconds": round(step, 5),
        "slowest_step_seconds": round(max(times), 5),
        "epoch_minutes": round(step * shape.documents / shape.batch / 60, 2),
        "memory_bytes": memory_figures(trainer, meter),
        "rewirings": trainer.progress.rewirings,
    }


def main() -> None:
    """Measure one shape and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--memory", choices=["paper", "light"], default="light")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--plan", action="store_true")
    options = parser.parse_args()
    shape = small(SHAPES[options.shape]) if options.small else SHAPES[options.shape]
    if options.plan:
        found = predict(options.shape, shape, options.memory)
    else:
        found = measure(options.shape, shape, options.memory, options.device, options.steps)
    json.dump(found, sys.stdout)
    print()


if __name__ == "__main__":
    main()
