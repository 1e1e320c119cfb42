"""Processor time of labelling short texts, relative to the bare encoder on the same tokens.

    python -m tests.bench.prediction.throughput artifacts/model/0123456789abcdef --precision bfloat16

The floor is the forward pass of the same encoder, on tokens that are already there: texts of equal length are
together, so nothing is padded, and the output is not used. Prediction reads texts: it tokenizes, sorts, pads,
encodes, scores all labels, and finds the best. `transformers` is the encoder of that library, on batches of
32 texts in their order, as `predict` did it until November 2026. All take turns, block by block. They are
measured in processor time of one thread, which other programs on the machine change little. Prints JSON.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xmcpipe.inference.bundle import Bundle
from xmcpipe.inference.scorer import CPU_BATCH_TOKENS
from xmcpipe.inference.selection import Selection
from xmcpipe.inference.text_encoding import TokenLists
from xmcpipe.modeling.devices import AUTOCAST, autocast_dtype
from xmcpipe.modeling.encoder import from_config

BLOCK = 500  # texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--words", type=int, nargs=2, default=[3, 24], help="shortest and longest text")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--precision", default="bfloat16", choices=list(AUTOCAST))
    options = parser.parse_args()
    torch.set_num_threads(1)
    bundle = Bundle.load(options.model, "cpu", options.precision)
    encoder = from_config(str(options.model / "encoder")).eval()
    encoder.load_state_dict(bundle._scorer.model.encoder.state_dict())
    blocks = generated(options)
    seconds: dict[str, list[float]] = {"floor": [], "prediction": [], "transformers": []}
    tokens = 0
    for block in [blocks[0], *blocks]:  # the first one warms up
        lists = bundle._texts.encode(block)
        tokens += int(lists.lengths.sum())
        seconds["floor"].append(floor(bundle, lists, options.batch_size))
        started = time.process_time()
        bundle.top(block, Selection(5), options.batch_size)
        seconds["prediction"].append(time.process_time() - started)
        seconds["transformers"].append(in_order(encoder, lists, options.precision))
    least, found, before = (each[1:] for each in seconds.values())
    ratios = [two / one for one, two in zip(least, found, strict=True)]
    facts = {
        "documents": options.documents,
        "tokens_per_text": round(tokens / (len(blocks) + 1) / BLOCK, 1),
        "precision": options.precision,
        "floor_seconds": round(sum(least), 2),
        "prediction_seconds": round(sum(found), 2),
        "transformers_seconds": round(sum(before), 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(each, 2) for each in ratios],
    }
    print(json.dumps(facts, indent=2))


def generated(options: argparse.Namespace) -> list[list[str]]:
    """Blocks of texts of whole words of the model's vocabulary; most are short, as titles are."""
    tokenizer = json.loads((options.model / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))
    words = [word for word in tokenizer["model"]["vocab"] if word.isalpha() and len(word) > 2]
    random = np.random.default_rng(5)
    least, most = options.words
    lengths = least + ((most - least + 1) * random.beta(1.5, 3.0, options.documents)).astype(int)
    texts = [" ".join(random.choice(words, length)) for length in lengths]
    return [texts[begin : begin + BLOCK] for begin in range(0, len(texts), BLOCK)]


def floor(bundle: Bundle, lists: TokenLists, batch_size: int) -> float:
    """Seconds of the encoder alone, in batches without padding of the size that prediction uses."""
    inputs = []
    for length in np.unique(lists.lengths):
        rows = np.flatnonzero(lists.lengths == length)
        size = max(1, min(batch_size, CPU_BATCH_TOKENS // int(length)))
        inputs += [lists.batch(rows[begin : begin + size]) for begin in range(0, len(rows), size)]
    started = time.process_time()
    for input_ids_BS, mask_BS in inputs:
        bundle._scorer.embed(input_ids_BS, mask_BS)
    return time.process_time() - started


@torch.inference_mode()
def in_order(encoder: Any, lists: TokenLists, precision: str) -> float:
    """Seconds of the encoder of transformers, 32 texts at a time."""
    rows, autocast = np.arange(len(lists.lengths)), autocast_dtype(precision, "cpu")
    inputs = [lists.batch(rows[begin : begin + 32]) for begin in range(0, len(rows), 32)]
    started = time.process_time()
    with torch.autocast("cpu", autocast, enabled=autocast is not None):
        for input_ids_BS, mask_BS in inputs:
            encoder(input_ids=torch.from_numpy(input_ids_BS), attention_mask=torch.from_numpy(mask_BS))
    return time.process_time() - started


if __name__ == "__main__":
    main()
