"""The words' part of the scores and their update in torch, by dense tiles, on any device.

B rows, L labels, K' words that a label reads, U different words of a batch, R labels of a piece.
"""

import torch
from torch import Tensor

from xmcpipe.ops.rounding import random_bits, round_stochastically
from xmcpipe.ops.word_layer import SEED_OF_WORDS, BatchWords, WordLayer, WordUpdate

TILE_VALUES = 1 << 22  # of the dense tile [R, U]


def scores_(scores_BL: Tensor, words: BatchWords, layer: WordLayer) -> None:
    """See `ops.words.product.word_scores_op_`; `scores_BL` float32."""
    num_words = len(words.values_UB)
    for begin, end in _pieces(len(layer.weight), num_words):
        place_RK = _places(words, layer.index[begin:end], num_words)
        # A column more than U, into which the connections without a word of the batch fall.
        tile_RU = words.values_UB.new_zeros(end - begin, num_words + 1)
        tile_RU.scatter_(1, place_RK, layer.weight[begin:end].float())
        scores_BL[:, begin:end] += words.values_UB.T @ tile_RU[:, :num_words].T


def update_(grad_BL: Tensor, words: BatchWords, layer: WordLayer, update: WordUpdate) -> None:
    """See `ops.words.product.word_update_op_`; `grad_BL` float32."""
    num_words = len(words.values_UB)
    none = grad_BL.new_zeros(1)
    rate_U = torch.cat([update.rate_U, none])
    for begin, end in _pieces(len(layer.weight), num_words):
        place_RK = _places(words, layer.index[begin:end], num_words)
        tile_RU = grad_BL[:, begin:end].T @ words.values_UB.T
        tile_RU = torch.cat([tile_RU, none.expand(end - begin, 1)], 1)
        weight_RK = layer.weight[begin:end]
        new_RK = weight_RK.float() - rate_U[place_RK] * tile_RU.gather(1, place_RK)
        if weight_RK.dtype != torch.float32:
            labels_R = torch.arange(begin, end, device=grad_BL.device) + update.first_label
            seed = update.seed ^ SEED_OF_WORDS
            random_RK = random_bits(seed, update.step, labels_R, weight_RK.shape[1])
            new_RK = round_stochastically(new_RK, random_RK, weight_RK.dtype)
        weight_RK.copy_(new_RK)


def _places(words: BatchWords, index_RK: Tensor, num_words: int) -> Tensor:
    """The place of each connection's word in the batch, int64 [R, K']; U for a word that isn't there."""
    place_RK = words.place[index_RK.to(torch.int64)].to(torch.int64)
    return torch.where(place_RK < 0, num_words, place_RK)


def _pieces(num_labels: int, num_words: int) -> list[tuple[int, int]]:
    rows = max(1, TILE_VALUES // (num_words + 1))
    return [(begin, min(begin + rows, num_labels)) for begin in range(0, num_labels, rows)]
