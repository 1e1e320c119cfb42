"""The order of the labels: from clusters, by frequency or at random."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.training.runs import CPU, LABELS, make
from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.config import from_table
from xmcpipe.data.schema import CLUSTERS_WITH_ORDER
from xmcpipe.errors import XmcpipeError
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed
from xmcpipe.training.initial.grouping import label_order


def config_of(by: str, group: int = 8) -> TrainConfig:
    return from_table(TrainConfig, {"head": {"fan_in": 6, "group": group, "group_by": by}}, "train")


def write_clusters(folder: Path, positions: list[int], group: int) -> Path:
    folder.mkdir()
    columns = {"cluster": [0] * len(positions), "position": positions}
    pq.write_table(pa.table(columns, schema=CLUSTERS_WITH_ORDER), folder / "clusters.parquet")
    Manifest("cluster", "clusters", 1, "0" * 64, {"group": group}, {}, {}, {}, {}).write(folder)
    return folder


def test_orders_by_frequency_and_at_random(shards: Path) -> None:
    feed = Feed(shards, config_of("random"), 0, CPU)
    random = label_order(config_of("random"), feed, None)
    assert random is not None
    assert sorted(random.tolist()) == list(range(LABELS)) != random.tolist()
    by_frequency = label_order(config_of("frequency"), feed, None)
    assert by_frequency is not None
    assert (np.diff(feed.label_counts[by_frequency.long()].numpy()) <= 0).all()
    assert label_order(config_of("random", 1), feed, None) is None


def test_the_order_of_clusters_is_read(shards: Path, tmp_path: Path) -> None:
    feed, order = Feed(shards, config_of("meaning"), 0, CPU), np.random.default_rng(0).permutation(LABELS)
    clusters = write_clusters(tmp_path / "clusters", np.argsort(order).tolist(), 8)
    read = label_order(config_of("meaning"), feed, clusters)
    assert read is not None
    assert read.tolist() == order.tolist()


@pytest.mark.parametrize(
    ("positions", "group", "message"),
    [
        (list(range(LABELS)), 4, "cluster.group = 8, as train.head.group, got clusters made with .* = 4"),
        (list(range(LABELS)), 0, "cluster.group = 8"),
        ([0] * LABELS, 8, "each position from 0 to 39 once"),
        (list(range(LABELS - 1)), 8, "each position from 0 to 39 once"),
    ],
)
def test_clusters_of_another_size_or_without_an_order_are_refused(
    shards: Path, tmp_path: Path, positions: list[int], group: int, message: str
) -> None:
    feed = Feed(shards, config_of("meaning"), 0, CPU)
    with pytest.raises(XmcpipeError, match=message):
        label_order(config_of("meaning"), feed, write_clusters(tmp_path / "clusters", positions, group))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"kind": "dense", "group": 4}, "sparse head with group > 1"),
        ({"group": 0}, "group >= 1"),
        ({"group": 4, "group_by": "colour"}, "group_by"),
    ],
)
def test_impossible_groups_are_refused(head: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, XmcpipeError), match=message):
        from_table(TrainConfig, {"head": {"fan_in": 6, **head}}, "train")


def test_a_group_larger_than_all_labels_is_one_group(
    shards: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    head = {"fan_in": 6, "bias": True, "group": 1000, "group_by": "random"}
    trainer = make(shards, tiny_encoder, tmp_path / "run", head=head, max_steps=4)
    trainer.fit()
    assert trainer.model.head.index.shape == (1, 6)
