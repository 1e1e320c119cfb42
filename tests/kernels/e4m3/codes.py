"""Layers of all codes of E4M3, and what these are by definition.

B rows, L labels, K fan-in.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tests.kernels.cases.batch import BFLOAT16, E4M3, Array, Case, banded, make_case, to_array, to_tensor

NOT_NUMBERS = (0x7F, 0xFF)
FINITE = [code for code in range(256) if code not in NOT_NUMBERS]


def weight_of(code: int) -> float:
    """By E4M3's definition: 4 bits of exponent, biased by 7, 3 of fraction; of 64 times the weight."""
    exponent, fraction = code >> 3 & 15, code & 7
    if code & 127 == 127:
        return float("nan")
    magnitude = 2.0 ** (exponent - 7) * (1 + fraction / 8) if exponent else fraction * 2.0**-9
    return (-1.0 if code & 128 else 1.0) * magnitude / 64


def one_hot_case(fan_in: int, group: int = 1) -> tuple[Case, Tensor]:
    """A case whose score [b, l] is weight [l, b], and these weights: all finite codes, then rows with NaN.

    There are as many rows and features as connections.
    """
    codes = FINITE + [0] * (-len(FINITE) % fan_in)
    codes += [code for each in NOT_NUMBERS for code in [each, *[0x38] * (fan_in - 1)]]
    weight_LK = torch.tensor(codes, dtype=torch.uint8).view(-1, fan_in)
    case = make_case(fan_in, len(weight_LK), fan_in, fan_in, E4M3, BFLOAT16, num_positives=0, group=group)
    index = np.tile(np.arange(fan_in, dtype=np.uint16), (len(case.index), 1))
    x = to_array(torch.eye(fan_in, dtype=torch.bfloat16))
    bias = np.zeros_like(case.bias)
    case = replace(case, weight=banded(weight_LK.numpy()), index=banded(index), x=x, bias=banded(bias))
    return case, torch.tensor([weight_of(code) for code in codes], dtype=torch.float64).view(-1, fan_in)


def check_codes(scores_BL: Array, weights_LK: Tensor) -> None:
    """Scores of a `one_hot_case`: those of labels that read a NaN are NaN, as any score of theirs is."""
    got = to_tensor(scores_BL).T
    hidden = weights_LK.isnan().any(1)
    assert torch.equal(got[~hidden], weights_LK[~hidden])
    assert got[hidden].isnan().all()
