"""The graph of a whole model, and which models have one.

Inputs: input_ids, attention_mask int64 [B, S]; word_ids int64 and word_weights float32 [B, W], of a model
that reads words; k int64 [1], the number of labels. Outputs, best first: labels int64 and scores float32
[B, k].
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.graph.encoder import hidden_states, intermediate, pooled
from xmcpipe.inference.graph.head import Inputs, best_of_head
from xmcpipe.inference.graph.nodes import Constants, Nodes, model_of, value, zeros
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.heads.dense import DenseHead
from xmcpipe.modeling.heads.ffi import FFIHead
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.plain_encoder import FAMILIES, PlainEncoder

GRAPH, DATA = "model.onnx", "model.onnx.data"


def require_exportable(model: Model, folder: Path) -> None:
    """Raise XmcpipeError if the model in `folder` has a part that has no nodes here."""
    hint = "predict with xmcpipe instead"
    if not isinstance(model.encoder, PlainEncoder):
        kind = getattr(model.encoder.config, "model_type", type(model.encoder).__name__)
        known = ", ".join(FAMILIES)
        raise XmcpipeError(
            f"{folder}: expected an encoder of one of the kinds {known} for ONNX, got {kind}", hint
        )
    if model.piece_length:
        raise XmcpipeError(
            f"{folder}: expected a model of documents in one piece for ONNX, got one that cuts long "
            "ones (tokenize.max_pieces)",
            f"train with tokenize.max_pieces = 1, or {hint}",
        )
    for head in model.heads:
        if not isinstance(head, FFIHead | DenseHead):
            raise XmcpipeError(
                f"{folder}: expected a head of kind ffi, dense or bottleneck for ONNX, got {head.shape.kind}",
                hint,
            )
        if not head.owns_all_labels:
            raise XmcpipeError(f"{folder}: expected a head of all labels, got a part of them", hint)


def write_graph(model: Model, folder: Path) -> None:
    """Write the graph of a model in evaluation mode to `folder`/model.onnx, and its weights beside it.

    `require_exportable` has checked the model. Weights are float32.
    """
    with (folder / DATA).open("wb") as file:
        nodes = Nodes(Constants(file, DATA))
        inputs = [value(name, np.int64, "batch", "tokens") for name in ("input_ids", "attention_mask")]
        if model.words is not None:
            inputs.append(value("word_ids", np.int64, "batch", "words"))
            inputs.append(value("word_weights", np.float32, "batch", "words"))
        inputs.append(value("k", np.int64, 1))
        _add_nodes(nodes, model)
        outputs = [value("labels", np.int64, "batch", None), value("scores", np.float32, "batch", None)]
        graph = model_of(nodes, inputs, outputs)
    onnx.save_model(graph, folder / GRAPH)


def _add_nodes(nodes: Nodes, model: Model) -> None:
    hidden = hidden_states(nodes, model.encoder, "input_ids", "attention_mask")
    features = pooled(nodes, hidden, "attention_mask", model.pooling)
    if model.intermediate is not None:
        features = intermediate(nodes, model.intermediate, features)
    num_words = 0 if model.words is None else len(model.words.idf)
    words = None if model.words is None else _dense_words(nodes, num_words)
    k = nodes.add("Min", "k", nodes.numbers(model.head.num_labels))
    inputs = Inputs(features, words, num_words, k)
    found = [best_of_head(nodes, head, inputs, ids) for head, ids in _heads(model)]
    labels, scores = (nodes.add("Concat", *each, axis=1) for each in zip(*found, strict=True))
    _, columns = nodes.add_many("TopK", scores, k, names=("scores", ""), axis=1)
    best = nodes.add("GatherElements", labels, columns, axis=1)
    nodes.add("Cast", best, name="labels", to=onnx.TensorProto.INT64)


def _heads(model: Model) -> list[tuple[Head, Any]]:
    """Each head, with the ids of its labels by place, int32 [n]."""
    head = model.head
    ids_L = np.arange(head.num_labels) if head.order is None else head.order.cpu().numpy()
    heads: list[tuple[Head, Any]] = [(head, ids_L.astype(np.int32))]
    if model.frequent is not None:
        heads.append((model.frequent.head, model.frequent.labels.cpu().numpy().astype(np.int32)))
    return heads


def _dense_words(nodes: Nodes, num_words: int) -> str:
    """The words of each row, float32 [B, V + 1], from ids and weights; padding adds 0."""
    rows = nodes.add("Shape", "word_ids", start=0, end=1)
    shape = nodes.add("Concat", rows, nodes.numbers(num_words + 1), axis=0)
    return nodes.add(
        "ScatterElements", zeros(nodes, shape), "word_ids", "word_weights", axis=1, reduction="add"
    )
