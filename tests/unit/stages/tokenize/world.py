"""A small encoder and raw artifacts, for the tests of `tokenize`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from xmcpipe.data.schema import LABELS, RAW_DOCUMENTS
from xmcpipe.stages.tokenize import TOKENIZE, TokenizeConfig

WORDS = [f"w{number}" for number in range(40)]
POSITIONS = 32


def make_encoder(folder: Path, special: bool = True) -> Path:
    """A folder with a word-level tokenizer (a text's words are its tokens) and the config of a small BERT."""
    folder.mkdir(parents=True)
    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=20)  # as some published encoders have it: it must not reach the shards
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    options = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": POSITIONS, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    model = {"model_type": "bert", "vocab_size": len(vocabulary), "max_position_embeddings": POSITIONS}
    (folder / "config.json").write_text(json.dumps(model))
    return folder


def write_raw(
    folder: Path, train: list[tuple[str, list[int]]], labels: list[str | None], large: bool = False
) -> Path:
    """A raw artifact, its test split the first document of `train`; `large` as polars writes columns."""
    folder.mkdir(parents=True)
    for split, documents in (("train", train), ("test", train[:1])):
        columns = {
            "id": [f"{split}{number}" for number in range(len(documents))],
            "text": [text for text, _ in documents],
            "labels": [ids for _, ids in documents],
        }
        table = pa.table(columns, schema=RAW_DOCUMENTS)
        if large:
            types = [pa.large_string(), pa.large_string(), pa.large_list(pa.int32())]
            table = table.cast(pa.schema(list(zip(table.column_names, types, strict=True))))
        pq.write_table(table, folder / f"{split}.parquet", row_group_size=7)
    names = [f"label{number}" for number in range(len(labels))]
    pq.write_table(pa.table({"label": names, "text": labels}, schema=LABELS), folder / "labels.parquet")
    return folder


def documents(num: int, seed: int = 0) -> list[tuple[str, list[int]]]:
    random = np.random.default_rng(seed)
    return [
        (" ".join(random.choice(WORDS, random.integers(0, 12))), random.integers(0, 4, 3).tolist())
        for _ in range(num)
    ]


def lists(column: Any) -> list[list[int]]:
    """The rows of a column of integer lists of shards."""
    values, lengths = column.gather(np.arange(len(column.lengths)))
    return [row.tolist() for row in np.split(values, np.cumsum(lengths)[:-1])]


def run(config: TokenizeConfig, raw: Path, out: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The figures and the rows of each file."""
    out.mkdir()
    result = TOKENIZE.run(config, {"raw": raw}, out, out)
    return result.figures, result.rows
