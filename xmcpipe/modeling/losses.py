"""How a loss is averaged, and the first bias that minimises it; the losses are in `ops.losses`."""

from torch import Tensor

from xmcpipe.ops.losses.loss import Reduction, loss_named


def scale(loss: str, reduction: Reduction, num_rows: int, num_labels: int) -> float:
    """The factor that turns the sum over all scores into the loss.

    The squared hinge is a mean over B x L. BCE is a sum over L, and over B a mean or a sum (`reduction`).
    """
    return loss_named(loss).scale(reduction, num_rows, num_labels)


def prior_bias(loss: str, counts_L: Tensor, num_documents: int) -> Tensor:
    """The constant score of each label that minimises the loss, float32 [L].

    `counts_L` has the number of documents of each label, of `num_documents` in total.

    A label without documents counts as a tenth of one, so that its bias is finite.
    """
    fraction_L = (counts_L.double().clamp(min=0.1) / max(num_documents, 1)).clamp(max=0.99)
    return loss_named(loss).prior(fraction_L).float()
