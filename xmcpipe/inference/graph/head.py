"""A head as nodes: the best labels of each row, chunk by chunk of labels, so that memory stays bounded.

A chunk is a step of a loop (Scan) over the first axis of the weights, which no runtime folds into a dense
matrix or copies. Of a sparse layer the step scatters the weights of its labels into a dense tile [C, D]: its
product with the features was 2 to 4 times as fast as sums over gathered features. Groups gather the features
of their labels once, and multiply small dense matrices. Words are gathered, because a tile of them would be
[C, 65,536].

B rows, D features, V words, L labels, C labels of a chunk, N chunks, G labels of a group, R groups of a
chunk, K features and K' words that a label reads.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, ValueInfoProto

from xmcpipe.inference.graph.nodes import Array, Nodes, array_of, value, zeros
from xmcpipe.modeling.heads import Head
from xmcpipe.modeling.heads.dense import DenseHead
from xmcpipe.modeling.heads.ffi import FFIHead

TILE_VALUES = 1 << 20  # of the dense tile
WORD_VALUES = 1 << 17  # connections to words of a chunk: as many values are gathered for each row
MOST_LABELS = 2048  # of a chunk


@dataclass(frozen=True)
class Inputs:
    """Names of what heads read: `features` float32 [B, D], `words` float32 [B, V + 1], and `k` int64 [1].

    The column V of `words` is 0. `words` is None for a model that reads none.
    """

    features: str
    words: str | None
    num_words: int
    k: str


def best_of_head(nodes: Nodes, head: Head, inputs: Inputs, ids_L: Array) -> tuple[str, str]:
    """Candidates for the k best labels of each row: ids int32 [B, n] and scores float32 [B, n], n >= k.

    `ids_L` int32 [L] is the id of the label at each place. Where a chunk has fewer than k labels, all of its
    labels are candidates; the score of places after the last label is -inf.
    """
    chunk = chunk_labels(head)
    most = nodes.add("Min", inputs.k, nodes.numbers(chunk))
    body, loop = nodes.body("step"), _Loop(head, chunk)
    features = _own_features(nodes, head, _transposed(nodes, _projected(nodes, head, inputs.features)))
    scores = _features_part(body, head, loop, features)
    if head.word_layer is not None and inputs.words is not None:
        words = _transposed(nodes, inputs.words)
        scores = body.add("Add", scores, _words_part(body, head, loop, words, inputs.num_words))
    bias_n = np.zeros(len(ids_L), np.float32) if head.bias is None else array_of(head.bias)
    bias = loop.part("bias", np.pad(bias_n, (0, loop.padding), constant_values=-np.inf), chunk)
    scores = body.add("Add", scores, body.add("Unsqueeze", bias, body.numbers(1)))
    rows = body.add("Transpose", scores, perm=[1, 0])
    _, columns = body.add_many("TopK", rows, most, names=("scores_of_chunk", ""), axis=1)
    body.add(
        "Gather", loop.part("ids", np.pad(ids_L, (0, loop.padding)), chunk), columns, name="labels_of_chunk"
    )
    outputs = [
        value("labels_of_chunk", np.int32, None, None),
        value("scores_of_chunk", np.float32, None, None),
    ]
    parts = [nodes.constant(array) for array in loop.arrays]
    found = nodes.scan(body, loop.inputs, outputs, parts)
    labels, scores = (_joined(nodes, each) for each in found)
    return labels, scores


def chunk_labels(head: Head) -> int:
    """C: as many labels as fit the tile, in whole groups; no more than the head has."""
    group, most = head.shape.group, min(MOST_LABELS, head.num_labels)
    if group == 1:
        most = min(most, max(TILE_VALUES // head.shape.in_features, 1))
    if head.word_layer is not None:
        most = min(most, max(WORD_VALUES // head.shape.word_fan_in, 1))
    return -(-most // group) * group


class _Loop:
    """The arrays that the loop over the chunks of a head walks through, padded to whole chunks."""

    def __init__(self, head: Head, chunk: int) -> None:
        self.chunk, self.num_chunks = chunk, -(-head.num_labels // chunk)
        self.padding = self.num_chunks * chunk - head.num_labels
        self.arrays: list[Array] = []
        self.inputs: list[ValueInfoProto] = []

    def part(self, name: str, array: Array, *sizes: int) -> str:
        """The values of `array` that belong to a chunk, with these sizes; returns their name in the loop."""
        whole = np.zeros((self.num_chunks * int(np.prod(sizes)),), array.dtype)
        whole[: array.size] = array.reshape(-1)
        self.arrays.append(whole.reshape(self.num_chunks, *sizes))
        self.inputs.append(value(f"{name}_of_chunk", array.dtype, *sizes))
        return f"{name}_of_chunk"


def _own_features(nodes: Nodes, head: Head, features_DB: str) -> str:
    """The features that a sparse head may read: all, or a part where the frequent labels have their own."""
    first = head.shape.first_feature
    if not isinstance(head, FFIHead):
        return features_DB
    bounds = (nodes.numbers(number) for number in (first, first + head.shape.in_features, 0))
    return nodes.add("Slice", features_DB, *bounds)


def _features_part(body: Nodes, head: Head, loop: _Loop, features_DB: str) -> str:
    """The scores of a chunk by its features, float32 [C, B]."""
    weight, chunk, width = array_of(head.weight), loop.chunk, head.weight.shape[1]
    if isinstance(head, DenseHead):
        return body.add("MatMul", loop.part("weight", weight, chunk, width), features_DB)
    assert isinstance(head, FFIHead), "`require_exportable` has checked it"
    group, index = head.shape.group, head.index.cpu().numpy() - np.uint16(head.shape.first_feature)
    if width == head.shape.in_features and group == 1:  # a label reads each feature, in any order
        dense = np.empty_like(weight)
        np.put_along_axis(dense, index.astype(np.int64), weight, 1)
        return body.add("MatMul", loop.part("weight", dense, chunk, width), features_DB)
    rows = chunk // group
    index_name = body.add("Cast", loop.part("index", index, rows, width), to=TensorProto.INT64)
    if group == 1:
        tile = zeros(body, body.numbers(chunk, head.shape.in_features))
        weight_name = loop.part("weight", weight, chunk, width)
        dense_CD = body.add("ScatterElements", tile, index_name, weight_name, axis=1)
        return body.add("MatMul", dense_CD, features_DB)
    gathered_RKB = body.add("Gather", features_DB, index_name, axis=0)
    scores_RGB = body.add("MatMul", loop.part("weight", weight, rows, group, width), gathered_RKB)
    return body.add("Reshape", scores_RGB, body.numbers(chunk, -1))


def _words_part(body: Nodes, head: Head, loop: _Loop, words_VB: str, num_words: int) -> str:
    """The scores of a chunk by its words, float32 [C, B]."""
    layer = head.word_layer
    assert layer is not None, "the caller has asked"
    fan_in = layer.weight.shape[1]
    # A connection without a word reads the last row, which is 0. V <= 65,535, so it fits 16 bits.
    index = np.minimum(layer.index.cpu().numpy(), np.uint16(num_words))
    index_name = body.add("Cast", loop.part("word_index", index, loop.chunk, fan_in), to=TensorProto.INT64)
    gathered_CKB = body.add("Gather", words_VB, index_name, axis=0)
    weight_name = loop.part("word_weight", array_of(layer.weight), loop.chunk, 1, fan_in)
    return body.add("Squeeze", body.add("MatMul", weight_name, gathered_CKB), body.numbers(1))


def _projected(nodes: Nodes, head: Head, features: str) -> str:
    """What the weights of the head multiply: the features, or those of a bottleneck."""
    projection: Any = getattr(head, "projection", None)
    if projection is None:
        return features
    return nodes.add("MatMul", features, nodes.constant(array_of(projection.weight).T))


def _transposed(nodes: Nodes, matrix: str) -> str:
    return nodes.add("Transpose", matrix, perm=[1, 0])


def _joined(nodes: Nodes, candidates_NBk: str) -> str:
    """[N, B, k] to [B, N k]."""
    return nodes.add("Reshape", nodes.add("Transpose", candidates_NBk, perm=[1, 0, 2]), nodes.numbers(0, -1))
