"""The step in one pass over the labels: which kernel and sizes fit a shape and a card, and its workspace.

As `geometry`, which has the step by chunks: pure functions, which the memory planner follows too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product

from xmcpipe.ops.cuda.geometry import (
    FORMATS,
    SUM_BYTES,
    TENSOR_CORES,
    Card,
    LayerShape,
    chunk_workspace_bytes,
    half_dtype,
    persistent_blocks,
)
from xmcpipe.ops.nvrtc.kernel_table import (
    KERNELS,
    STEP_STATIC_BYTES,
    cluster_bytes,
    step_bytes,
    wgmma_bytes,
)
from xmcpipe.ops.nvrtc.variant import Macros

# One pass computes each product densely on tensor cores, so its cost does not depend on K. Chunks gather, so
# their cost grows with K. By the counts in kernels/README.md both cost the same at K = 48, B = 64, D = 768.
MAX_PASS_RATIO = 16  # D / K up to which one pass is faster
# Clusters of blocks take batches of up to 512 rows in one pass. Off until a GPU has timed them (gpu-check's
# step designs): by counts they are faster than chunks.
CLUSTERS = False
THREAD_BLOCK_CLUSTERS = (9, 0)
# wgmma, on sm_90 alone, for up to 128 rows: off until a GPU has timed it, as clusters.
WARPGROUPS = False
WARPGROUP_PRODUCTS = (9, 0)
MAX_PASS_FEATURES = max(dict(KERNELS["ffi_step"].macros)["FEATURES"])


@dataclass(frozen=True)
class PassGeometry:
    """A step in one pass over the labels: its kernel, the macros that depend on the shape, shared memory."""

    entry: str
    macros: Macros
    shared_bytes: int

    @property
    def cluster(self) -> int:
        """Blocks that take a tile of labels together."""
        return self.macros.get("CLUSTER", 1)

    def partials(self, shape: LayerShape, resident: int) -> int:
        """Number of partial dX [B, D]: one of each cluster, whose blocks are `resident` in all."""
        return persistent_blocks(resident, -(-shape.num_labels // self.macros["TILE"]), self.cluster)


def pass_geometries(shape: LayerShape, card: Card) -> Iterator[PassGeometry]:
    """The ways in which one pass can take a step, best first; none if the kernel is not for the shape.

    It supports features and weights of the same 16-bit dtype, or bfloat16 features and weights of 8 bits,
    B <= 64 and D <= 768, on sm_80 and newer, if the features and a tile of labels fit in shared memory.
    """
    for macros in _pass_macros("ffi_step", shape, card):
        shared_bytes = step_bytes(dict(KERNELS["ffi_step"].variant(**macros).macros))
        if shared_bytes + STEP_STATIC_BYTES <= card.shared_bytes:
            yield PassGeometry("ffi_step", macros, shared_bytes)


def cluster_geometries(shape: LayerShape, card: Card) -> Iterator[PassGeometry]:
    """The ways of ffi_step_cluster, best first: as `pass_geometries`, up to B = 512.

    More than one block needs sm_90, and the gradients that a block receives must fit besides: 4 bytes for
    each connection of its labels and each other block.
    """
    for macros in _pass_macros("ffi_step_cluster", shape, card):
        shared_bytes = cluster_bytes(macros, shape.fan_in)
        if shared_bytes <= card.shared_bytes:
            yield PassGeometry("ffi_step_cluster", macros, shared_bytes)


def warpgroup_geometries(shape: LayerShape, card: Card) -> Iterator[PassGeometry]:
    """The way of ffi_step_wgmma: as `pass_geometries` for bfloat16 alone, on sm_90.

    A cluster of two blocks takes B <= 128, if the gradients that a block receives fit.
    """
    if card.capability == WARPGROUP_PRODUCTS:
        for macros in _pass_macros("ffi_step_wgmma", shape, card):
            if (shared_bytes := wgmma_bytes(macros, shape.fan_in)) <= card.shared_bytes:
                yield PassGeometry("ffi_step_wgmma", macros, shared_bytes)


def _pass_macros(entry: str, shape: LayerShape, card: Card) -> Iterator[dict[str, int]]:
    """Formats and sizes of a kernel that has room for the shape."""
    legal, weight_format = dict(KERNELS[entry].macros), FORMATS.get(shape.weight_dtype)
    widths = [size for size in legal["FEATURES"] if size >= shape.num_features]
    if (
        shape.feature_dtype != half_dtype(shape.weight_dtype)
        or weight_format not in legal["WEIGHT"]
        or not widths
        or card.capability < TENSOR_CORES
    ):
        return
    clusters = legal.get("CLUSTER", (1,)) if card.capability >= THREAD_BLOCK_CLUSTERS else (1,)
    sizes = sorted((each[0] * each[1], *each) for each in product(clusters, legal["BATCH"]))
    sizes = [each for each in sizes if each[0] >= shape.num_rows]
    # Few blocks first; then large tiles, since each tile reads all features from shared memory once.
    for (rows, cluster, batch), tile in product(sizes, legal["TILE"]):
        if rows == sizes[0][0]:
            macros = {"CLUSTER": cluster, "BATCH": batch, "FEATURES": min(widths), "TILE": tile}
            yield {"WEIGHT": weight_format, **{name: macros[name] for name in macros if name in legal}}


def one_pass(shape: LayerShape, card: Card) -> PassGeometry | None:
    """The geometry of the step in one pass; None if the step is taken by chunks, as one with words is."""
    if shape.word_bytes or shape.fan_in * MAX_PASS_RATIO < shape.num_features:
        return None
    warpgroups = warpgroup_geometries(shape, card) if WARPGROUPS else iter(())
    clusters = cluster_geometries(shape, card) if CLUSTERS else iter(())
    return next(chain(warpgroups, pass_geometries(shape, card), clusters), None)


def pass_workspace_bytes(shape: LayerShape, partials: int) -> int:
    """Workspace of one pass: the transposed features, and partial dX."""
    return shape.transposed_bytes + SUM_BYTES * partials * shape.num_rows * shape.num_features


def max_partials(geometry: PassGeometry, shape: LayerShape, card: Card) -> int:
    """A bound of the partial dX of one pass: x of 768 features fills a multiprocessor's shared memory."""
    blocks = card.multiprocessors * max(MAX_PASS_FEATURES // shape.num_features, 1)
    return -(-blocks // geometry.cluster)


def max_step_workspace_bytes(shape: LayerShape, card: Card, label_chunk: int) -> int:
    """A bound of the workspace of a step, by the design that takes it on this card."""
    if (geometry := one_pass(shape, card)) is not None:
        return pass_workspace_bytes(shape, max_partials(geometry, shape, card))
    return chunk_workspace_bytes(shape, card, label_chunk)
