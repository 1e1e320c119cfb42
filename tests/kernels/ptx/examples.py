"""A few cases of each kernel, with the checks against float64 that the other tests make of the kernels' text.

Every barrier of the kernels runs in one of them: several tiles a block, more rows than a block has, lists
that are cut.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.kernels import (
    test_grad_features,
    test_grad_weight,
    test_rewire_kernel,
    test_scores,
    test_step_cluster,
    test_step_kernel,
    test_topk_kernel,
    test_words_kernel,
)
from tests.kernels.cases.batch import BFLOAT16, make_case
from tests.kernels.cases.step import check_close, check_exact, whole_case
from tests.kernels.cases.update import make_layer
from tests.kernels.wgmma import test_step_wgmma
from xmcpipe.training.rewiring import OneProcess, cut_fraction


@dataclass(frozen=True)
class Example:
    """A check of kernels; `sources` are their files."""

    name: str
    sources: tuple[str, ...]
    check: Callable[[], object]


def _scores() -> None:
    test_scores.test_scores_at_every_tile_edge(test_scores.SCORES[0], 1)


def _losses() -> None:
    """Squared hinge and binary cross entropy; the latter computes exp and log1p."""
    test_scores.test_gradient_at_every_tile_edge(test_scores.LOSSES[1], 1)


def _grad_weight() -> None:
    variant = test_grad_weight.UPDATES[0]
    rows, labels = variant.rows + 1, variant.tile + 3
    test_grad_weight.check_update(variant, variant.case(rows, labels, 150, 72, whole=True))


def _grad_features() -> None:
    variant = test_grad_features.VARIANTS[0]
    labels = 4 * test_grad_features.TILE + 3
    test_grad_features.check(variant, variant.case(variant.rows - 1, labels, 257, 160))


def _step() -> None:
    tile = test_step_kernel.TILES[0]
    test_step_kernel.check_whole(tile, whole_case(31, 4 * tile.tile + 1, 127, 72, BFLOAT16))


def _rounded_step() -> None:
    """Gradients that 16 bits don't hold: one part is rounded at random, in the step's own way."""
    tile = test_step_kernel.ROUNDED[2]
    case = make_case(tile.batch - 3, 2 * tile.tile + 5, 120, 40, tile.weight, tile.weight)
    layer, before = (make_layer(case, tile.weight, tile.momentum) for _ in range(2))
    result = tile.run(case, layer, (0, len(case.index)))
    check_close(case, layer, before, result, tile.loss, tile.gradient_error)


def _step_in_clusters() -> None:
    """Several tiles for each of two clusters, the last one short of labels for a block; or a tile for one."""
    kind = test_step_cluster.Cluster(batch=16, tile=16)
    for labels in (4 * kind.tile + 5, 1):
        case = whole_case(31, labels, 127, 72, BFLOAT16)
        layer, before = (make_layer(case, kind.weight, 0) for _ in range(2))
        check_exact(case, layer, before, kind.run(case, layer), (0, case.num_labels))


def _step_of_warpgroups() -> None:
    """Two tiles for each of two blocks, the last one short of labels."""
    kind = test_step_wgmma.SMALL
    test_step_wgmma.check_whole(kind, whole_case(41, 3 * test_step_wgmma.TILE + 37, 383, 72, BFLOAT16))


def _step_of_paired_warpgroups() -> None:
    """The same, of two clusters; the last tile has a label of the second block, or a cluster has no tile.

    Products have 128 columns.
    """
    for rows, labels, features in ((105, 3 * test_step_wgmma.TILE + 33, 577), (20, 1, 8)):
        case = whole_case(rows, labels, features, min(features, 72), BFLOAT16)
        test_step_wgmma.check_whole(test_step_wgmma.WIDE_PAIR, case)


def _topk() -> None:
    test_topk_kernel.test_rising_scores_cut_the_list_at_every_tile()


def _merge() -> None:
    test_topk_kernel.test_the_merge_cuts_too()


def _rewire() -> None:
    layer = test_rewire_kernel.make_layer(7, 72, 129)
    test_rewire_kernel.assert_same(layer, cut_fraction(layer.weight, 0.2, OneProcess()))


def _words() -> None:
    test_words_kernel.test_scores((33, 70, 64), BFLOAT16)
    test_words_kernel.test_update((33, 70, 64), BFLOAT16)


def _one_row() -> None:
    variant = test_topk_kernel.VARIANTS[4]
    layer = test_topk_kernel.make_layer(1, 700, variant, seed=1)
    expected = test_topk_kernel.sorted_best(layer.scores(), 9)
    test_topk_kernel.assert_same(test_topk_kernel.top(layer, variant, 9), expected)


def _rewire_again() -> None:
    """The limit of the keys is guessed wrongly, so that they are collected again."""
    layer = test_rewire_kernel.make_layer(7, 64, 130, seed=2)
    test_rewire_kernel.assert_same(layer, cut_fraction(layer.weight, 0.3, OneProcess()), tight=True)


EXAMPLES = [
    Example("scores", ("ffi_scores.cu",), _scores),
    Example("losses", ("ffi_scores.cu",), _losses),
    Example("gradient of the weights", ("ffi_grad_weight.cu",), _grad_weight),
    Example("gradient of the features", ("ffi_grad_features.cu",), _grad_features),
    Example("step", ("ffi_step.cu", "ffi_step_sum.cu"), _step),
    Example("step with rounded gradients", ("ffi_step.cu",), _rounded_step),
    Example("step in clusters", ("ffi_step_cluster.cu",), _step_in_clusters),
    Example("step on wgmma", ("wgmma/ffi_step_wgmma.cu",), _step_of_warpgroups),
    Example("step on wgmma in clusters", ("wgmma/ffi_step_wgmma.cu",), _step_of_paired_warpgroups),
    Example("top k", ("ffi_topk.cu",), _topk),
    Example("top k, merge", ("ffi_topk.cu",), _merge),
    Example("rewire", ("ffi_rewire.cu",), _rewire),
    Example("words", ("ffi_word_scores.cu", "ffi_word_update.cu"), _words),
]
# Of variants that the tests leave to `python -m tests.kernels.ptx.barriers`, for their time.
MORE = [
    Example("top k, one row", ("ffi_topk.cu",), _one_row),
    Example("rewire again", ("ffi_rewire.cu",), _rewire_again),
]
