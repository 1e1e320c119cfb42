"""Documents per second of `xmcpipe embed` relative to the bare encoder on the same batches.

    python -m tests.bench.embed_throughput artifacts/shards/0123456789abcdef

The bare encoder reads tokens that are already padded and on the device, and its output is not used. The stage
reads them from the shards, pools, converts and writes to disk. Both take turns, block by block. Prints JSON.
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
from xmcpipe.data.embeddings import EmbeddingWriter, embeddings_path
from xmcpipe.data.shards.batches import collate, length_order
from xmcpipe.data.shards.files import Shards
from xmcpipe.inference import embedding
from xmcpipe.inference.embedding import Embedder, embed_rows
from xmcpipe.modeling.encoder import load, load_tokenizer
from xmcpipe.modeling.model import embedding_size


class Part:
    """The first rows of a split, as `embed_rows` reads them."""

    def __init__(self, shards: Shards, count: int) -> None:
        self.lengths, self.tokens, self.labels = shards.lengths[:count], shards.tokens, shards.labels

    def __len__(self) -> int:
        return len(self.lengths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--documents", type=int, default=6144)
    parser.add_argument("--block", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=128)
    options = parser.parse_args()
    name = str(Artifact.at(options.shards).manifest.config["encoder"])
    pad_id = load_tokenizer(str(options.shards / "tokenizer")).pad_token_id or 0
    embedder = Embedder(load(name), "mean", torch.device("cpu"), "bfloat16")
    shards = Shards(options.shards, "train")
    embedding.BLOCK_ROWS = options.block
    seconds: dict[str, list[float]] = {"bare": [], "stage": []}
    with tempfile.TemporaryDirectory() as folder:
        writer = EmbeddingWriter(
            embeddings_path(Path(folder), "train"), len(shards), embedding_size(embedder.encoder)
        )
        for begin in range(0, min(options.documents, len(shards)), options.block):
            seconds["bare"].append(bare(embedder, shards, begin, options, pad_id))
            started = time.perf_counter()
            part: Any = Part(shards, begin + options.block)
            embed_rows(embedder, part, writer, pad_id, options.batch_size, lambda count: None)
            seconds["stage"].append(time.perf_counter() - started)
    pairs = list(zip(seconds["bare"], seconds["stage"], strict=True))[1:]  # the first block warms up
    rate = {key: options.block / statistics.median(each[1:]) for key, each in seconds.items()}
    ratio = statistics.median(one / other for one, other in pairs)
    facts = {"encoder": name, "documents": options.documents, "batch_size": options.batch_size}
    facts |= {f"{key}_documents_per_second": round(each, 1) for key, each in rate.items()}
    print(json.dumps({**facts, "ratio": round(ratio, 3)}, indent=2))


@torch.inference_mode()
def bare(embedder: Embedder, shards: Shards, begin: int, options: argparse.Namespace, pad_id: int) -> float:
    """Seconds of the encoder alone for a block."""
    orders = length_order(shards.lengths[begin : begin + options.block], options.batch_size)
    batches = [collate(shards, rows + begin, pad_id) for rows in orders]
    inputs = [(torch.from_numpy(each.input_ids), torch.from_numpy(each.mask)) for each in batches]
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16):
        for input_ids_BS, mask_BS in inputs:
            embedder.encoder(input_ids=input_ids_BS, attention_mask=mask_BS)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
