"""The encoder as nodes: BERT, RoBERTa and DistilBERT (`modeling.plain_encoder`), pooling, intermediate layer.

B rows, S tokens, E width, H attention heads, D features that the head reads.
"""

import math
from typing import Any

import numpy as np
from onnx import TensorProto

from xmcpipe.inference.graph.nodes import Nodes, array_of
from xmcpipe.modeling.encoder import Pooling
from xmcpipe.modeling.plain_encoder import Layer, PlainEncoder

MASKED = np.float32(np.finfo(np.float32).min)  # finite: a row of padding alone gets no NaN


def hidden_states(nodes: Nodes, encoder: PlainEncoder, input_ids: str, mask: str) -> str:
    """The last hidden state, float32 [B, S, E], of `input_ids` and `mask`, int64 [B, S]."""
    hidden = _embedded(nodes, encoder, input_ids)
    one, lowest = (nodes.constant(np.array(each, np.float32)) for each in (1.0, MASKED))
    padding = nodes.add("Sub", one, nodes.add("Cast", mask, to=TensorProto.FLOAT))
    padding = nodes.add("Unsqueeze", nodes.add("Mul", padding, lowest), nodes.numbers(1, 2))  # [B, 1, 1, S]
    for layer in encoder.layers:
        attended = _linear(nodes, layer.attended, _attention(nodes, encoder, layer, hidden, padding))
        hidden = _norm(nodes, layer.attended_norm, nodes.add("Add", attended, hidden))
        inner = nodes.add("Gelu", _linear(nodes, layer.inner, hidden))
        hidden = _norm(nodes, layer.norm, nodes.add("Add", _linear(nodes, layer.outer, inner), hidden))
    return hidden


def pooled(nodes: Nodes, hidden: str, mask: str, pooling: Pooling) -> str:
    """The embedding of each row, float32 [B, E], as `modeling.encoder.pool` computes it."""
    if pooling == "cls":
        return nodes.add("Gather", hidden, nodes.constant(np.array(0)), axis=1)
    weight = nodes.add("Unsqueeze", nodes.add("Cast", mask, to=TensorProto.FLOAT), nodes.numbers(-1))
    total = nodes.add("ReduceSum", nodes.add("Mul", hidden, weight), nodes.numbers(1), keepdims=0)
    count = nodes.add("ReduceSum", weight, nodes.numbers(1), keepdims=0)
    return nodes.add("Div", total, nodes.add("Max", count, nodes.constant(np.array([1.0], np.float32))))


def intermediate(nodes: Nodes, layer: Any, embedding: str) -> str:
    """ReLU of the layer between embedding and head, float32 [B, D]."""
    return nodes.add("Relu", _linear(nodes, layer, embedding))


def _embedded(nodes: Nodes, encoder: PlainEncoder, input_ids: str) -> str:
    tables: Any = encoder.embeddings
    hidden = nodes.add("Gather", nodes.constant(array_of(tables.word_embeddings.weight)), input_ids)
    if hasattr(tables, "token_type_embeddings"):
        first = nodes.constant(array_of(tables.token_type_embeddings.weight[0]))
        hidden = nodes.add("Add", hidden, first)
    places = nodes.constant(array_of(tables.position_embeddings.weight))
    position = nodes.add("Gather", places, _positions(nodes, encoder.offset, input_ids))
    return _norm(nodes, tables.LayerNorm, nodes.add("Add", hidden, position))


def _positions(nodes: Nodes, offset: int | None, input_ids: str) -> str:
    """The position of each token, int64 [S], or [B, S] where padding is not counted."""
    if offset is None:
        length = nodes.add("Squeeze", nodes.add("Shape", input_ids, start=1, end=2), nodes.numbers(0))
        zero, one = (nodes.constant(np.array(each)) for each in (0, 1))
        return nodes.add("Range", zero, length, one)
    start = nodes.constant(np.array(offset))
    real = nodes.add("Cast", nodes.add("Not", nodes.add("Equal", input_ids, start)), to=TensorProto.INT64)
    counted = nodes.add("CumSum", real, nodes.constant(np.array(1)))
    return nodes.add("Add", nodes.add("Mul", counted, real), start)


def _attention(nodes: Nodes, encoder: PlainEncoder, layer: Layer, hidden: str, padding: str) -> str:
    """The mixed values, [B, S, E]; `padding` [B, 1, 1, S] is added to the scores of the keys."""
    heads, width = encoder.num_heads, encoder.config.hidden_size
    query, key, value = (
        nodes.add("Reshape", _linear(nodes, part, hidden), nodes.numbers(0, 0, heads, width // heads))
        for part in (layer.query, layer.key, layer.value)
    )
    scale = nodes.constant(np.array(1.0 / math.sqrt(width // heads), np.float32))
    query = nodes.add("Mul", nodes.add("Transpose", query, perm=[0, 2, 1, 3]), scale)
    key = nodes.add("Transpose", key, perm=[0, 2, 3, 1])
    scores = nodes.add("Add", nodes.add("MatMul", query, key), padding)
    share = nodes.add("Softmax", scores, axis=-1)
    mixed = nodes.add("MatMul", share, nodes.add("Transpose", value, perm=[0, 2, 1, 3]))
    return nodes.add("Reshape", nodes.add("Transpose", mixed, perm=[0, 2, 1, 3]), nodes.numbers(0, 0, width))


def _linear(nodes: Nodes, layer: Any, hidden: str) -> str:
    weight, bias = nodes.constant(array_of(layer.weight).T), nodes.constant(array_of(layer.bias))
    return nodes.add("Add", nodes.add("MatMul", hidden, weight), bias)


def _norm(nodes: Nodes, layer: Any, hidden: str) -> str:
    weight, bias = nodes.constant(array_of(layer.weight)), nodes.constant(array_of(layer.bias))
    return nodes.add("LayerNormalization", hidden, weight, bias, axis=-1, epsilon=layer.eps)
