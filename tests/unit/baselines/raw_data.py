"""A small raw artifact: each label has words of its own, and the first labels are the most frequent."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.data.filter_pairs import FilterPairs
from xmcpipe.data.schema import LABELS, RAW_DOCUMENTS

L, N_TRAIN, N_TEST = 12, 240, 60
Documents = tuple[list[str], list[list[int]]]  # texts and labels


def draw(count: int, seed: int) -> Documents:
    """Documents with one to three labels, two words of each label, and common words."""
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, L + 1)
    texts, labels = [], []
    for _ in range(count):
        own = sorted(rng.choice(L, rng.integers(1, 4), replace=False, p=chances / chances.sum()).tolist())
        words = [f"label{label}x{rng.integers(3)}" for label in own for _ in range(2)]
        words += [f"common{number}" for number in rng.integers(0, 20, 4)]
        texts.append(" ".join(rng.permutation(words)))
        labels.append(own)
    return texts, labels


def write_raw(
    folder: Path,
    train: Documents | None = None,
    test: Documents | None = None,
    num_labels: int = L,
    pairs: Sequence[tuple[int, int]] = (),
) -> Path:
    """Write the raw artifact into a new `folder`; `pairs` are filter pairs (row, label) of the test split."""
    folder.mkdir()
    for split, (texts, labels) in (("train", train or draw(N_TRAIN, 0)), ("test", test or draw(N_TEST, 1))):
        ids = [f"{split}-{number}" for number in range(len(texts))]
        pq.write_table(pa.table([ids, texts, labels], schema=RAW_DOCUMENTS), folder / f"{split}.parquet")
    names = [f"name {number}" for number in range(num_labels)]
    pq.write_table(pa.table([names, [None] * num_labels], schema=LABELS), folder / "labels.parquet")
    if pairs:
        rows, labels_of_pairs = (np.array(column) for column in zip(*pairs, strict=True))
        FilterPairs.of(rows, labels_of_pairs, num_labels).write(folder, "test")
    return folder
