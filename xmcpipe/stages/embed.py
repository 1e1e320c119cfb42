"""`embed`: the embedding of every document by an encoder as it is, so that the encoder runs once.

A head can then be trained on these embeddings in minutes, and whatever looks at all documents (which features
stand out for a label, say) reads a file instead of running an encoder.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from xmcpipe.artifacts.store import Artifact
from xmcpipe.config import ENCODER_NAME, require_at_least, runtime
from xmcpipe.pieces import Pieces
from xmcpipe.stages.stage import Result, Stage

EMBEDDINGS_VERSION = 1

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedConfig:
    """The recipe table [embed]: how documents are embedded."""

    encoder: str = field(default="", metadata=ENCODER_NAME)
    """Text encoder, as in tokenize.encoder; by default the one that the shards were tokenized for."""

    pooling: Literal["cls", "mean"] = "cls"
    """How the encoder's output becomes one embedding: that of the first token (cls), or the mean of all."""

    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Floating-point type in which the encoder computes; embeddings are stored as float16. A
    processor without instructions for it computes in float32."""

    batch_size: int = runtime(128)
    """Number of documents that are encoded at a time."""

    device: str = runtime("auto")
    """Device to run on, such as "cpu" or "cuda"; "auto" uses a GPU if there is one."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        require_at_least(self, 1, "batch_size")


# Long: eight imports, which only this stage needs.
def run(config: EmbedConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write train, test and label .safetensors into `out`: float16 [N, E] each, rows as in the shards.

    `scratch` holds the files until all are whole, so that a killed run continues. Raises XmcpipeError for an
    encoder that can't be found or has fewer embeddings than the shards have tokens, and for an embedding that
    isn't finite.
    """
    from xmcpipe.data.embeddings import EmbeddingWriter, embeddings_path
    from xmcpipe.data.shards.files import SPLITS, Shards
    from xmcpipe.inference.embedding import Embedder, embed_rows
    from xmcpipe.modeling.devices import arithmetic, pick_device, said_of
    from xmcpipe.modeling.encoder import load, load_tokenizer, require_vocabulary
    from xmcpipe.modeling.model import embedding_size
    from xmcpipe.progress import progress

    shards, started = inputs["shards"], time.monotonic()
    tokenized = Artifact.at(shards).manifest.config
    name = config.encoder or str(tokenized["encoder"])
    tokenizer, encoder = load_tokenizer(str(shards / "tokenizer")), load(name)
    splits = {split: Shards(shards, split) for split in SPLITS}
    most = max(documents.num_tokens for documents in splits.values())
    require_vocabulary(encoder, name, max(len(tokenizer), most))
    device, piece_length = pick_device(config.device), Pieces.of(tokenized).piece_length
    if said := said_of(config.precision, device.type):
        logger.info("embed: %s", said)
    embedder = Embedder(encoder, config.pooling, device, config.precision, piece_length)
    width, total = embedding_size(encoder), sum(map(len, splits.values()))
    scratch.mkdir(parents=True, exist_ok=True)
    writers = {
        split: EmbeddingWriter(embeddings_path(scratch, split), len(documents), width)
        for split, documents in splits.items()
    }
    pad_id = tokenizer.pad_token_id or 0
    done = sum(writer.done for writer in writers.values())  # by an attempt that was killed
    with progress("embed", total, "documents", scale=True, initial=done) as bar:
        for split, documents in splits.items():
            embed_rows(embedder, documents, writers[split], pad_id, config.batch_size, bar.update)
    for split in splits:
        embeddings_path(scratch, split).rename(embeddings_path(out, split))
    figures = {
        "documents": total,
        "width": width,
        "encoder": name,
        "arithmetic": arithmetic(config.precision, device.type),
        "seconds": round(time.monotonic() - started, 1),
    }
    return Result(figures, {embeddings_path(out, split).name: len(rows) for split, rows in splits.items()})


EMBED = Stage(
    name="embed",
    kind="embeddings",
    config=EmbedConfig,
    schema_version=EMBEDDINGS_VERSION,
    inputs=("shards",),
    run=run,
    help="Encode every document once, with an encoder that is not trained.",
)
