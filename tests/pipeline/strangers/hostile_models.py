"""Model folders that a stranger may have made: each function spoils one good folder in one way."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Spoil = Callable[[Path], object]
DEEP = "[" * 200_000
HUGE = 10**12


def _json(name: str, **changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


def _without(name: str, key: str) -> Spoil:
    def spoil(folder: Path) -> None:
        table = json.loads((folder / name).read_text())
        del table[key]
        (folder / name).write_text(json.dumps(table))

    return spoil


def _head(**changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        table = json.loads((folder / "model.json").read_text())
        table["head"].update(changes)
        (folder / "model.json").write_text(json.dumps(table))

    return spoil


def _text(name: str, text: str | bytes) -> Spoil:
    return lambda folder: (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def _gone(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


def _fifo(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def _sparse(name: str) -> Spoil:
    """A file of a terabyte that takes no space."""
    return lambda folder: os.truncate(folder / name, HUGE)


def _header(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Change the table of the safetensors header."""

    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors"
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        table = json.loads(data[8 : 8 + length])
        change(table)
        header = json.dumps(table).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])

    return spoil


def _entry(**changes: Any) -> Spoil:
    return _header(lambda table: table["head.bias"].update(changes))


def _overlap(table: dict[str, Any]) -> None:
    last = max(table.values(), key=lambda entry: entry["data_offsets"])
    last["data_offsets"] = [place - 8 for place in last["data_offsets"]]


def _deep_header(folder: Path) -> None:
    header = b'{"a":' + DEEP.encode() + b"}"
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def _many_words(folder: Path) -> None:
    _head(word_fan_in=5)(folder)
    _json("model.json", words={"kind": "pairs", "count": HUGE})(folder)


def _other_tokens(folder: Path) -> None:
    """A tokenizer with ids that the encoder has no embeddings for."""
    path = folder / TOKENIZER
    table = json.loads(path.read_text())
    table["model"]["vocab"] = {word: 10 * number for word, number in table["model"]["vocab"].items()}
    path.write_text(json.dumps(table))


