"""The table of the CUDA kernels: their files, macros, null pointers. What a macro means stands there.

A new kernel, or a new value of a macro, is a line here: then it compiles ahead, is tested for every
architecture, and can be launched.
"""

from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES
from xmcpipe.ops.nvrtc.variant import Kernel, Macros

FORMATS = (1, 0, 2)  # bfloat16 first: a macro's first value is its default
WEIGHT, FEATURE = ("WEIGHT", FORMATS), ("FEATURE", FORMATS)
LOSS, MOMENTUM = ("LOSS", (0, 1, 2)), ("MOMENTUM", (0, 1, 2))
GROUP, SHARED, THREADS = ("GROUP", (8, 4, 2, 1)), ("SHARED", (1, 0)), ("THREADS", (256, 512))
LOSSES = {"squared_hinge": 1, "bce": 2}  # values of LOSS
# Of kernels/ffi_step.cu: how it shares out the scores, and what it keeps in static shared memory at most.
STEP_WARPS, STEP_SCORE_ROWS, STEP_STATIC_BYTES = 8, 16, 1280
HALF_WEIGHT, WITH_LOSS = ("WEIGHT", (1, 2)), ("LOSS", (1, 2))


def _momentum_format(macros: Macros) -> int:
    return 1 if macros["MOMENTUM"] == 2 else macros["WEIGHT"]


def _momentum_of_updates(macros: Macros, _: int) -> bool:
    return bool(macros["UPDATE"] or not macros["MOMENTUM"])


def _tensor_cores_of_bfloat16(macros: Macros, architecture: int) -> bool:
    """From sm_80 on; the parts of a gradient are for them alone."""
    return architecture >= 80 if macros["TENSOR"] else macros["GRADIENT_PARTS"] == 2


def step_bytes(macros: Macros) -> int:
    """The dynamic shared memory of ffi_step: x; weights and scores of a tile, or its dW; gradients; marks."""
    batch, features, tile = macros["BATCH"], macros["FEATURES"], macros["TILE"]
    shares = STEP_WARPS * STEP_SCORE_ROWS // batch  # of the features, in a score
    work = max(2 * tile * features + 4 * shares * tile * (batch + 8), 4 * tile * features)
    gradients, marks = 2 * macros["GRADIENT_PARTS"] * tile * batch, 4 * tile * max(batch // 32, 1)
    return 2 * features * batch + work + gradients + marks


def _step_fits(macros: Macros, architecture: int) -> bool:
    """Tensor cores, and room in shared memory."""
    room = ARCHITECTURES[f"sm_{architecture}"]
    return architecture >= 80 and step_bytes(macros) + STEP_STATIC_BYTES <= room


def _one_row_alone(macros: Macros, _: int) -> bool:
    return not macros["ONE_ROW"] or macros["GROUP"] == 1


_TABLE = (
    Kernel(
        entry="ffi_scores",
        threads=256,
        macros=(WEIGHT, FEATURE, LOSS, GROUP, SHARED, THREADS),
        varied=(("WEIGHT", "FEATURE"), ("WEIGHT", WITH_LOSS), ("GROUP", "SHARED"), ("THREADS",)),
        optional=("bias_L", "partial_loss", "positive_rows", "positive_labels"),
    ),
    Kernel(
        entry="ffi_grad_weight",
        threads=256,
        macros=(WEIGHT, FEATURE, ("UPDATE", (0, 1)), MOMENTUM, GROUP, SHARED, THREADS),
        varied=(
            ("WEIGHT", "FEATURE"),
            ("WEIGHT", ("UPDATE", (1,)), "MOMENTUM"),
            ("GROUP", "SHARED"),
            ("GROUP", ("UPDATE", (1,))),
            ("UPDATE", "THREADS"),
        ),
        allows=_momentum_of_updates,
        optional=("dweight_LK", "weight_LK", "momentum_LK", "bias_L", "scale", "rate", "step"),
        formats=(("momentum_t", _momentum_format),),
    ),
    Kernel(
        entry="ffi_grad_features",
        threads=256,
        macros=(
            WEIGHT,
            ("TENSOR", (1, 0)),
            ("GRADIENT_PARTS", (2, 1)),
            ("ROWS", (64, 32, 16)),
            ("BLOCKS", (2, 1)),
        ),
        varied=(("WEIGHT", "TENSOR"), ("BLOCKS",), ("GRADIENT_PARTS", "WEIGHT"), ("TENSOR", "ROWS")),
        allows=_tensor_cores_of_bfloat16,
    ),
    Kernel(
        entry="ffi_grad_features_sum",
        threads=256,
        file="ffi_grad_features.cu",
        macros=(("TENSOR", (0,)),),  # sm_75 couldn't compile the file otherwise
        varied=(("TENSOR",),),
    ),
    Kernel(
        entry="ffi_step",
        threads=256,
        macros=(
            HALF_WEIGHT,
            WITH_LOSS,
            MOMENTUM,
            ("BATCH", (64, 32, 16)),
            ("FEATURES", (768, 512, 384, 256, 128)),
            ("TILE", (32, 16)),
            ("GRADIENT_PARTS", (1, 2)),
        ),
        varied=(
            ("WEIGHT", "LOSS"),
            ("WEIGHT", "MOMENTUM"),
            ("WEIGHT", "GRADIENT_PARTS"),
            ("BATCH", "TILE"),
            ("FEATURES",),
            (("BATCH", (32,)), ("FEATURES", (768, 384)), "TILE"),
        ),
        allows=_step_fits,
        optional=("bias_L", "momentum_LK"),
        formats=(("momentum_t", _momentum_format),),
    ),
    Kernel(entry="ffi_step_sum", threads=256),
    Kernel(
        entry="ffi_topk",
        threads=256,
        macros=(WEIGHT, FEATURE, ("ONE_ROW", (0, 1)), GROUP, SHARED, ("ROOM", (128, 256))),
        varied=(
            ("WEIGHT", "FEATURE"),
            ("GROUP", "SHARED"),
            ("ROOM",),
            (("ONE_ROW", (1,)), ("GROUP", (1,)), "WEIGHT", "SHARED"),
            (("ONE_ROW", (1,)), ("GROUP", (1,)), "FEATURE"),
        ),
        allows=_one_row_alone,
        optional=("bias_L",),
    ),
    Kernel(entry="ffi_topk_merge", threads=128, file="ffi_topk.cu"),
    Kernel(
        entry="ffi_rewire",
        threads=64,
        macros=(WEIGHT, ("MOMENT", FORMATS)),
        varied=(("WEIGHT", ("MOMENT", (1, 0))), ("MOMENT",)),
        optional=("moment0_LK", "moment1_LK", "ties_before_L"),
    ),
    Kernel(
        entry="ffi_rewire_ties", threads=256, file="ffi_rewire.cu", macros=(WEIGHT,), varied=(("WEIGHT",),)
    ),
)
KERNELS: dict[str, Kernel] = {kernel.entry: kernel for kernel in _TABLE}
