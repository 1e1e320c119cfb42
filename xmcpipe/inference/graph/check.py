"""Whether onnxruntime finds the same labels in a graph as torch in the model that it was made of.

B rows, S tokens, W words, k labels.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.graph.model import GRAPH
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.topk import top_labels_of

TOLERANCE = 5e-5  # of a score, relative to the largest one: sums in another order differ by less
BATCHES = (1, 3, 8)  # rows
K = 10
LABEL_CHUNK = 32_768
Arrays = dict[str, npt.NDArray[Any]]


class Agreement(NamedTuple):
    """How many documents were compared, and the largest difference of scores."""

    documents: int
    difference: float


def require_same(model: Model, folder: Path, num_tokens: int, max_length: int) -> Agreement:
    """Compare the graph in `folder` with `model`, on random documents of any length up to `max_length`.

    Token ids are below `num_tokens`. Raises XmcpipeError if scores differ by more than rounding, or if a
    label has another place among the best, although its score isn't equal to its neighbour's.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen kinds of its own
        raise _differs(f"onnxruntime can't read it: {error}") from error
    draw, k = np.random.default_rng(0), min(K, model.head.num_labels)
    documents, difference = 0, 0.0
    for rows in BATCHES:
        inputs = _random_inputs(model, draw, rows, num_tokens, max_length)
        try:
            found = session.run(["labels", "scores"], {**inputs, "k": np.array([k])})
        except Exception as error:
            raise _differs(f"onnxruntime can't run it: {error}") from error
        difference = max(difference, _compare(found, _expected(model, inputs, k), k))
        documents += rows
    return Agreement(documents, difference)


def _random_inputs(
    model: Model, draw: np.random.Generator, rows: int, num_tokens: int, max_length: int
) -> Arrays:
    """A padded batch; the longest document has `max_length` tokens."""
    lengths = draw.integers(1, max_length + 1, rows)
    lengths[0] = max_length
    mask = (np.arange(max_length) < lengths[:, None]).astype(np.int64)
    inputs = {"input_ids": draw.integers(0, num_tokens, mask.shape), "attention_mask": mask}
    if model.words is not None:
        ids = draw.permuted(np.tile(np.arange(len(model.words.idf)), (rows, 1)), axis=1)[:, : max_length + 1]
        weights = draw.random(ids.shape, np.float32) * (draw.random(ids.shape) < 0.7)  # 0 as padding has
        norms = np.sqrt(np.square(weights).sum(1, keepdims=True))
        inputs |= {"word_ids": ids, "word_weights": weights / np.maximum(norms, np.float32(1e-6))}
    return inputs


@torch.inference_mode()
def _expected(model: Model, inputs: Arrays, k: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Labels and scores of the k + 1 best labels by torch; k, if the model has no more."""
    input_ids, mask = (torch.from_numpy(inputs[name]) for name in ("input_ids", "attention_mask"))
    features_BD, words = model.features(model.embed(input_ids, mask)), None
    if model.words is not None:
        rows, columns = np.nonzero(inputs["word_weights"])
        ids, weights = (inputs[name][rows, columns] for name in ("word_ids", "word_weights"))
        words = model.words.batch(rows, ids, weights, len(mask))
    k = min(k + 1, model.head.num_labels)
    labels_BK, scores_BK = top_labels_of(model, features_BD, k, LABEL_CHUNK, words)
    return labels_BK.numpy(), scores_BK.numpy()


def _compare(found: Any, expected: tuple[npt.NDArray[Any], npt.NDArray[Any]], k: int) -> float:
    """The largest difference of scores at the same rank."""
    (labels, scores), (right, right_scores) = found, expected
    if labels.shape != scores.shape or labels.shape != right[:, :k].shape:
        raise _differs(f"expected {list(right[:, :k].shape)} labels, got {list(labels.shape)}")
    difference = float(np.abs(scores - right_scores[:, :k]).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(right_scores).max()))
    if not difference <= allowed:  # also if it is no number
        raise _differs(f"scores differ by {difference:.2g}, of which rounding explains {allowed:.2g}")
    for row, rank in np.argwhere(labels != right[:, :k]):
        # Another label is as good if torch gives it an equal score; of one beyond its k + 1 best, that of the
        # last is an upper bound.
        (place,) = np.nonzero(right[row] == labels[row, rank])
        score = right_scores[row, place[0] if len(place) else -1]
        if abs(score - right_scores[row, rank]) > 2 * allowed:
            raise _differs(f"label {rank + 1} of a document is {labels[row, rank]}, not {right[row, rank]}")
    return difference


def _differs(reason: str) -> XmcpipeError:
    message = f"the ONNX graph isn't the model, so nothing was written: {reason.splitlines()[0]}"
    return XmcpipeError(message, "predict with xmcpipe instead, and report this")
