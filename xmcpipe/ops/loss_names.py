"""Names of the losses, for code that must not import torch (recipes are read without it).

`ops/losses.py` has an entry for each.
"""

from typing import Literal, get_args

LossName = Literal["squared_hinge", "bce"]
LOSS_NAMES: tuple[str, ...] = get_args(LossName)
