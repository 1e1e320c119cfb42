"""The table of the CUDA kernels: their files, macros and optional pointers; the files explain each macro.

To add a kernel, or a value of a macro, add a line here. Then it can be launched, `xmcpipe kernels build`
compiles it, and the tests compile it for every architecture.
"""

from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES
from xmcpipe.ops.nvrtc.group_kernels import GROUP_KERNELS
from xmcpipe.ops.nvrtc.macros import (
    EVERY_WEIGHT,
    FEATURE,
    FORMATS,
    HALF_WEIGHT,
    LOSS,
    MOMENTUM,
    SMALL_WEIGHT,
    WEIGHT,
    WEIGHT_OF_8_BITS,
    WITH_LOSS,
    half_format,
    initial_of_losses,
    momentum_format,
    momentum_of_16_bits,
    momentum_of_updates,
)
from xmcpipe.ops.nvrtc.variant import Kernel, Macros

GROUP, SHARED, THREADS = ("GROUP", (8, 4, 2, 1)), ("SHARED", (1, 0)), ("THREADS", (256, 512))
# kernels/ffi_step.cu: how it splits the scores over warps, and an upper bound of its static shared memory.
STEP_WARPS, STEP_SCORE_ROWS, STEP_STATIC_BYTES = 8, 16, 1280
STEP_THREADS, USUAL_FAN_IN = 32 * STEP_WARPS, 128
# Rows and features of a block, and labels at a time, of both kernels of a step.
STEP_SIZES = (("BATCH", (64, 32, 16)), ("FEATURES", (768, 512, 384, 256, 128)), ("TILE", (32, 16)))
WGMMA_SIZES = (("BATCH", (64,)), ("FEATURES", (768, 384)), ("TILE", (64,)))


def _tensor_cores_of_bfloat16(macros: Macros, architecture: int) -> bool:
    """Tensor cores multiply bfloat16 on sm_80 and newer; without them GRADIENT_PARTS has no effect."""
    return architecture >= 80 if macros["TENSOR"] else macros["GRADIENT_PARTS"] == 2