def _sparse_header(folder: Path) -> None:
    (folder / TENSORS).write_bytes((HUGE // 2).to_bytes(8, "little"))
    os.truncate(folder / TENSORS, HUGE)


def _pickle_alone(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _labels(**columns: Any) -> Spoil:
    return lambda folder: pq.write_table(pa.table(columns), folder / "labels.parquet")


def _long_labels(folder: Path) -> None:
    """30 labels whose file is small and whose text takes 300 MB."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 30, pa.int32()), pa.array(["x" * 10_000_000]))
    table = pa.table({"label": pa.array([str(row) for row in range(30)]), "text": text.cast(pa.string())})
    pq.write_table(table, folder / "labels.parquet", compression="zstd")


NAMES = [str(row) for row in range(30)]
NOT_UTF8 = pa.array([b"\xff\xfe"] * 30).view(pa.string())
TOKENIZER, TOKENIZER_CONFIG = "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"
CONFIG, TENSORS = "encoder/config.json", "model.safetensors"
CASES: dict[str, tuple[Spoil, str]] = {
    # What a folder holds, and a part of the error that it must get.
    "code": (_json(CONFIG, model_type="stranger", auto_map={"AutoModel": "code.Model"}), "auto_map"),
    "code of a known type": (_json(CONFIG, auto_map={"AutoModel": "code.Model"}), "auto_map"),
    "unknown type": (_json(CONFIG, model_type="stranger"), "stranger"),
    "type of another kind": (_json(CONFIG, model_type=["bert"]), "config.json"),
    "no type": (_without(CONFIG, "model_type"), "config.json"),
    "million layers": (_json(CONFIG, num_hidden_layers=10**6), "num_hidden_layers = 1000000"),
    "negative layers": (_json(CONFIG, num_hidden_layers=-1), "don't match"),
    "wide": (_json(CONFIG, hidden_size=HUGE), "hidden_size = "),
    "other width": (_json(CONFIG, hidden_size=64), "expected shape"),
    "huge vocabulary": (_json(CONFIG, vocab_size=2**62), "vocab_size = "),
    "text as size": (_json(CONFIG, hidden_size="32"), "config.json"),
    "infinite size": (_json(CONFIG, hidden_size=float("inf")), "config.json"),
    "no heads": (_json(CONFIG, num_attention_heads=0), "config.json"),
    "odd heads": (_json(CONFIG, num_attention_heads=5), "config.json"),
    "many labels in config": (_json(CONFIG, model_type="albert", num_labels=10**9), "num_labels = "),
    "deep config": (_text(CONFIG, DEEP), "nested too deeply"),
    "config is a list": (_text(CONFIG, "[]"), "expected a JSON object"),
    "config of a terabyte": (_sparse(CONFIG), "bytes, more than"),
    "config is a pipe": (_fifo(CONFIG), "not an ordinary file"),
    "no config": (_gone(CONFIG), "config.json can't be read"),
    "deep model.json": (_text("model.json", DEEP), "nested too deeply"),
    "model.json is a pipe": (_fifo("model.json"), "not an ordinary file"),
    "model.json is a list": (_text("model.json", "[]"), "expected a JSON object"),
    "model.json in UTF-16": (_text("model.json", "{} ☃".encode("utf-16-be")), "not a model artifact"),
    "no model.json": (_gone("model.json"), "not a model artifact"),
    "no head": (_without("model.json", "head"), "'head' is missing"),
    "head is a list": (_json("model.json", head=[]), "expected a table of the head"),
    "unknown head": (_head(kind="stranger"), "unknown head"),
    "unknown key of the head": (_head(stranger=1), "stranger"),
    "many labels": (_head(num_labels=HUGE), "expected shape"),
    "more labels than an index": (_head(num_labels=2**63), "num_labels"),
    "negative labels": (_head(num_labels=-30), "num_labels"),
    "wide head": (_head(in_features=HUGE), "features D <= 65536"),
    "more features than the encoder has": (_head(in_features=60_000), "expected features below"),
    "features past the encoder's": (_head(first_feature=60_000), "expected features below"),
    "fan-in of zero": (_head(fan_in=0), "head.weight: expected shape"),
    "many words": (_many_words, "don't match"),
    "words of another kind": (_json("model.json", words=[1]), "model.json can't be read"),
    "layer between": (_json("model.json", intermediate=HUGE), "model.json"),
    "pooling": (_json("model.json", pooling="stranger"), "unknown pooling"),
    "length of text": (_json("model.json", max_length="48"), "max_length"),
    "negative length": (_json("model.json", max_length=-1), "max_length"),
    "deep header": (_deep_header, "nested too deeply"),
    "long header": (_text(TENSORS, (2**63).to_bytes(8, "little") + b"{}"), "header is truncated"),
    "sparse header": (_sparse_header, "its header has"),
    "overlap": (_header(_overlap), "begin at"),
    "negative offsets": (_entry(data_offsets=[-120, 0]), "whole numbers of 0 or more"),
    "offsets past the end": (_entry(data_offsets=[HUGE, HUGE + 120]), "begin at"),
    "shape with a fraction": (_entry(shape=[30.0]), "whole numbers"),
    "shape of another size": (_entry(shape=[31]), "expected 124 bytes"),
    "shape that overflows": (_entry(shape=[2**40, 2**40, 2**40]), "more than 2^62"),
    "unknown dtype": (_entry(dtype="F8_STRANGE"), "unknown dtype"),
    "dtype of another kind": (_entry(dtype=[]), "unknown dtype"),
    "entry is a list": (_header(lambda table: table.update({"head.bias": []})), "has no dtype"),
    "no tensor": (_header(lambda table: table.pop("head.bias")), "can't be read as safetensors"),
    "tensors are a pipe": (_fifo(TENSORS), "not an ordinary file"),
    "only a pickle": (_pickle_alone, "can't be read as safetensors"),
    "empty tensors": (_text(TENSORS, b""), "can't be read as safetensors"),
    "deep tokenizer": (_text(TOKENIZER, DEEP), "tokenizer"),
    "tokenizer of a terabyte": (_sparse(TOKENIZER), "bytes, more than"),
    "tokenizer is a pipe": (_fifo(TOKENIZER), "not an ordinary file"),
    "tokenizer is a list": (_text(TOKENIZER, "[]"), "tokenizer"),
    "no tokenizer": (_gone(TOKENIZER), "holds no tokenizer"),
    "ids of the tokenizer": (_other_tokens, "can't encode a text of its tokenizer"),
    "texts longer than positions": (_json("model.json", max_length=1000), "can't encode a text"),
    "longest text": (_json("model.json", max_length=2**62), "max_length"),
    "side of the tokenizer": (_json(TOKENIZER_CONFIG, truncation_side="up"), "tokenizer"),
    "token of another kind": (_json(TOKENIZER_CONFIG, pad_token=[1]), "tokenizer"),
    "settings of the tokenizer": (_text(TOKENIZER_CONFIG, DEEP), "nested too deeply"),
    "numbers as labels": (_labels(label=list(range(30)), text=NAMES), "expected strings in a column 'label'"),
    "lists as texts": (_labels(label=NAMES, text=[[name] for name in NAMES]), "column 'text'"),
    "no texts": (_labels(label=NAMES), "column 'text'"),
    "fewer labels": (_labels(label=NAMES[:3], text=NAMES[:3]), "expected 30 labels, got 3"),
    "labels without a name": (_labels(label=[None, *NAMES[1:]], text=NAMES), "a label has no name"),
    "labels aren't UTF-8": (_labels(label=NOT_UTF8, text=NAMES), "UTF8"),
    "long texts": (_long_labels, "unpacks to more than"),
    "labels are text": (_text("labels.parquet", "label\n"), "can't be read as a vocabulary"),
    "labels are a pipe": (_fifo("labels.parquet"), "vocabulary"),
    "no labels": (_gone("labels.parquet"), "vocabulary"),
}
