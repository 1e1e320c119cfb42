"""Random words of a batch, layers that read them, and their part of scores and gradients in float64.

B rows, L labels, K' words that a label reads, U different words of the batch.
"""

import numpy as np
import torch
from torch import Tensor

from tests.kernels.cases.batch import numbers
from xmcpipe.ops.word_layer import MAX_WORDS, NO_WORD, BatchWords, WordLayer


def make_words(
    num_rows: int, num_words: int, seed: int = 0, whole: bool = False, device: str = "cpu"
) -> BatchWords:
    """`num_words` of 65,535 words, each in a third of the documents, the lowest and highest ids among them.

    With `whole`, values are whole numbers from 1 to 3.
    """
    random = torch.Generator().manual_seed(seed)
    used_U = torch.randperm(MAX_WORDS - 2, generator=random)[:num_words] + 1
    used_U[:2] = torch.tensor([0, MAX_WORDS - 1])[:num_words]
    has_UB = torch.rand(num_words, num_rows, generator=random) < 1 / 3
    has_UB[torch.arange(num_words), torch.arange(num_words) % num_rows] = True
    word_T, rows_T = has_UB.nonzero().unbind(1)
    values_T = torch.rand(len(word_T), generator=random) + 0.1
    if whole:
        values_T = torch.randint(1, 4, (len(word_T),), generator=random).float()
    words = BatchWords.of(used_U[word_T], values_T, rows_T, num_rows)
    return BatchWords(*(tensor.to(device) for tensor in words))


def make_word_layer(
    words: BatchWords, num_labels: int, fan_in: int, dtype: torch.dtype, seed: int = 0
) -> WordLayer:
    """A label has any number of words of the batch, others, and fewer than `fan_in` in all.

    The first label has as many words of the batch as fit, the second has none of any kind. Weights are small
    whole numbers of eighths; those of words that the batch lacks are NaN, and must not be used.
    """
    random, place = np.random.default_rng(seed), words.place.cpu().numpy()
    held, others = (np.flatnonzero(each[:NO_WORD]) for each in (place >= 0, place < 0))
    index_LK = np.full((num_labels, fan_in), NO_WORD, np.uint16)
    for label in range(num_labels):
        active = fan_in if label == 0 else 0 if label == 1 else random.integers(fan_in + 1)
        active = min(active, len(held))
        rest = 0 if label <= 1 else random.integers(fan_in - active + 1)
        chosen = [random.choice(held, active, replace=False), random.choice(others, rest, replace=False)]
        places = random.choice(fan_in, active + rest, replace=False)
        index_LK[label, places] = np.concatenate(chosen)
    index = torch.from_numpy(index_LK)
    weight = numbers((num_labels, fan_in), torch.Generator().manual_seed(seed), whole=True) / 8
    weight[~active_connections(BatchWords(words.place.cpu(), words.values_UB), index)] = torch.nan
    device = words.place.device
    return WordLayer(weight.to(dtype).to(device), index.to(device))


def active_connections(words: BatchWords, index_LK: Tensor) -> Tensor:
    """Whether the word of a connection is in the batch, bool [L, K']."""
    return words.place[index_LK.to(torch.int64)] >= 0


def exact_scores(words: BatchWords, layer: WordLayer) -> Tensor:
    """The words' part of the scores, float64 [B, L]."""
    weight_LK = torch.where(active_connections(words, layer.index), layer.weight.double(), 0.0)
    return torch.einsum("lk,lkb->bl", weight_LK, _values(words, layer))


def exact_gradient(grad_BL: Tensor, words: BatchWords, layer: WordLayer) -> Tensor:
    """The gradient of the summed loss by the weights, float64 [L, K']; 0 for words that the batch lacks."""
    return torch.einsum("bl,lkb->lk", grad_BL.double(), _values(words, layer))


def _values(words: BatchWords, layer: WordLayer) -> Tensor:
    """The values of the words of each connection, float64 [L, K', B]."""
    none = words.values_UB.new_zeros(1, words.values_UB.shape[1])
    # A place of -1 is the last row.
    place_LK = words.place[layer.index.to(torch.int64)].to(torch.int64)
    return torch.cat([words.values_UB, none]).double()[place_LK]
