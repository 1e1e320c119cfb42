"""Pairs of a document and a label that must count neither as a hit nor as a miss: reciprocal pairs.

Where documents and labels are of one kind (products, articles), a document may be a label itself, and a pair
(a, b) of the test may stand as (b, a) in training. Such pairs would reward looking them up, so the repository
lists them, and whoever ranks or measures leaves them out: of the candidates before the top k is cut, since
one removed after it leaves a gap, and of the truth (Bhatia et al., The Extreme Classification Repository).

Legend: B rows of a batch · N candidates a row · k best · L labels.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.data.schema import FILTER_PAIRS
from xmcpipe.errors import XmcpipeError

Int64s = npt.NDArray[np.int64]
Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]


def filter_file(folder: Path, split: str) -> Path:
    """Where the pairs of split train or test are in an artifact."""
    return folder / f"filter_{split}.parquet"


@dataclass(frozen=True)
class FilterPairs:
    """Pairs of one split, as `keys` int64 [P]: row * L + label, sorted and distinct."""

    keys: Int64s
    num_labels: int

    @staticmethod
    def none(num_labels: int) -> "FilterPairs":
        """No pair at all."""
        return FilterPairs(np.empty(0, np.int64), num_labels)

    @staticmethod
    def of(rows: Ints, labels: Ints, num_labels: int) -> "FilterPairs":
        """From rows and labels, [P] each, in any order; a pair may repeat."""
        return FilterPairs(np.unique(rows.astype(np.int64) * num_labels + labels), num_labels)

    @staticmethod
    def read(folder: Path, split: str, num_labels: int) -> "FilterPairs":
        """The pairs of an artifact of raw data or shards; none where it has none."""
        path = filter_file(folder, split)
        if not path.is_file():
            return FilterPairs.none(num_labels)
        try:
            table = pq.read_table(path, schema=FILTER_PAIRS)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise XmcpipeError(f"{path} can't be read: {error}", "make the artifact again") from error
        return FilterPairs.of(table["row"].to_numpy(), table["label"].to_numpy(), num_labels)

    def __len__(self) -> int:
        return len(self.keys)

    def write(self, folder: Path, split: str) -> None:
        """Write the file that `read` reads, if there are any pairs."""
        if len(self):
            rows, labels = np.divmod(self.keys, self.num_labels)
            columns = [pa.array(rows), pa.array(labels.astype(np.int32))]
            pq.write_table(pa.table(columns, schema=FILTER_PAIRS), filter_file(folder, split))

    def most(self, rows: Int64s) -> int:
        """How many pairs the one of `rows`, int64 [B], has that has most."""
        first = np.searchsorted(self.keys, rows * self.num_labels)
        last = np.searchsorted(self.keys, (rows + 1) * self.num_labels)
        return int((last - first).max(initial=0))

    def holds(self, rows: Int64s, labels: Ints) -> Bools:
        """Which of the pairs are filtered, bool of the shape of `rows` and `labels` broadcast."""
        wanted = rows * self.num_labels + labels
        if not len(self):
            return np.zeros(wanted.shape, bool)
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        found: Bools = (self.keys[at] == wanted) & (labels >= 0) & (labels < self.num_labels)
        return found

    def best_allowed(self, rows: Int64s, labels_BN: Ints, scores_BN: Floats, k: int) -> tuple[Ints, Floats]:
        """The first k candidates of each row that aren't filtered: labels [B, k], -1 where they run out, and
        scores.

        `rows` int64 [B]; candidates best first. With N >= k + `most(rows)`, or all labels, they are the k
        best of all labels that are allowed.
        """
        banned_BN = self.holds(rows[:, None], labels_BN)
        order_Bk = np.argsort(banned_BN, axis=1, kind="stable")[:, :k]
        labels_Bk = np.where(banned_BN, -1, labels_BN)
        return (
            np.take_along_axis(labels_Bk, order_Bk, 1).astype(labels_BN.dtype),
            np.take_along_axis(scores_BN, order_Bk, 1),
        )
