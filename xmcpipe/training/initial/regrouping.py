"""The groups of a training that begins with another model: the old ones, with places for new labels.

Labels of a group share their features, so a label keeps its connections only beside those that it was with.
Labels that are gone leave places free, and fewer labels make fewer groups. So the fullest old groups stay,
and all other labels, new ones and those of groups that dissolve, fill the free places, each near labels that
the usual order puts near it. What is left forms groups as usual.

L labels, G labels of a group, R groups.
"""

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


def kept_groups(usual_L: npt.NDArray[np.int32], old_group_L: Int64s, group: int) -> npt.NDArray[np.int32]:
    """The id of the label at each place, int32 [L], of which G neighbours are a group.

    `usual_L` is that order of another start, a permutation; `old_group_L` the group that each label was in,
    by its id, -1 for a new label.
    """
    count = len(usual_L)
    num_groups = -(-count // group)
    capacity_R = np.full(num_groups, group)
    capacity_R[-1] = count - (num_groups - 1) * group
    position_L = np.empty(count, np.int64)
    position_L[usual_L] = np.arange(count)
    row_L = _rows_of_fullest(old_group_L, num_groups)
    row_L[_surplus(row_L, position_L, capacity_R)] = -1
    free = usual_L[row_L[usual_L] < 0]
    places = _free_places(row_L, position_L, capacity_R)
    # There are as many free places as free labels. Both are in the usual order; so, if some of the places
    # are in groups without any label, are the labels of these.
    is_hole = np.isin(places, row_L)
    num_holes = int(is_hole.sum())
    into_holes = np.zeros(len(free), bool)
    into_holes[np.arange(num_holes) * len(free) // max(num_holes, 1)] = True
    row_L[free[into_holes]] = places[is_hole]
    row_L[free[~into_holes]] = places[~is_hole]
    return np.lexsort((position_L, row_L)).astype(np.int32)


def _rows_of_fullest(old_group_L: Int64s, num_groups: int) -> Int64s:
    """The new number of each label's group, -1 for labels whose old group is not among the fullest.

    The fullest group is the first, so that the last one, which may be smaller, is the emptiest.
    """
    groups, sizes = np.unique(old_group_L[old_group_L >= 0], return_counts=True)
    kept = groups[np.argsort(-sizes, kind="stable")[:num_groups]]
    row_of = np.full(int(groups.max(initial=0)) + 2, -1)  # its last place is that of -1, of new labels
    row_of[kept] = np.arange(len(kept))
    found: Int64s = row_of[old_group_L]
    return found


def _surplus(row_L: Int64s, position_L: Int64s, capacity_R: Int64s) -> Int64s:
    """Labels that their group has no place for: the last ones in the usual order."""
    order = np.lexsort((position_L, row_L))
    order = order[row_L[order] >= 0]
    rows = row_L[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    found: Int64s = order[rank >= capacity_R[rows]]
    return found


def _free_places(row_L: Int64s, position_L: Int64s, capacity_R: Int64s) -> Int64s:
    """The group of each free place, by the mean position of its labels; groups without labels come last."""
    known = row_L >= 0
    size_R = np.bincount(row_L[known], minlength=len(capacity_R))
    total_R = np.bincount(row_L[known], position_L[known], len(capacity_R))
    mean_R = np.where(size_R > 0, total_R / np.maximum(size_R, 1), np.inf)
    rows = np.argsort(mean_R, kind="stable")
    found: Int64s = np.repeat(rows, (capacity_R - size_R)[rows])
    return found
