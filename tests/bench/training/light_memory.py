"""Measures the peak memory of `xmcpipe train --steps N` above that of its imports, on random documents.

    python -m tests.bench.training.light_memory --labels 670091 --fan-in 128
    python -m tests.bench.training.light_memory --labels 2812281 --fan-in 256

The whole command is measured, from building the model to the published artifact, in its own process: its
largest resident set (VmHWM) minus that after its imports. The encoder is a small random BERT; --set is passed
to the command. Prints JSON, in MB of 10^6 bytes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WORDS, TOKENS, LABELS_PER_DOCUMENT = 2000, 32, 5
PROBE = "--probe"  # the first argument of the measured process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=670_091)
    parser.add_argument("--fan-in", type=int, default=128)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--memory", choices=["light", "paper"], default="light")
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--set", action="append", default=[], metavar="STAGE.KEY=VALUE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options)
        print(json.dumps({**vars(options), **measure(Path(folder), options)}, indent=2))


def settings(options: argparse.Namespace, encoder: Path) -> list[str]:
    """The values of the command's --set."""
    lines = {
        "train.memory": options.memory,
        "train.batch_size": options.batch_size,
        "train.loss": "bce",
        "train.warmup_steps": 5,
        "train.rewire.interval": 10,  # once in 20 steps
        "train.encoder.name": encoder,
        "train.encoder.checkpointing": "true",
        "train.head.fan_in": options.fan_in,
        "train.head.optimizer": "sgd",
        "train.head.momentum": options.momentum,
        "train.device": "cpu",
    }
    return [*(f"{key}={value}" for key, value in lines.items()), *options.set]


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    arguments = ["train", "--json", "--steps", str(options.steps), "--shards", str(folder / "shards")]
    for line in settings(options, folder / "encoder"):
        arguments += ["--set", line]
    command = [sys.executable, __file__, PROBE, *arguments, "--store", str(folder / "store")]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    started = time.monotonic()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    outcome, _, figures = done.stdout.rpartition("\n{")
    facts, memory = json.loads(outcome), json.loads("{" + figures)
    return {
        **{name: round(value / 1e6, 1) for name, value in memory.items()},
        "seconds": round(time.monotonic() - started, 1),
        "seconds_per_step": facts["figures"]["seconds_per_step"],
        "head_mb": round(facts["figures"]["head_bytes"] / 1e6, 1),
        "artifact_mb": round(facts["bytes"] / 1e6, 1),
    }


def probe(arguments: list[str]) -> None:
    """Run the command in this process, and print the memory before it and at its peak."""
    import pyarrow.parquet
    import torch
    import transformers.models.bert.modeling_bert

    import xmcpipe.stages.train
    import xmcpipe.training.trainer
    from xmcpipe.cli.app import app

    del pyarrow, torch, transformers, xmcpipe
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the memory after the imports
    base = status("VmRSS")
    app(arguments, standalone_mode=False)
    print(json.dumps({"base": base, "peak": status("VmHWM"), "above_base": status("VmHWM") - base}))


def status(name: str) -> int:
    """The value of a line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def make(folder: Path, options: argparse.Namespace) -> None:
    """Write an encoder, and shards as the tokenize stage writes them; labels follow Zipf's law."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.encoders import write_encoder
    from xmcpipe.artifacts.manifest import Manifest
    from xmcpipe.artifacts.versions import SHARDS_VERSION
    from xmcpipe.data.schema import LABELS
    from xmcpipe.data.shards.files import ShardWriter, shard_path

    encoder, shards = folder / "encoder", folder / "shards"
    words = [f"word{number}" for number in range(WORDS)]
    write_encoder(encoder, words, options.layers, options.features)
    (shards / "tokenizer").mkdir(parents=True)
    for path in encoder.glob("*token*"):
        shutil.copy(path, shards / "tokenizer")
    random, count = np.random.default_rng(0), options.batch_size * (options.steps + 2)
    tokens = [random.integers(4, WORDS, TOKENS).tolist() for _ in range(count)]
    drawn = (options.labels ** random.random((count, LABELS_PER_DOCUMENT))).astype(int) - 1
    labels = [sorted({*row.tolist()}) for row in drawn]
    with ShardWriter(shard_path(shards, "train", 0)) as shard:
        lists = [pa.array(part, pa.list_(pa.int32())) for part in (tokens, labels)]
        shard.write(pa.array([str(row) for row in range(count)]), *lists)
    names = pa.array([f"the label called {number}" for number in range(options.labels)])
    table = pa.table([names, pa.nulls(len(names), pa.string())], schema=LABELS)
    pq.write_table(table, shards / "labels.parquet")
    config = {"encoder": str(encoder), "max_length": TOKENS}
    Manifest("tokenize", "shards", SHARDS_VERSION, "0" * 64, config, {}, {}, {}, {}).write(shards)


if __name__ == "__main__":
    if sys.argv[1:2] == [PROBE]:
        probe(sys.argv[2:])
    else:
        main()
