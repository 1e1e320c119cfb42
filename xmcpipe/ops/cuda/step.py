"""The fused classifier step on the CUDA kernels: one pass over the labels, or chunk by chunk.

`pass_geometry.one_pass` chooses by shape and card. `step_pass` computes each product densely on tensor cores;
`step_chunks` gathers, and supports any shape and format, and words.
"""

from torch import Tensor

from xmcpipe.ops.cuda import step_chunks, step_pass
from xmcpipe.ops.cuda.geometry import LayerShape, card_of
from xmcpipe.ops.cuda.pass_geometry import one_pass
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.word_layer import Words


def step_(
    features_BD: Tensor, layer: SparseLayer, positives: Positives, loss: str, update: Update, words: Words
) -> tuple[Tensor, Tensor]:
    """See `ops.step.Step`. The caller has checked the arguments with `rows.supports`."""
    shape = LayerShape.of(features_BD, layer, words)
    geometry = one_pass(shape, card_of(features_BD.device))
    if geometry is None:
        return step_chunks.step_(features_BD, layer, positives, loss, update, words)
    return step_pass.step_(features_BD, layer, geometry, positives, loss, update)
