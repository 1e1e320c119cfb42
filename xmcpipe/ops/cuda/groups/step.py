"""The fused classifier step for groups of labels, on the CUDA kernels: one pass over the groups, or chunks.

`geometry.one_pass` chooses by shape and card. `step_chunks` supports any shape, and words.
"""

from torch import Tensor

from xmcpipe.ops.cuda.geometry import LayerShape, card_of
from xmcpipe.ops.cuda.groups import step_chunks, step_pass
from xmcpipe.ops.cuda.groups.geometry import one_pass
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.word_layer import Words


def step_(
    features_BD: Tensor, layer: SparseLayer, positives: Positives, loss: str, update: Update, words: Words
) -> tuple[Tensor, Tensor]:
    """See `ops.step.Step`. The caller has checked the arguments with `geometry.supports`.

    Gradients of the scores are rounded to 16 bits stochastically.
    """
    shape, card = LayerShape.of(features_BD, layer, words), card_of(features_BD.device)
    geometry = one_pass(shape, layer.group, card)
    if geometry is None:
        return step_chunks.step_(features_BD, layer, positives, loss, update, words)
    return step_pass.step_(geometry, features_BD, layer, positives, loss, update)
