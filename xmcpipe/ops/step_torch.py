"""The fused classifier step in plain torch, on any device: dense tiles of labels, products by BLAS.

B rows, D features, L labels, K fan-in, P positives, T labels of a tile.
"""

import torch
from torch import Tensor

from xmcpipe.ops.ffi_torch import DenseTile, tiles
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.losses.loss import loss_named
from xmcpipe.ops.rounding import decoded, random_bits, round_stochastically
from xmcpipe.ops.word_layer import Words
from xmcpipe.ops.words import plain


def step_(
    features_BD: Tensor, layer: SparseLayer, positives: Positives, loss: str, update: Update, words: Words
) -> tuple[Tensor, Tensor]:
    """Compute the step of `ffi_step_`, which has checked the arguments."""
    features_BD = features_BD.float()
    num_labels, num_features = layer.num_labels, features_BD.shape[1]
    grad_features = torch.zeros_like(features_BD)
    loss_sum = features_BD.new_zeros(())
    tile = DenseTile(features_BD, layer, num_features, update.label_chunk)
    loss_in_place = loss_named(loss).in_place
    bounds = list(tiles(num_labels, num_features, update.label_chunk, layer.group))
    # One search finds the positives of all tiles: each search would wait for the GPU.
    edges = torch.tensor([begin for begin, _ in bounds] + [num_labels], device=layer.weight.device)
    first_P = torch.searchsorted(positives.labels, edges).tolist()
    for number, (begin, end) in enumerate(bounds):
        part, pairs = layer.part(begin, end), slice(first_P[number], first_P[number + 1])
        index_TK = part.index_of_labels()
        tile_TD = tile.fill(part.weight, index_TK)
        scores_BT = features_BD @ tile_TD.T
        if part.bias is not None:
            scores_BT += part.bias
        if words is not None:
            plain.scores_(scores_BT, *words.part(begin, end)[:2])
        columns_P = positives.labels[pairs] - begin
        loss_sum += loss_in_place(scores_BT, positives.rows[pairs], columns_P)
        # From here on `scores_BT` holds the gradient. dX needs the tile before dW overwrites it.
        grad_features.addmm_(scores_BT, tile_TD)
        grad_TK = tile.product(scores_BT, features_BD).gather(1, index_TK)
        if part.bias is not None:
            part.bias.sub_(update.rate * update.scale * scores_BT.sum(0))
        update_(part, grad_TK, update, update.first_label + begin)
        if words is not None:
            plain.update_(scores_BT, *words.part(begin, end))
    return loss_sum, grad_features


def update_(part: SparseLayer, grad_TK: Tensor, update: Update, first_label: int) -> None:
    """Update weight and momentum of a part of a layer as torch.optim.SGD does.

    `grad_TK` is the unscaled dW in float32, and is overwritten; `first_label` is the id of the part's first
    label.
    """
    weight_TK = decoded(part.weight)
    step_TK = grad_TK.mul_(update.scale).add_(weight_TK, alpha=update.weight_decay)
    if part.momentum is not None:
        step_TK.add_(part.momentum, alpha=update.momentum_factor)
        part.momentum.copy_(step_TK)
    # Momentum may be stored in 16 bits, but the weight is updated by its unrounded value.
    new_TK = weight_TK.float().sub_(step_TK.mul_(update.rate))
    if part.weight.dtype != torch.float32:
        labels_T = torch.arange(len(part.weight), device=part.weight.device) + first_label
        random_TK = random_bits(update.seed, update.step, labels_T, part.weight.shape[1])
        new_TK = round_stochastically(new_TK, random_TK, part.weight.dtype)
    part.weight.copy_(new_TK)
