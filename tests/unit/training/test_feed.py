"""Batches: each document once, little padding, the same for the same seed; the split and its errors."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.shard_files import Document, write_shards
from xmcpipe.data.schema import CLUSTERS
from xmcpipe.data.shards.batches import collate, epoch_batches, length_order
from xmcpipe.data.shards.files import Shards
from xmcpipe.errors import XmcpipeError
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed, TokenBatch, read_clusters

CPU = torch.device("cpu")


@pytest.fixture
def documents() -> list[Document]:
    rng = np.random.default_rng(0)
    return [
        (
            rng.integers(1, 99, rng.integers(1, 9)).tolist(),
            sorted({*rng.integers(0, 10, rng.integers(0, 4)).tolist()}),
        )
        for _ in range(23)
    ]


def test_rows_come_back_from_any_shard_in_any_order(tmp_path: Path, documents: list[Document]) -> None:
    write_shards(tmp_path, documents)
    shards = Shards(tmp_path, "train")
    assert len(shards) == 23
    assert shards.ids().to_pylist() == [str(row) for row in range(23)]
    assert shards.lengths.tolist() == [len(tokens) for tokens, _ in documents]
    indptr, labels = shards.label_csr()
    assert [labels[a:b].tolist() for a, b in pairwise(indptr)] == [d[1] for d in documents]
    rows = np.array([22, 0, 7, 7, 13])
    batch = collate(shards, rows, pad_id=-1)
    for position, row in enumerate(rows):
        tokens, labels_of_row = documents[row]
        width = batch.input_ids.shape[1]
        assert batch.input_ids[position].tolist() == tokens + [-1] * (width - len(tokens))
        assert batch.mask[position].tolist() == [1] * len(tokens) + [0] * (width - len(tokens))
        assert batch.labels[batch.rows == position].tolist() == labels_of_row
    assert batch.input_ids.shape[1] == max(len(documents[row][0]) for row in rows)


@given(st.integers(0, 700), st.integers(1, 33), st.integers(0, 5))
def test_an_epoch_is_every_document_once(count: int, batch_size: int, epoch: int) -> None:
    lengths = np.random.default_rng(count).integers(1, 60, count).astype(np.int32)
    batches = epoch_batches(lengths, batch_size, 3, epoch)
    assert sorted(np.concatenate([*batches, np.empty(0, int)]).tolist()) == list(range(count))
    assert all(len(batch) <= batch_size for batch in batches)
    repeated = epoch_batches(lengths, batch_size, 3, epoch)
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in repeated]
    scored = length_order(lengths, batch_size)
    assert sorted(np.concatenate([*scored, np.empty(0, int)]).tolist()) == list(range(count))


def test_buckets_leave_little_padding_and_epochs_differ() -> None:
    lengths = np.random.default_rng(0).integers(1, 128, 20_000).astype(np.int32)
    batches = epoch_batches(lengths, 32, 0, 0)
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert padded < 1.05 * lengths.sum()
    assert [b.tolist() for b in batches[:3]] != [b.tolist() for b in epoch_batches(lengths, 32, 0, 1)[:3]]


def test_the_validation_split_is_disjoint_and_counts_exclude_it(
    tmp_path: Path, documents: list[Document]
) -> None:
    write_shards(tmp_path, documents)
    feed = Feed(tmp_path, TrainConfig(validation=0.3, batch_size=4, accumulation=2), 0, CPU)
    assert len(feed.validation_rows) == 6
    assert sorted([*feed.validation_rows, *feed.train_rows]) == list(range(23))
    counts = np.zeros(10)
    for row in feed.train_rows:
        counts[documents[row][1]] += 1
    assert feed.label_counts.tolist() == counts.tolist()
    assert feed.steps_per_epoch == 3  # 17 documents, 5 batches, 2 per step
    groups = feed.groups(0)
    assert len(groups) == 3
    assert sorted(np.concatenate([rows for group in groups for rows in group])) == sorted(feed.train_rows)


def test_label_texts_are_trained_on_and_never_validated(tmp_path: Path, documents: list[Document]) -> None:
    write_shards(tmp_path, documents)
    config = TrainConfig(validation=0.3, label_features=True)
    with pytest.raises(XmcpipeError, match="label_features is set, but no label in"):
        Feed(tmp_path, config, 0, CPU)
    texts = [([50 + label], [label]) for label in (0, 3, 9)]
    write_shards(tmp_path, texts, split="label")
    feed, without = Feed(tmp_path, config, 0, CPU), Feed(tmp_path, TrainConfig(validation=0.3), 0, CPU)
    assert feed.validation_rows.tolist() == without.validation_rows.tolist()
    assert feed.train_rows.tolist() == [*without.train_rows.tolist(), 23, 24, 25]
    added = feed.label_counts - without.label_counts
    assert added.tolist() == [1, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    assert feed.num_documents == without.num_documents + 3
    batch = feed.batch(np.array([23, 25, 1]))
    assert isinstance(batch, TokenBatch)
    assert batch.input_ids_BS[:2, 0].tolist() == [50, 59]
    positives = batch.positives
    assert {(0, 0), (1, 9)} <= set(zip(positives.rows.tolist(), positives.labels.tolist(), strict=True))


def test_shards_that_contradict_themselves_are_refused(tmp_path: Path, documents: list[Document]) -> None:
    write_shards(tmp_path, documents, num_labels=5)
    with pytest.raises(XmcpipeError, match="expected labels below 5, got 9"):
        Feed(tmp_path, TrainConfig(), 0, CPU)
    pq.write_table(pa.table({"cluster": [0, 1]}, schema=CLUSTERS), tmp_path / "clusters.parquet")
    with pytest.raises(
        XmcpipeError, match="expected clusters of 5 labels, as in the shards, got clusters of 2"
    ):
        read_clusters(tmp_path, 5)


def test_the_error_names_a_file_that_is_not_a_shard(tmp_path: Path) -> None:
    (tmp_path / "train-00000.arrow").write_bytes(b"not arrow")
    with pytest.raises(XmcpipeError, match=r"train-00000\.arrow can't be read as a shard"):
        Shards(tmp_path, "train")
