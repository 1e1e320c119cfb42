"""Small models of every kind that has a graph, with random weights, and their folders."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from xmcpipe.data.terms import document_terms
from xmcpipe.modeling.encoder import Pooling
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.heads.ffi import FFIHead
from xmcpipe.modeling.model import Model, ModelShape, build_model
from xmcpipe.modeling.saved import save_model
from xmcpipe.ops.rounding import encoded
from xmcpipe.ops.topology import initial_index, to_index
from xmcpipe.ops.word_layer import NO_WORD
from xmcpipe.pieces import Pieces

WIDTH, LABELS, MAX_LENGTH = 32, 61, 16
TEXTS = [" ".join(f"word{(7 * row + 3 * place) % 150}" for place in range(1 + 5 * row)) for row in range(5)]
SMALL: dict[str, Any] = {
    "vocab_size": 204,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
DISTILBERT = {"vocab_size": 204, "dim": WIDTH, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", SMALL),
    "roberta": ("roberta", {**SMALL, "pad_token_id": 0, "type_vocab_size": 1}),
    "distilbert": ("distilbert", {**DISTILBERT, "max_position_embeddings": 40}),
    "electra": ("electra", {**SMALL, "embedding_size": WIDTH}),
}


@dataclass(frozen=True)
class Kind:
    """What a model is made of; `frequent` labels have a head of their own, `words` are those it reads.

    With `own`, the frequent labels have features of their own.
    """

    head: str = "ffi"
    fan_in: int = 8
    group: int = 1
    bias: bool = True
    dtype: str = "float32"
    words: int = 0
    frequent: int = 0
    own: bool = False
    intermediate: int = 0
    pooling: Pooling = "mean"
    encoder: str = "bert"
    pieces: int = 1
    loss: str = "bce"


KINDS = {
    "plain": Kind(),
    "of 16 bits, without bias": Kind(dtype="bfloat16", bias=False, loss="squared_hinge"),
    "groups": Kind(group=4, fan_in=12),
    "groups of 16 bits": Kind(group=8, dtype="bfloat16", pooling="cls"),
    "every feature": Kind(fan_in=WIDTH),
    "dense": Kind(head="dense"),
    "bottleneck": Kind(head="bottleneck"),
    "wide layer": Kind(intermediate=80, fan_in=20),
    "of 8 bits": Kind(dtype="float8"),
    "frequent labels with features of their own": Kind(frequent=9, own=True, words=4),
    "words": Kind(words=5),
    "frequent labels": Kind(frequent=9),
    "words and frequent labels": Kind(words=6, frequent=7, dtype="bfloat16"),
    "words, groups and frequent labels": Kind(words=4, frequent=6, group=4),
    "roberta": Kind(encoder="roberta", pooling="cls"),
    "distilbert": Kind(encoder="distilbert"),
}


def write(folder: Path, tokenizer: Path, kind: Kind) -> Path:
    """A model artifact without a manifest; `tokenizer` is the folder of one."""
    torch.manual_seed(4)
    model = _model(kind)
    folder.mkdir(parents=True)
    facts = {"recipe": {"train": {"loss": kind.loss}}}
    save_model(folder, model, Pieces(MAX_LENGTH, kind.pieces), facts)
    shutil.copytree(
        tokenizer, folder / "tokenizer", ignore=shutil.ignore_patterns("*.safetensors", "config.json")
    )
    names = [f"lábel {number}" for number in range(LABELS)]
    texts = [None if number % 2 else f"the text of {number}" for number in range(LABELS)]
    pq.write_table(pa.table({"label": names, "text": texts}), folder / "labels.parquet")
    return folder


def _model(kind: Kind) -> Model:
    from transformers import AutoConfig, AutoModel

    family, sizes = ENCODERS[kind.encoder]
    encoder = AutoModel.from_config(AutoConfig.for_model(family, **sizes))
    draw = np.random.default_rng(3)
    vocabulary = np.unique(document_terms(TEXTS, pairs=True).codes)
    width = kind.intermediate or WIDTH
    first = width - width // 2 if kind.own else 0  # of the features of frequent labels
    head = HeadShape(
        kind.head, first or width, LABELS, kind.fan_in, kind.bias, dtype=kind.dtype,
        word_fan_in=kind.words, group=kind.group,
    )  # fmt: skip
    frequent = None
    if kind.frequent:
        own: dict[str, Any] = {
            "num_labels": kind.frequent,
            "fan_in": width - first,
            "in_features": width - first,
            "first_feature": first,
            "word_fan_in": 2 * kind.words,
        }
        own |= {"group": 1, "bias": True}
        frequent = HeadShape(**{**vars(head), **own})
    num_words = len(vocabulary) if kind.words else 0
    shape = ModelShape(head, kind.pooling, kind.intermediate, frequent=frequent, num_words=num_words)
    model = build_model(encoder, shape, draw=True)
    for parameter in encoder.parameters():  # norms and biases too, which begin as 1 and 0
        parameter.data.normal_(0.0, 0.2)
    for part in model.heads:
        _draw_head(part, draw, len(vocabulary))
    if model.words is not None:
        model.words.set(vocabulary, draw.random(len(vocabulary), np.float32) + 1.0)
    if model.frequent is not None:
        labels = np.sort(draw.permutation(LABELS)[: kind.frequent])
        model.frequent.take(torch.from_numpy(labels), model.head)
    return model.eval()


def _draw_head(head: Any, draw: np.random.Generator, num_words: int) -> None:
    drawn = torch.empty(head.weight.shape).normal_(0.0, 0.5)
    head.weight.data.copy_(encoded(drawn, head.weight.dtype))
    if head.bias is not None:
        head.bias.data.normal_()
    if isinstance(head, FFIHead):
        shape = head.shape
        first = initial_index(5, torch.arange(len(head.index)), shape.in_features, shape.fan_in)
        head.index.copy_(to_index(first.int() + shape.first_feature))
        if head.order is not None:
            head.set_order(torch.from_numpy(draw.permutation(head.num_labels).astype(np.int32)))
        if shape.word_fan_in:
            index = np.argsort(draw.random((head.num_labels, num_words)), 1)[:, : shape.word_fan_in]
            index[draw.random(index.shape) < 0.3] = NO_WORD
            head.word_index.copy_(torch.from_numpy(index.astype(np.uint16)))
            head.word_weight.data.normal_()


def run_page(folder: Path) -> str:
    """The program in README.md, with the texts of this module, and JSON lines as its output."""
    program = (folder / "README.md").read_text("utf-8").split("```")[1].removeprefix("python\n")
    program = program.replace('["a first text", "another text"]', json.dumps(TEXTS))
    found = "print(json.dumps([[names[label] for label in row] for row in labels] + [scores.tolist()]))"
    return program[: program.index("for row in labels:")] + found
