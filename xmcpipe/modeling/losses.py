"""How a loss is averaged, and the first bias that minimises it; the losses are in `ops.losses`."""

from torch import Tensor

from xmcpipe.ops.losses.loss import Reduction, loss_named


def scale(loss: str, reduction: Reduction, num_rows: int, num_labels: int) -> float:
    """The factor of the sum over all scores.

    For squared hinge it is the mean over B x L. For BCE it is the sum over L, and over B the mean or the sum.
    """
    return loss_named(loss).scale(reduction, num_rows, num_labels)


def prior_bias(loss: str, counts_L: Tensor, num_documents: int) -> Tensor:
    """The constant score of each label that minimises the loss, float32 [L], from its number of documents.

    A label without documents counts as a tenth of one, so that its bias is finite.
    """
    share_L = (counts_L.double().clamp(min=0.1) / max(num_documents, 1)).clamp(max=0.99)
    return loss_named(loss).prior(share_L).float()
