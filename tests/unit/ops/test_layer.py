"""The positive pairs of ranges of labels."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.ops.layer import Positives

PAIRS = st.sets(st.tuples(st.integers(0, 12), st.integers(0, 3)))  # (label, row)
RANGES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), min_size=1, max_size=4)


@given(PAIRS, RANGES)
def test_parts_have_the_pairs_of_their_labels(
    pairs: set[tuple[int, int]], sizes: list[tuple[int, int]]
) -> None:
    labels, rows = torch.tensor(sorted(pairs), dtype=torch.int64).reshape(-1, 2).unbind(1)
    positives = Positives(rows.contiguous(), labels.contiguous())
    ranges = [(begin, begin + size) for begin, size in sizes]  # in any order; they may overlap
    for (begin, end), part in zip(ranges, positives.parts(ranges), strict=True):
        found = list(zip((part.labels + begin).tolist(), part.rows.tolist(), strict=True))
        assert found == [pair for pair in sorted(pairs) if begin <= pair[0] < end]
        within = positives.within(begin, end)
        assert torch.equal(within.labels, part.labels)
        assert torch.equal(within.rows, part.rows)
