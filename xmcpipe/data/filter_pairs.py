"""Filter pairs: pairs of a document and a label that count neither as a hit nor as a miss.

If documents and labels are of the same kind (products, articles), a document may also be a label, and a test
pair (a, b) may be in training as the reciprocal pair (b, a). A model could look such pairs up, so the Extreme
Classification Repository (Bhatia et al.) lists them, and they are removed both from the truth and from the
candidates. Candidates are removed before the top k is cut: removing them later would leave fewer than k.

Legend: B rows of a batch · N candidates of a row · k best · L labels · P pairs.
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
    """The file of the filter pairs of a split (train or test) in an artifact."""
    return folder / f"filter_{split}.parquet"


@dataclass(frozen=True)
class FilterPairs:
    """The filter pairs of one split: `keys`, int64 [P], are row * L + label, sorted and distinct."""

    keys: Int64s
    num_labels: int

    @staticmethod
    def none(num_labels: int) -> "FilterPairs":
        """An empty set of pairs."""
        return FilterPairs(np.empty(0, np.int64), num_labels)

    @staticmethod
    def of(rows: Ints, labels: Ints, num_labels: int) -> "FilterPairs":
        """The pairs (row, label) from two arrays, [P] each, in any order; repeated pairs are merged."""
        return FilterPairs(np.unique(rows.astype(np.int64) * num_labels + labels), num_labels)

    @staticmethod
    def read(folder: Path, split: str, num_labels: int) -> "FilterPairs":
        """Read the pairs from an artifact of raw data or shards; an empty set if it has no such file.

        Raises XmcpipeError if the file can't be read.
        """
        path = filter_file(folder, split)
        if not path.is_file():
            return FilterPairs.none(num_labels)
        try:
            table = pq.read_table(path, schema=FILTER_PAIRS)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise XmcpipeError(f"{path} can't be read: {error}", "run the stage again") from error
        return FilterPairs.of(table["row"].to_numpy(), table["label"].to_numpy(), num_labels)

    def __len__(self) -> int:
        return len(self.keys)

    def write(self, folder: Path, split: str) -> None:
        """Write the pairs to the file that `read` reads; no file without pairs."""
        if len(self):
            rows, labels = np.divmod(self.keys, self.num_labels)
            columns = [pa.array(rows), pa.array(labels.astype(np.int32))]
            pq.write_table(pa.table(columns, schema=FILTER_PAIRS), filter_file(folder, split))

    def most(self, rows: Int64s) -> int:
        """The largest number of pairs of any row in `rows`, int64 [B]."""
        # The keys of a row are contiguous, from row * L to (row + 1) * L.
        first = np.searchsorted(self.keys, rows * self.num_labels)
        last = np.searchsorted(self.keys, (rows + 1) * self.num_labels)
        return int((last - first).max(initial=0))

    def holds(self, rows: Int64s, labels: Ints) -> Bools:
        """Whether each pair (row, label) is filtered: bool, in the broadcast shape of `rows` and `labels`."""
        keys = rows * self.num_labels + labels
        if not len(self):
            return np.zeros(keys.shape, bool)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        # A label out of range, such as the padding -1, would be the key of a pair in another row.
        filtered: Bools = (self.keys[at] == keys) & (labels >= 0) & (labels < self.num_labels)
        return filtered

    def best_allowed(self, rows: Int64s, labels_BN: Ints, scores_BN: Floats, k: int) -> tuple[Ints, Floats]:
        """The first k candidates of each row that are not filtered: labels [B, k] and their scores [B, k].

        `rows` is int64 [B], and candidates are ordered best first. If a row has too few, the missing labels
        are -1. With N >= k + `most(rows)`, or N = L, the result is the k best of all allowed labels.
        """
        filtered_BN = self.holds(rows[:, None], labels_BN)
        # A stable sort by the flag moves filtered labels to the end and keeps the order of the others.
        order_Bk = np.argsort(filtered_BN, axis=1, kind="stable")[:, :k]
        allowed_BN = np.where(filtered_BN, -1, labels_BN)
        return (
            np.take_along_axis(allowed_BN, order_Bk, 1).astype(labels_BN.dtype),
            np.take_along_axis(scores_BN, order_Bk, 1),
        )