def step_bytes(macros: Macros) -> int:
    """Dynamic shared memory of ffi_step, in bytes; kernels/README.md draws the layout.

    It holds the features, the weights and partial scores of a tile (whose place dW uses later), gradients,
    and the bitmask of positives.
    """
    batch, features, tile = macros["BATCH"], macros["FEATURES"], macros["TILE"]
    splits = STEP_WARPS * STEP_SCORE_ROWS // batch  # parts of the features, each with its partial scores
    work = max(2 * tile * features + 4 * splits * tile * (batch + 8), 4 * tile * features)
    gradients, bitmask = 2 * macros["GRADIENT_PARTS"] * tile * batch, 4 * tile * max(batch // 32, 1)
    return 2 * features * batch + work + gradients + bitmask


def cluster_bytes(macros: Macros, fan_in: int) -> int:
    """Dynamic shared memory of ffi_step_cluster, in bytes: that of ffi_step, the state of the block, and the
    gradients that it receives of its labels' weights (kernels/step/exchange.cuh).
    """
    tile, cluster = macros["TILE"], macros["CLUSTER"]
    state = 64 + 4 * (STEP_THREADS + 3 * tile)
    return step_bytes({**macros, "GRADIENT_PARTS": 1}) + state + 4 * (cluster - 1) * tile // cluster * fan_in


def wgmma_bytes(macros: Macros, fan_in: int) -> int:
    """Dynamic shared memory of ffi_step_wgmma, in bytes; kernels/step/layout.cuh draws the layout.

    It holds features, a tile of 64 labels, gradients, the bitmask of positives, the state of the block, and
    partial scores. In the place of these a block of a cluster receives gradients of its labels' weights.
    """
    rows, labels, others = macros["BATCH"], macros["TILE"], macros["CLUSTER"] - 1
    own = labels // macros["CLUSTER"]
    state = 32 + 4 * (labels + STEP_THREADS + 2 * labels + others * (own + 4))
    work = 4 * max(rows * labels, others * own * fan_in)
    return 2 * macros["FEATURES"] * (rows + labels) + 2 * rows * labels + 8 * labels + state + work


def _hopper(_: Macros, architecture: int) -> bool:
    """wgmma is an instruction of sm_90 alone."""
    return architecture == 90


def _step_fits(macros: Macros, architecture: int) -> bool:
    """ffi_step needs tensor cores, its tile must fit in shared memory, and momentum has 16 bits at least."""
    limit = ARCHITECTURES[f"sm_{architecture}"]
    fits = architecture >= 80 and step_bytes(macros) + STEP_STATIC_BYTES <= limit
    return fits and momentum_of_16_bits(macros, architecture)


def _cluster_fits(macros: Macros, architecture: int) -> bool:
    """Clusters came with sm_90. Everything must fit in shared memory at a usual fan-in."""
    first = 80 if macros["CLUSTER"] == 1 else 90
    limit = ARCHITECTURES[f"sm_{architecture}"]
    return architecture >= first and cluster_bytes(macros, USUAL_FAN_IN) <= limit


def _one_row_without_groups(macros: Macros, _: int) -> bool:
    """For a single row, one lane computes a label."""
    return not macros["ONE_ROW"] or macros["GROUP"] == 1


_TABLE = (
    Kernel(
        entry="ffi_scores",
        threads=256,
        macros=(EVERY_WEIGHT, FEATURE, LOSS, GROUP, SHARED, THREADS, ("INITIAL", (0, 1))),
        varied=(
            ("WEIGHT", "FEATURE"),
            (WEIGHT, WITH_LOSS, "INITIAL"),
            (WEIGHT_OF_8_BITS, WITH_LOSS),
            ("GROUP", "SHARED"),
            ("THREADS",),
            (("LOSS", (2,)), ("INITIAL", (1,)), "GROUP", "SHARED"),
        ),
        allows=initial_of_losses,
        optional=("bias_L", "partial_loss", "positive_rows", "positive_labels"),
    ),
    Kernel(
        entry="ffi_grad_weight",
        threads=256,
        macros=(EVERY_WEIGHT, FEATURE, ("UPDATE", (0, 1)), MOMENTUM, GROUP, SHARED, THREADS),
        varied=(
            ("WEIGHT", "FEATURE"),
            ("WEIGHT", ("UPDATE", (1,)), "MOMENTUM"),
            ("GROUP", "SHARED"),
            ("GROUP", ("UPDATE", (1,))),
            ("UPDATE", "THREADS"),
        ),
        allows=momentum_of_updates,
        optional=("dweight_LK", "weight_LK", "momentum_LK", "bias_L", "scale", "rate", "step"),
        formats=(("momentum_t", momentum_format),),
    ),
    Kernel(
        entry="ffi_grad_features",
        threads=256,
        macros=(
            EVERY_WEIGHT,
            ("TENSOR", (1, 0)),
            ("GRADIENT_PARTS", (2, 1)),
            ("ROWS", (64, 32, 16)),
            ("BLOCKS", (2, 1)),
        ),
        varied=(("WEIGHT", "TENSOR"), ("BLOCKS",), ("GRADIENT_PARTS", WEIGHT), ("TENSOR", "ROWS")),
        allows=_tensor_cores_of_bfloat16,
    ),
    Kernel(
        entry="ffi_grad_features_sum",
        threads=256,
        file="ffi_grad_features.cu",
        macros=(("TENSOR", (0,)),),  # with 1, sm_75 can't compile the file
        varied=(("TENSOR",),),
    ),
    Kernel(
        entry="ffi_step",
        threads=STEP_THREADS,
        macros=(
            SMALL_WEIGHT,
            WITH_LOSS,
            MOMENTUM,
            *STEP_SIZES,
            ("GRADIENT_PARTS", (1, 2)),
        ),
        varied=(
            ("WEIGHT", "LOSS"),
            ("WEIGHT", "MOMENTUM"),
            (HALF_WEIGHT, "GRADIENT_PARTS"),
            ("BATCH", "TILE"),
            ("FEATURES",),
            (("BATCH", (32,)), ("FEATURES", (768, 384)), "TILE"),
        ),
        allows=_step_fits,
        optional=("bias_L", "momentum_LK"),
        formats=(("half_t", half_format), ("momentum_t", momentum_format)),
    ),
    Kernel(
        entry="ffi_step_cluster",
        threads=STEP_THREADS,
        macros=(HALF_WEIGHT, WITH_LOSS, MOMENTUM, ("CLUSTER", (1, 2, 4, 8)), *STEP_SIZES),
        varied=(
            ("WEIGHT", "LOSS"),
            ("CLUSTER", "TILE"),
            ("WEIGHT", "MOMENTUM", ("CLUSTER", (2,))),
            (("CLUSTER", (1, 2)), ("BATCH", (64, 32)), ("FEATURES", (384,)), "TILE"),
        ),
        allows=_cluster_fits,
        optional=("bias_L", "momentum_LK"),
        formats=(("half_t", half_format), ("momentum_t", momentum_format)),
    ),
    Kernel(
        entry="ffi_step_wgmma",
        threads=STEP_THREADS,
        file="wgmma/ffi_step_wgmma.cu",
        macros=(("WEIGHT", (1,)), WITH_LOSS, MOMENTUM, ("CLUSTER", (1, 2)), *WGMMA_SIZES),
        varied=(
            ("WEIGHT", "LOSS", "CLUSTER"),
            ("MOMENTUM", "CLUSTER"),
            ("CLUSTER", "BATCH", "FEATURES", "TILE"),
        ),
        allows=_hopper,
        suffix="a",
        optional=("bias_L", "momentum_LK"),
        formats=(("half_t", half_format), ("momentum_t", momentum_format)),
    ),
    Kernel(entry="ffi_step_sum", threads=256),
    Kernel(
        entry="ffi_topk",
        threads=256,
        macros=(EVERY_WEIGHT, FEATURE, ("ONE_ROW", (0, 1)), GROUP, SHARED, ("ROOM", (128, 256))),
        varied=(
            ("WEIGHT", "FEATURE"),
            ("GROUP", "SHARED"),
            ("ROOM",),
            (("ONE_ROW", (1,)), ("GROUP", (1,)), WEIGHT, "SHARED"),
            (("ONE_ROW", (1,)), ("GROUP", (1,)), "FEATURE"),
        ),
        allows=_one_row_without_groups,
        optional=("bias_L",),
    ),
    Kernel(entry="ffi_topk_merge", threads=128, file="ffi_topk.cu"),
    Kernel(
        entry="ffi_word_scores",
        threads=256,
        blocks=4,
        macros=(WEIGHT, ("BY_LABEL", (1, 0)), GROUP),
        varied=(("WEIGHT",), ("BY_LABEL", "GROUP")),
    ),
    Kernel(
        entry="ffi_word_update",
        threads=256,
        blocks=2,
        macros=(WEIGHT, GROUP),
        varied=(("WEIGHT", "GROUP"),),
    ),
    Kernel(
        entry="ffi_rewire",
        threads=64,
        macros=(EVERY_WEIGHT, ("MOMENT", FORMATS)),
        varied=(("WEIGHT", ("MOMENT", (1, 0))), ("MOMENT",)),
        optional=("moment0_LK", "moment1_LK", "ties_before_L"),
    ),
    Kernel(
        entry="ffi_rewire_ties",
        threads=256,
        file="ffi_rewire.cu",
        macros=(EVERY_WEIGHT,),
        varied=(("WEIGHT",),),
    ),
)
KERNELS: dict[str, Kernel] = {kernel.entry: kernel for kernel in (*_TABLE, *GROUP_KERNELS)}
