"""Filter pairs: removed from the candidates before the cut, for any batch, and unchanged by a file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.data.filter_pairs import FilterPairs, filter_file
from xmcpipe.errors import XmcpipeError

ROWS, L = 6, 9
pairs_of = st.sets(st.tuples(st.integers(0, ROWS - 1), st.integers(0, L - 1)), max_size=30)


def of(pairs: set[tuple[int, int]]) -> FilterPairs:
    table = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return FilterPairs.of(table[:, 0], table[:, 1].astype(np.int32), L)


@given(pairs_of, st.permutations(range(ROWS)), st.integers(1, L), st.integers(0, 5))
def test_the_best_allowed_labels_are_those_of_a_full_sort(
    given_pairs: set[tuple[int, int]], order: list[int], k: int, seed: int
) -> None:
    pairs, rows = of(given_pairs), np.array(order[:4], np.int64)
    scores_BL = np.random.default_rng(seed).permuted(np.tile(np.arange(L, dtype=np.float32), (4, 1)), axis=1)
    ranked_BL = np.argsort(-scores_BL, axis=1)
    num_candidates = min(k + pairs.most(rows), L)
    candidates_BN = ranked_BL[:, :num_candidates].astype(np.int32)
    labels_Bk, best_Bk = pairs.best_allowed(
        rows, candidates_BN, np.take_along_axis(scores_BL, ranked_BL[:, :num_candidates], 1), k
    )
    assert labels_Bk.dtype == np.int32
    for position, row in enumerate(order[:4]):
        allowed = [label for label in ranked_BL[position].tolist() if (row, label) not in given_pairs][:k]
        found = [label for label in labels_Bk[position].tolist() if label >= 0]
        assert found == allowed
        assert best_Bk[position, : len(allowed)].tolist() == scores_BL[position, allowed].tolist()
        assert (labels_Bk[position, len(allowed) :] == -1).all()


def test_a_label_outside_the_vocabulary_is_no_pair_of_the_next_row() -> None:
    pairs = of({(1, 0), (0, L - 1)})
    rows = np.array([0, 1, 1, 0])
    assert pairs.holds(rows, np.array([L, -1, 0, L - 1])).tolist() == [False, False, True, True]


def test_a_file_keeps_them_and_no_pair_needs_no_file(tmp_path: Path) -> None:
    pairs = FilterPairs.of(np.array([5, 0, 5, 5]), np.array([1, 8, 0, 1]), L)
    pairs.write(tmp_path, "test")
    assert FilterPairs.read(tmp_path, "test", L).keys.tolist() == pairs.keys.tolist() == [8, 45, 46]
    assert len(FilterPairs.read(tmp_path, "train", L)) == 0
    FilterPairs.none(L).write(tmp_path, "train")
    assert not filter_file(tmp_path, "train").exists()
    filter_file(tmp_path, "train").write_bytes(b"no table")
    with pytest.raises(XmcpipeError, match=r"filter_train\.parquet can't be read"):
        FilterPairs.read(tmp_path, "train", L)
