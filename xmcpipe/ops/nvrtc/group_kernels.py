"""The CUDA kernels for groups of labels that share their features, and the shared memory of their blocks.

They multiply 16-bit numbers on tensor cores, from sm_80 on; weights of 8 bits are decoded to bfloat16. The
files kernels/group_*.cu explain each macro.
"""

from collections.abc import Callable

from xmcpipe.ops.nvrtc.macros import (
    LOSS,
    MOMENTUM,
    SMALL_WEIGHT,
    WEIGHT_OF_8_BITS,
    WITH_LOSS,
    half_format,
    initial_of_losses,
    momentum_format,
    momentum_of_16_bits,
    momentum_of_updates,
)
from xmcpipe.ops.nvrtc.variant import Kernel, Macros

GROUP_SIZES = (16, 8, 32, 64)  # labels of a group; the first is the default
STEP_GROUP_SIZES = (16, 32, 64)  # of the step in one pass
GROUP_SIZE, PARTS = ("GROUP_SIZE", GROUP_SIZES), ("PARTS", (1, 2))
TENSOR_CORES = 80  # the architecture from which on mma.sync takes bfloat16
TILE, ROWS = 64, 64  # labels and rows of the batch at a time
SCORE_STAGES, GRADIENT_STAGES, WEIGHT_STAGES = 3, 4, {1: 3, 2: 2}  # steps in shared memory
GRADIENT_SLOTS = 128  # connections of a step of group_grad_features


def score_bytes(macros: Macros) -> int:
    """Dynamic shared memory of group_scores and group_topk: stages of gathered features, and of weights."""
    slots = min(2 * macros["GROUP_SIZE"], 64)
    return 2 * SCORE_STAGES * slots * (TILE // macros["GROUP_SIZE"] * ROWS + TILE)


def gradient_stage_bytes(macros: Macros) -> int:
    """Shared memory of the stages of group_grad_features: of up to 16 labels each."""
    labels = min(macros["GROUP_SIZE"], 16)
    numbers = labels * (GRADIENT_SLOTS + macros["PARTS"] * macros["ROWS"]) + GRADIENT_SLOTS
    return 2 * GRADIENT_STAGES * numbers


def weight_bytes(macros: Macros) -> int:
    """Dynamic shared memory of group_grad_weight: stages of gathered features, and of gradients."""
    return 2 * WEIGHT_STAGES[macros["PARTS"]] * ROWS * (2 * TILE + macros["PARTS"] * TILE)


def step_bytes(macros: Macros, num_features: int) -> int:
    """Dynamic shared memory of group_step: dX^T, stages of groups, and gradients of two groups."""
    size, slots, batch = macros["GROUP_SIZE"], macros["SLOTS"], macros["BATCH"]
    stage = slots * batch + size * slots + slots
    return 4 * num_features * batch + 2 * (macros["STAGES"] * stage + 2 * size * batch)


def step_static_bytes(macros: Macros) -> int:
    """A bound of the static shared memory of group_step: positives of two groups, and a few numbers."""
    return macros["GROUP_SIZE"] * macros["BATCH"] // 4 + 128


def _on_tensor_cores(
    *conditions: Callable[[Macros, int], bool],
) -> Callable[[Macros, int], bool]:
    """The conditions, and an architecture with tensor cores for bfloat16."""
    return lambda macros, architecture: (
        architecture >= TENSOR_CORES and all(condition(macros, architecture) for condition in conditions)
    )


HALVES = (("half_t", half_format),)
GROUP_KERNELS = (
    Kernel(
        entry="group_scores",
        threads=256,
        blocks=2,
        macros=(SMALL_WEIGHT, GROUP_SIZE, LOSS, ("INITIAL", (0, 1))),
        varied=(
            ("WEIGHT", "LOSS"),
            ("GROUP_SIZE", "LOSS"),
            (WITH_LOSS, ("INITIAL", (1,)), "GROUP_SIZE"),
            (WEIGHT_OF_8_BITS, "GROUP_SIZE", ("LOSS", (0, 2))),
        ),
        allows=_on_tensor_cores(initial_of_losses),
        formats=HALVES,
        optional=(
            *("bias_L", "out_BL", "gradient_LB", "scores_LB", "partial_loss"),
            *("positive_rows", "positive_labels", "step"),
        ),
    ),
    Kernel(
        entry="group_grad_features",
        threads=256,
        macros=(SMALL_WEIGHT, GROUP_SIZE, ("ROWS", (64, 32, 16)), PARTS),
        varied=(("WEIGHT",), ("GROUP_SIZE", "ROWS"), ("ROWS", "PARTS"), (WEIGHT_OF_8_BITS, "GROUP_SIZE")),
        allows=_on_tensor_cores(),
        formats=HALVES,
    ),
    Kernel(
        entry="group_topk",
        threads=256,
        blocks=2,
        macros=(SMALL_WEIGHT, GROUP_SIZE, ("ROOM", (128, 256))),
        varied=(("WEIGHT",), ("GROUP_SIZE", "ROOM"), (WEIGHT_OF_8_BITS, "GROUP_SIZE")),
        allows=_on_tensor_cores(),
        formats=HALVES,
        optional=("bias_L", "label_ids"),
    ),
    Kernel(
        entry="group_step",
        threads=640,
        macros=(
            SMALL_WEIGHT,
            WITH_LOSS,
            MOMENTUM,
            ("GROUP_SIZE", STEP_GROUP_SIZES),
            ("BATCH", (64, 32)),
            ("SLOTS", (64, 128)),
            ("STAGES", (4, 3)),
        ),
        varied=(
            ("WEIGHT", "LOSS"),
            ("WEIGHT", "MOMENTUM"),
            ("GROUP_SIZE", "BATCH", "SLOTS"),
            ("GROUP_SIZE", "STAGES"),
            (WEIGHT_OF_8_BITS, "GROUP_SIZE", "SLOTS"),
        ),
        allows=_on_tensor_cores(momentum_of_16_bits),
        optional=("bias_L", "momentum_LK"),
        formats=(("half_t", half_format), ("momentum_t", momentum_format)),
    ),
    Kernel(
        entry="group_grad_weight",
        threads=256,
        blocks=2,
        macros=(SMALL_WEIGHT, GROUP_SIZE, ("UPDATE", (0, 1)), MOMENTUM, PARTS),
        varied=(
            ("WEIGHT", "UPDATE"),
            ("WEIGHT", ("UPDATE", (1,)), "MOMENTUM"),
            ("GROUP_SIZE", "UPDATE", "PARTS"),
        ),
        allows=_on_tensor_cores(momentum_of_updates),
        optional=("dweight_LK", "weight_LK", "momentum_LK", "bias_L", "scale", "rate", "step"),
        formats=(("half_t", half_format), ("momentum_t", momentum_format)),
    ),
)
