"""Macros that several CUDA kernels have, as (name, legal values), and conditions on their combinations."""

from xmcpipe.ops.nvrtc.variant import Macros

FORMATS = (1, 0, 2)  # bfloat16 first: a macro's first value is its default
WEIGHT, FEATURE = ("WEIGHT", FORMATS), ("FEATURE", FORMATS)
E4M3 = 3  # weights of 8 bits
EVERY_WEIGHT, WEIGHT_OF_8_BITS = ("WEIGHT", (*FORMATS, E4M3)), ("WEIGHT", (E4M3,))
# LOSS is 0 or a `kernel_code` of ops/losses; MOMENTUM is 0 for none, 1 for the weight's format, 2 for
# bfloat16.
LOSS, MOMENTUM = ("LOSS", (0, 1, 2)), ("MOMENTUM", (0, 1, 2))
HALF_WEIGHT, WITH_LOSS = ("WEIGHT", (1, 2)), ("LOSS", (1, 2))
SMALL_WEIGHT = ("WEIGHT", (1, 2, E4M3))  # of kernels on tensor cores, which multiply 16-bit numbers


def momentum_format(macros: Macros) -> int:
    """The number format of momentum: 2 stands for bfloat16, everything else for the weight's format."""
    return 1 if macros["MOMENTUM"] == 2 else macros["WEIGHT"]


def half_format(macros: Macros) -> int:
    """The number format of features and gradients on tensor cores; weights of 8 bits become bfloat16."""
    return 1 if macros["WEIGHT"] == E4M3 else macros["WEIGHT"]


def momentum_of_16_bits(macros: Macros, _: int) -> bool:
    """Beside weights of 8 bits momentum is bfloat16."""
    return not (macros["WEIGHT"] == E4M3 and macros["MOMENTUM"] == 1)


def momentum_of_updates(macros: Macros, architecture: int) -> bool:
    """Only a kernel that updates weights reads momentum."""
    of_updates = bool(macros["UPDATE"] or not macros["MOMENTUM"])
    return of_updates and momentum_of_16_bits(macros, architecture)


def initial_of_losses(macros: Macros, _: int) -> bool:
    """Only scores with a loss have a buffer by label that words' scores may be in."""
    return bool(macros["LOSS"] or not macros["INITIAL"])
