"""`tokenize`: raw text to shards of token ids, with the encoder's own tokenizer and its special tokens."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.artifacts.versions import SHARDS_VERSION
from xmcpipe.config import runtime
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.progress import progress
from xmcpipe.stages.stage import Result, Stage

if TYPE_CHECKING:
    from xmcpipe.data.shards.tokenizing import ShardTask


@dataclass(frozen=True)
class TokenizeConfig:
    """The table [tokenize].

    `encoder` names the model whose tokenizer is used: a hub id, a folder, or package:NAME. `max_length`
    counts special tokens too. `num_workers` processes share the work, 0 for one a core.
    """

    encoder: str
    max_length: int = 128
    rows_per_shard: int = 65_536
    num_workers: int = runtime(0)

    def __post_init__(self) -> None:
        for name, least in (("max_length", 1), ("rows_per_shard", 1), ("num_workers", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} was given, at least {least} was wanted")


def run(config: TokenizeConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write the shards of the splits train, test and label into `out`, the tokenizer, and the raw artifact's
    labels and filter pairs.

    Raises XmcpipeError for an encoder without a fast tokenizer, and for a `max_length` that its special
    tokens alone fill or that the encoder has no positions for.
    """
    from xmcpipe.cores import usable_cores
    from xmcpipe.data.shards.encoding_pool import encode_shards

    raw = inputs["raw"]
    tokenizer = _fast_tokenizer(config)
    tasks, documents = _tasks(config, raw, out, tokenizer)
    tokenizer.save_pretrained(out / "tokenizer")
    for table in ("labels", "filter_train", "filter_test"):  # rows and labels keep their numbers
        if (raw / f"{table}.parquet").is_file():
            shutil.copyfile(raw / f"{table}.parquet", out / f"{table}.parquet")
    # Few rows are one process with a thread a core: a process for each of three small splits would idle
    # most cores.
    full_shards = -(-sum(documents) // config.rows_per_shard)
    num_workers = min(config.num_workers or usable_cores(), full_shards)
    with progress("tokenize", sum(documents), "documents", scale=True) as bar:
        lengths = encode_shards(tasks, num_workers, lambda _, done: bar.update(done.documents))
    figures: dict[str, Any] = {}
    for split in dict.fromkeys(_split(task) for task in tasks):
        parts = [part for task, part in zip(tasks, lengths, strict=True) if _split(task) == split]
        figures[split] = sum(parts[1:], parts[0]).figures()
    rows = {task.out.name: part.documents for task, part in zip(tasks, lengths, strict=True)}
    return Result(figures, rows)


def _split(task: "ShardTask") -> str:
    return task.out.name.split("-")[0]


def _tasks(
    config: TokenizeConfig, raw: Path, out: Path, tokenizer: Any
) -> tuple[list["ShardTask"], list[int]]:
    """A task for each shard, and the number of documents each will hold."""
    from xmcpipe.data.shards.files import shard_path
    from xmcpipe.data.shards.tokenizing import ShardTask, label_ranges, num_rows

    sources = {
        name: require_file(raw / f"{name}.parquet", "the raw artifact")
        for name in ("train", "test", "labels")
    }
    text = _backend_text(tokenizer, config.max_length)
    filler = _filler(tokenizer)
    num_labels = num_rows(sources["labels"])
    tasks, documents = [], []
    for split, source in zip(("train", "test", "label"), sources.values(), strict=True):
        of_labels = split == "label"
        if of_labels:
            ranges = label_ranges(source, config.rows_per_shard)
        else:
            ranges = _row_ranges(num_rows(source), config.rows_per_shard)
        for number, (first, rows, num_documents) in enumerate(ranges):
            path = shard_path(out, split, number)
            task = ShardTask(
                source, first, rows, path, text, config.max_length, filler, num_labels, of_labels
            )
            tasks.append(task)
            documents.append(num_documents)
    return tasks, documents


def _row_ranges(num_rows: int, size: int) -> list[tuple[int, int, int]]:
    return [
        (first, min(size, num_rows - first), min(size, num_rows - first))
        for first in range(0, num_rows, size)
    ]


def _fast_tokenizer(config: TokenizeConfig) -> Any:
    from xmcpipe.modeling.encoder import load_tokenizer

    tokenizer = load_tokenizer(config.encoder)
    if not tokenizer.is_fast:
        raise XmcpipeError(
            f"tokenize.encoder {config.encoder!r} has only a slow tokenizer ({type(tokenizer).__name__}), "
            "a fast one is wanted",
            "name an encoder with a tokenizer.json",
        )
    special = tokenizer.num_special_tokens_to_add()
    if config.max_length <= special:
        raise XmcpipeError(
            f"tokenize.max_length = {config.max_length} leaves no room beside {special} special tokens",
            f"make it {special + 1} or more",
        )
    most = _positions(config.encoder, tokenizer)
    if most is not None and config.max_length > most:
        raise XmcpipeError(
            f"tokenize.max_length = {config.max_length}, but {config.encoder} takes at most {most} tokens",
            f"make it {most} or less, or name another encoder",
        )
    return tokenizer


def _positions(encoder: str, tokenizer: Any) -> int | None:
    """The most tokens the encoder takes; None where it doesn't say, or its positions are only relative."""
    from transformers import AutoConfig

    from xmcpipe.modeling.encoder import locate

    model = AutoConfig.from_pretrained(locate(encoder))
    most = getattr(model, "max_position_embeddings", None)
    if most is None or most < 1 or not getattr(model, "position_biased_input", True):
        return None
    # RoBERTa's kind starts counting after the padding id: 514 positions hold 512 tokens, as its tokenizer
    # knows.
    stated = int(tokenizer.model_max_length)
    return stated if most - 2 <= stated < most else int(most)


def _backend_text(tokenizer: Any, max_length: int) -> str:
    """The tokenizer as JSON text, truncating at `max_length` and not padding, whatever it was saved with."""
    # So that tokenizer(text, truncation=True) of the saved one gives the ids that are in the shards.
    tokenizer.model_max_length = max_length
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(max_length, direction=tokenizer.truncation_side)
    backend.no_padding()
    return str(backend.to_str())


def _filler(tokenizer: Any) -> int:
    """The token that stands for a text without any: only tokenizers that add no special tokens need it."""
    for token in (tokenizer.eos_token_id, tokenizer.unk_token_id, tokenizer.pad_token_id):
        if token is not None:
            return int(token)
    return 0


TOKENIZE = Stage("tokenize", "shards", TokenizeConfig, SHARDS_VERSION, ("raw",), run)
