"""Batches: every document once, little padding, the same from the same seed; the split and its refusals."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.data.schema import CLUSTERS, LABELS
from xmcpipe.data.shards.batches import collate, epoch_batches, length_order
from xmcpipe.data.shards.files import Shards, ShardWriter, shard_path
from xmcpipe.errors import XmcpipeError
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed, read_clusters

CPU = torch.device("cpu")


def write_shards(folder, documents, num_labels=10, rows_per_shard=4, batch_rows=3, split="train"):
    """`documents`: (tokens, labels) pairs, over several shards of several record batches."""
    for number, first in enumerate(range(0, len(documents), rows_per_shard)):
        part = documents[first : first + rows_per_shard]
        with ShardWriter(shard_path(folder, split, number)) as shard:
            for begin in range(0, len(part), batch_rows):
                some = part[begin : begin + batch_rows]
                ids = pa.array([str(first + begin + row) for row in range(len(some))])
                lists = [pa.array([pair[side] for pair in some], pa.list_(pa.int32())) for side in (0, 1)]
                shard.write(ids, *lists)
    names = {"label": [f"l{label}" for label in range(num_labels)], "text": [None] * num_labels}
    pq.write_table(pa.table(names, schema=LABELS), folder / "labels.parquet")


@pytest.fixture
def documents():
    rng = np.random.default_rng(0)
    return [
        (
            rng.integers(1, 99, rng.integers(1, 9)).tolist(),
            sorted({*rng.integers(0, 10, rng.integers(0, 4)).tolist()}),
        )
        for _ in range(23)
    ]


def test_rows_come_back_from_any_shard_in_any_order(tmp_path, documents):
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
        tokens, wanted = documents[row]
        width = batch.input_ids.shape[1]
        assert batch.input_ids[position].tolist() == tokens + [-1] * (width - len(tokens))
        assert batch.mask[position].tolist() == [1] * len(tokens) + [0] * (width - len(tokens))
        assert batch.labels[batch.rows == position].tolist() == wanted
    assert batch.input_ids.shape[1] == max(len(documents[row][0]) for row in rows)


@given(st.integers(0, 700), st.integers(1, 33), st.integers(0, 5))
def test_an_epoch_is_every_document_once(count, batch_size, epoch):
    lengths = np.random.default_rng(count).integers(1, 60, count).astype(np.int32)
    batches = epoch_batches(lengths, batch_size, 3, epoch)
    assert sorted(np.concatenate([*batches, np.empty(0, int)]).tolist()) == list(range(count))
    assert all(len(batch) <= batch_size for batch in batches)
    again = epoch_batches(lengths, batch_size, 3, epoch)
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in again]
    scored = length_order(lengths, batch_size)
    assert sorted(np.concatenate([*scored, np.empty(0, int)]).tolist()) == list(range(count))


def test_buckets_leave_little_padding_and_epochs_differ():
    lengths = np.random.default_rng(0).integers(1, 128, 20_000).astype(np.int32)
    batches = epoch_batches(lengths, 32, 0, 0)
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    assert padded < 1.05 * lengths.sum()
    assert [b.tolist() for b in batches[:3]] != [b.tolist() for b in epoch_batches(lengths, 32, 0, 1)[:3]]


def test_the_validation_split_is_disjoint_and_counts_are_of_the_rest(tmp_path, documents):
    write_shards(tmp_path, documents)
    feed = Feed(tmp_path, TrainConfig(validation=0.3, batch_size=4, accumulation=2), 0, CPU)
    assert len(feed.validation_rows) == 6
    assert sorted([*feed.validation_rows, *feed.train_rows]) == list(range(23))
    counts = np.zeros(10)
    for row in feed.train_rows:
        counts[documents[row][1]] += 1
    assert feed.label_counts.tolist() == counts.tolist()
    assert feed.steps_per_epoch == 3  # 17 documents, 5 batches, 2 a step
    groups = feed.groups(0)
    assert len(groups) == 3
    assert sorted(np.concatenate([rows for group in groups for rows in group])) == sorted(feed.train_rows)


def test_label_texts_are_trained_on_and_never_validated(tmp_path, documents):
    write_shards(tmp_path, documents)
    config = TrainConfig(validation=0.3, label_features=True)
    with pytest.raises(XmcpipeError, match="label_features is set, and no label in"):
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
    assert batch.input_ids[:2, 0].tolist() == [50, 59]
    positives = batch.positives
    assert {(0, 0), (1, 9)} <= set(zip(positives.rows.tolist(), positives.labels.tolist(), strict=True))


def test_shards_that_do_not_fit_are_refused(tmp_path, documents):
    write_shards(tmp_path, documents, num_labels=5)
    with pytest.raises(XmcpipeError, match="label id 9"):
        Feed(tmp_path, TrainConfig(), 0, CPU)
    pq.write_table(pa.table({"cluster": [0, 1]}, schema=CLUSTERS), tmp_path / "clusters.parquet")
    with pytest.raises(XmcpipeError, match="clusters of 2 labels"):
        read_clusters(tmp_path, 5)


def test_a_file_that_is_no_shard_is_named(tmp_path):
    (tmp_path / "train-00000.arrow").write_bytes(b"not arrow")
    with pytest.raises(XmcpipeError, match=r"train-00000\.arrow can't be read as a shard"):
        Shards(tmp_path, "train")
