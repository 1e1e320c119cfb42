"""`tokenize`: turns raw text into shards of token ids, with the encoder's tokenizer and special tokens."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xmcpipe.artifacts.versions import SHARDS_VERSION
from xmcpipe.config import ENCODER_NAME, later, require_at_least, runtime
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.pieces import Pieces
from xmcpipe.progress import progress
from xmcpipe.stages.stage import Result, Stage

if TYPE_CHECKING:
    from xmcpipe.data.shards.tokenizing import ShardTask


@dataclass(frozen=True)
class TokenizeConfig:
    """The recipe table [tokenize]: the encoder, the length of documents, and the size of shards."""

    encoder: str = field(metadata=ENCODER_NAME)
    """Encoder whose tokenizer is used: a Hugging Face hub id, a folder, or package:NAME (Python package)."""

    max_length: int = 128
    """Maximum number of tokens of a piece of a document, special tokens included; longer documents are
    truncated, or read in pieces (max_pieces)."""

    max_pieces: int = later(1)
    """Maximum number of pieces into which a document longer than max_length is cut. Its embedding is the mean
    over the tokens of all pieces; training time and memory grow with them. 1 reads the first piece alone."""

    stride: int = later(0, of="max_pieces")
    """Number of tokens at the end of a piece that the next one repeats."""

    words: Literal["none", "words", "pairs"] = later("none")
    """Whether to store the words of each document for an output layer that reads words: words alone, or also
    pairs of neighbouring words (pairs). They are those of the whole text, whatever max_length is."""

    rows_per_shard: int = 65_536
    """Number of documents in a shard file."""

    num_workers: int = runtime(0)
    """Number of processes that tokenize in parallel; 0 uses one per core."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        require_at_least(self, 1, "max_length", "max_pieces", "rows_per_shard")
        require_at_least(self, 0, "num_workers", "stride")


