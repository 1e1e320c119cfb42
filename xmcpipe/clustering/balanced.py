"""Balanced spherical k-means by recursive halving.

All rows are in one order, which every split refines: a node of the tree is a contiguous range of that order,
and the final clusters are its parts at `boundaries`. A split searches for the direction that separates the
two halves (first the principal axis, by power iteration, then 2-means: the difference of the halves' unit
means). It sorts the node's rows along this direction, and the first ones go to the left, as many as the
clusters on the left hold. So the sizes are exact for any number of clusters.

Some tens of thousands of rows determine a direction as well as millions do. So the iterations in a large node
read only a sample; all rows are read once, to sort them.

All nodes of a level that have the same shape are split together, in batches of a fixed number of bytes, so
that neither Python's overhead nor memory depends on the number of nodes. No BLAS product is used: BLAS sums
depend on the number of threads, and these don't.

Legend: G nodes split together · R rows per node · S rows in the sample · D features · M rows · C clusters.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xmcpipe.clustering.partition import Float32s, Int32s, Int64s, boundaries, cut
from xmcpipe.machine.cores import usable_cores
from xmcpipe.progress import progress

BATCH_BYTES = 16 << 20  # bytes of the vectors of nodes that are split together
SAMPLE_ROWS = 65_536  # maximum rows of a sample; the sample of a larger node has at least half as many
SCORE_ROWS = 16_384  # rows that are scored at a time
POWER_ITERATIONS = 4
MEANS_ITERATIONS = 12
TINY = np.float32(1e-12)


@dataclass(frozen=True)
class _Shape:
    """Nodes of the same shape: each has `num_rows` rows, and `num_left` of them go left.

    `starts` int64 [G] holds the first position of each node in the order.
    """

    starts: Int64s
    num_rows: int
    num_left: int


def balanced_clusters(vectors_MD: Float32s, num_clusters: int, seed: int) -> Int32s:
    """The cluster of each of these unit vectors (float32), int32 [M]; sizes differ by at most one."""
    cuts = boundaries(len(vectors_MD), num_clusters)
    order = np.arange(len(vectors_MD), dtype=np.int64)
    refine(vectors_MD, order, cuts, np.array([0]), np.array([num_clusters]), seed)
    return cut(order, num_clusters)


def refine(vectors_MD: Float32s, order: Int64s, cuts: Int64s, first: Int64s, last: Int64s, seed: int) -> None:
    """Reorder each of some ranges of the rows `order`, in place, so that similar rows are neighbours.

    A range is halved again and again, until each part is one of those between two neighbours of `cuts`
    (ascending). Range i consists of the parts [first[i], last[i]).
    """
    start_D = np.random.default_rng(seed).standard_normal(vectors_MD.shape[1:], np.float32)
    # Each node of a level holds the parts [first, last).
    levels = int(np.ceil(np.log2(max(2, int((last - first).max(initial=0))))))
    splittable = last - first > 1
    first, last = first[splittable], last[splittable]
    with progress("split", levels, "levels") as bar, ThreadPoolExecutor(usable_cores()) as threads:
        while len(first):
            middle = first + (last - first + 1) // 2  # the left half gets the odd cluster
            shapes = _shapes(cuts, first, middle, last)
            batches = [batch for shape in shapes for batch in _batches(shape, vectors_MD)]
            # Batches are disjoint ranges of `order`: the result doesn't depend on the order of the threads.
            for _ in threads.map(lambda batch: _split(vectors_MD, order, batch, start_D), batches):
                pass
            first, last = np.concatenate([first, middle]), np.concatenate([middle, last])
            splittable = last - first > 1
            first, last = first[splittable], last[splittable]
            bar.update(1)


def _shapes(cuts: Int64s, first: Int64s, middle: Int64s, last: Int64s) -> Iterator[_Shape]:
    """Group the nodes of a level by shape; nodes with an empty half need no split."""
    starts, num_rows, num_left = cuts[first], cuts[last] - cuts[first], cuts[middle] - cuts[first]
    kinds, kind_of = np.unique(np.stack([num_rows, num_left], 1), axis=0, return_inverse=True)
    for kind, (rows, left) in enumerate(kinds.tolist()):
        if 0 < left < rows:
            yield _Shape(np.sort(starts[kind_of.ravel() == kind]), rows, left)


def _batches(shape: _Shape, vectors_MD: Float32s) -> Iterator[_Shape]:
    """Divide the nodes of one shape into batches of at most BATCH_BYTES, or one node."""
    size = max(1, BATCH_BYTES // (shape.num_rows * vectors_MD.shape[1] * vectors_MD.itemsize))
    for begin in range(0, len(shape.starts), size):
        yield _Shape(shape.starts[begin : begin + size], shape.num_rows, shape.num_left)


def _split(vectors_MD: Float32s, order: Int64s, shape: _Shape, start_D: Float32s) -> None:
    """Reorder the rows of each node in `order`: the left half first, each half in its old order."""
    places_GR = shape.starts[:, None] + np.arange(shape.num_rows)
    rows_GR = order[places_GR]
    left_GR = _left_halves(vectors_MD, rows_GR, shape.num_left, start_D)
    order[places_GR] = np.take_along_axis(rows_GR, np.argsort(~left_GR, axis=1, kind="stable"), 1)


def _left_halves(
    vectors_MD: Float32s, rows_GR: Int64s, num_left: int, start_D: Float32s
) -> npt.NDArray[np.bool_]:
    """Which `num_left` rows of each node go left, bool [G, R]."""
    num_rows = rows_GR.shape[1]
    step = -(-num_rows // SAMPLE_ROWS)  # the sample is every `step`-th row
    sample_GSD = vectors_MD[rows_GR[:, ::step]]
    if step == 1:
        return _separate(sample_GSD, num_left, start_D)[1]
    size = sample_GSD.shape[1]
    sampled_left = min(max(1, round(num_left * size / num_rows)), size - 1)
    direction_GD, _ = _separate(sample_GSD, sampled_left, start_D)
    del sample_GSD
    scores = [
        np.einsum("grd,gd->gr", vectors_MD[rows_GR[:, first : first + SCORE_ROWS]], direction_GD)
        for first in range(0, num_rows, SCORE_ROWS)
    ]
    return _best(np.concatenate(scores, 1), num_left)


def _separate(
    points_GRD: Float32s, num_left: int, start_D: Float32s
) -> tuple[Float32s, npt.NDArray[np.bool_]]:
    """Separate each node into halves.

    Returns the direction that separates them, float32 [G, D], and which `num_left` rows go left, bool [G, R].
    """
    total_GD = points_GRD.sum(1)
    direction_GD = _principal_axis(points_GRD, total_GD, start_D)
    left_GR = _leftmost(points_GRD, direction_GD, num_left)
    for _ in range(MEANS_ITERATIONS):
        sum_GD = np.einsum("gr,grd->gd", left_GR.astype(np.float32), points_GRD)
        direction_GD = _unit(sum_GD) - _unit(total_GD - sum_GD)
        before_GR, left_GR = left_GR, _leftmost(points_GRD, direction_GD, num_left)
        if np.array_equal(before_GR, left_GR):
            break
    return direction_GD, left_GR


def _principal_axis(points_GRD: Float32s, total_GD: Float32s, start_D: Float32s) -> Float32s:
    """The direction of largest variance, float32 [G, D], by power iteration from `start_D`."""
    mean_GD = total_GD / np.float32(points_GRD.shape[1])
    axis_GD = np.broadcast_to(start_D, mean_GD.shape)
    for _ in range(POWER_ITERATIONS):
        along_GR = np.einsum("grd,gd->gr", points_GRD, axis_GD)
        along_GR -= np.einsum("gd,gd->g", mean_GD, axis_GD)[:, None]
        moved_GD = np.einsum("gr,grd->gd", along_GR, points_GRD)
        axis_GD = _unit(moved_GD - along_GR.sum(1)[:, None] * mean_GD)
    return axis_GD


def _leftmost(points_GRD: Float32s, direction_GD: Float32s, num_left: int) -> npt.NDArray[np.bool_]:
    return _best(np.einsum("grd,gd->gr", points_GRD, direction_GD), num_left)


def _best(score_GR: Float32s, num_best: int) -> npt.NDArray[np.bool_]:
    best_GR = np.argsort(-score_GR, axis=1, kind="stable")[:, :num_best]  # ties: the earlier row
    is_best_GR = np.zeros(score_GR.shape, np.bool_)
    np.put_along_axis(is_best_GR, best_GR, True, axis=1)
    return is_best_GR


def _unit(vectors: Float32s) -> Float32s:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, TINY), np.float32)
