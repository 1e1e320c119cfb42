"""Philox4x32-10, a counter-based random generator: a random number depends on (key, counter) alone.

There is no state and no order: a label's random choices are the same on a CPU and a GPU, in one chunk or
many, in one process or several. From Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
Torch has no unsigned 32-bit arithmetic, so words are stored in int64 and masked. An int64 product wraps, and
its lower 64 bits equal those of the unsigned product.

R rows.
"""

import torch
from torch import Tensor

MASK = 0xFFFFFFFF
MULTIPLIER_0, MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
WEYL_0, WEYL_1 = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def philox(counter: Words, key: int) -> Words:
    """Four random 32-bit words, int64 in [0, 2^32), for each counter of four such words.

    `key` is a seed of 64 bits.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key & MASK, (key >> 32) & MASK
    for _ in range(ROUNDS):
        # Each round multiplies two words, swaps the halves of the products, and mixes in the keys.
        product_0, product_1 = c0 * MULTIPLIER_0, c2 * MULTIPLIER_1
        c0, c1, c2, c3 = (
            ((product_1 >> 32) & MASK) ^ c1 ^ k0,
            product_1 & MASK,
            ((product_0 >> 32) & MASK) ^ c3 ^ k1,
            product_0 & MASK,
        )
        k0, k1 = (k0 + WEYL_0) & MASK, (k1 + WEYL_1) & MASK
    return c0, c1, c2, c3


def random_words(seed: int, stream: int | Tensor, rows_R: Tensor, num_columns: int) -> Tensor:
    """Random 32-bit words, int64 [R, num_columns], each a function of (seed, stream, row, column) alone.

    `rows_R`: int64 row numbers below 2^63; `stream` separates the uses of one seed: a number or an
    int64 scalar on the same device, 0 <= stream < 2^32.
    """
    blocks = torch.arange((num_columns + 3) // 4, device=rows_R.device)
    low, high = (rows_R & MASK).unsqueeze(1), ((rows_R >> 32) & MASK).unsqueeze(1)
    zero = torch.zeros(len(rows_R), len(blocks), dtype=torch.int64, device=rows_R.device)
    # The counter is the row (64 bits), the block of four columns, the stream: no two blocks share one.
    words = philox((low + zero, high + zero, blocks + zero, zero + (stream & MASK)), seed)
    return torch.stack(words, dim=2).flatten(1)[:, :num_columns]


def random_normal(seed: int, stream: int, rows_R: Tensor, num_columns: int) -> Tensor:
    """Standard normal numbers, float32 [R, num_columns]: Box-Muller over `random_words`, in float64."""
    words = random_words(seed, stream, rows_R, 2 * num_columns).double()
    # + 1 keeps the logarithm's argument above 0.
    radius = torch.sqrt(-2.0 * torch.log((words[:, 0::2] + 1.0) / 2.0**32))
    return (radius * torch.cos(words[:, 1::2] * (2.0 * torch.pi / 2.0**32))).float()