def run(config: TokenizeConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write the shards of the splits train, test and label into `out`.

    The tokenizer, and copies of the raw artifact's labels and filter pairs, are written there too.

    Raises XmcpipeError for an encoder without a fast tokenizer, and for a `max_length` that leaves no space
    in addition to the special tokens, or that exceeds the positions of the encoder.
    """
    from xmcpipe.data.shards.encoding_pool import encode_shards
    from xmcpipe.machine.cores import usable_cores

    raw = inputs["raw"]
    tokenizer = _fast_tokenizer(config)
    tasks, documents = _tasks(config, raw, out, tokenizer)
    tokenizer.save_pretrained(out / "tokenizer")
    # These tables still apply: tokenizing changes neither the row numbers nor the label ids.
    for table in ("labels", "filter_train", "filter_test"):
        if (raw / f"{table}.parquet").is_file():
            shutil.copyfile(raw / f"{table}.parquet", out / f"{table}.parquet")
    # At most one process per full shard. A small dataset is tokenized by one process with a thread per core:
    # one process for each of three small splits would leave most cores idle.
    full_shards = -(-sum(documents) // config.rows_per_shard)
    num_workers = min(config.num_workers or usable_cores(), full_shards)
    with progress("tokenize", sum(documents), "documents", scale=True) as bar:
        lengths = encode_shards(tasks, num_workers, lambda _, done: bar.update(done.documents))
    # Each shard counts its own lengths; the figures of a split are of their sum.
    figures: dict[str, Any] = {}
    for split in dict.fromkeys(_split(task) for task in tasks):
        parts = [part for task, part in zip(tasks, lengths, strict=True) if _split(task) == split]
        figures[split] = sum(parts[1:], parts[0]).figures()
    rows = {task.out.name: part.documents for task, part in zip(tasks, lengths, strict=True)}
    return Result(figures, rows)


def _split(task: "ShardTask") -> str:
    """The split of a task, from the name of its file: {split}-{number}.arrow."""
    return task.out.name.split("-")[0]


def _tasks(
    config: TokenizeConfig, raw: Path, out: Path, tokenizer: Any
) -> tuple[list["ShardTask"], list[int]]:
    """A task for each shard, and the number of documents of each shard.

    The shards of split `label` hold the label texts, with a row for each label that has a text.
    """
    from xmcpipe.data.shards.files import shard_path
    from xmcpipe.data.shards.tokenizing import ShardTask, label_ranges, num_rows

    sources = {
        name: require_file(raw / f"{name}.parquet", "the raw artifact")
        for name in ("train", "test", "labels")
    }
    common: dict[str, Any] = {
        "tokenizer": _backend_text(tokenizer, Pieces.of(vars(config))),
        "pieces": Pieces.of(vars(config)),
        "filler": _filler(tokenizer),
        "num_labels": num_rows(sources["labels"]),
        "words": config.words,
    }
    tasks, documents = [], []
    for split, source in zip(("train", "test", "label"), sources.values(), strict=True):
        # Label texts are read from labels.parquet, in which some labels may have none.
        of_labels = split == "label"
        if of_labels:
            ranges = label_ranges(source, config.rows_per_shard)
        else:
            ranges = _row_ranges(num_rows(source), config.rows_per_shard)
        for number, (first, rows, num_documents) in enumerate(ranges):
            path = shard_path(out, split, number)
            tasks.append(ShardTask(source, first, rows, path, **common, of_labels=of_labels))
            documents.append(num_documents)
    return tasks, documents


def _row_ranges(num_rows: int, size: int) -> list[tuple[int, int, int]]:
    """Ranges (first row, rows, documents) of shards of at most `size` rows, in the form of `label_ranges`."""
    return [
        (first, min(size, num_rows - first), min(size, num_rows - first))
        for first in range(0, num_rows, size)
    ]


def _fast_tokenizer(config: TokenizeConfig) -> Any:
    """The tokenizer of the encoder.

    Raises XmcpipeError if it isn't a fast tokenizer, or if `max_length` is too small or too large for it.
    """
    from xmcpipe.modeling.encoder import load_tokenizer

    tokenizer = load_tokenizer(config.encoder)
    if not tokenizer.is_fast:
        raise XmcpipeError(
            f"tokenize.encoder: expected a fast tokenizer, got the slow {type(tokenizer).__name__} of "
            f"{config.encoder!r}",
            "name an encoder with a tokenizer.json",
        )
    # A document must have space for at least one token of text.
    special = tokenizer.num_special_tokens_to_add()
    if config.max_length <= special:
        raise XmcpipeError(
            f"expected tokenize.max_length > {special} (the special tokens), got {config.max_length}",
            f"set it to {special + 1} or more",
        )
    if config.stride >= config.max_length - special:
        raise XmcpipeError(
            f"expected tokenize.stride < {config.max_length - special} (max_length without the special "
            f"tokens), got {config.stride}",
            f"set it to {config.max_length // 4} or less",
        )
    longest = _max_tokens(config.encoder, tokenizer)
    if longest is not None and config.max_length > longest:
        raise XmcpipeError(
            f"expected tokenize.max_length <= {longest}, the maximum of {config.encoder}, got "
            f"{config.max_length}",
            f"set it to {longest} or less, or name another encoder",
        )
    return tokenizer


def _max_tokens(encoder: str, tokenizer: Any) -> int | None:
    """The maximum number of tokens of the encoder; None if its positions are relative, or not configured."""
    from xmcpipe.modeling.encoder import config_of

    model = config_of(encoder)
    positions = getattr(model, "max_position_embeddings", None)
    if positions is None or positions < 1 or not getattr(model, "position_biased_input", True):
        return None
    # RoBERTa and its relatives number positions from padding id + 1, so 514 positions hold 512 tokens. Only
    # the tokenizer states the 512.
    stated = int(tokenizer.model_max_length)
    return stated if positions - 2 <= stated < positions else int(positions)


def _backend_text(tokenizer: Any, pieces: Pieces) -> str:
    """The tokenizer as JSON text, which cuts texts into `pieces` without padding, whatever was saved."""
    # The saved tokenizer must give the ids of the shards for tokenizer(text, truncation=True).
    tokenizer.model_max_length = pieces.max_length
    backend = tokenizer.backend_tokenizer
    pieces.set_up(backend, tokenizer.truncation_side)
    return str(backend.to_str())


def _filler(tokenizer: Any) -> int:
    """The id of the token that replaces an empty text, if the tokenizer adds no special tokens."""
    for token in (tokenizer.eos_token_id, tokenizer.unk_token_id, tokenizer.pad_token_id):
        if token is not None:
            return int(token)
    return 0


TOKENIZE = Stage(
    name="tokenize",
    kind="shards",
    config=TokenizeConfig,
    schema_version=SHARDS_VERSION,
    inputs=("raw",),
    run=run,
    help="Turn texts into shards of token ids.",
)
