"""Which labels form a group that shares its features: the order of the labels in the head.

G neighbours in the order are a group. The order is fixed before the training: by meaning, from the clusters
artifact, in which similar labels are neighbours; at random; or by the number of documents.

L labels, G labels of a group.
"""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from xmcpipe.artifacts.store import Artifact
from xmcpipe.errors import XmcpipeError
from xmcpipe.training.config import TrainTable
from xmcpipe.training.feed import Feed

SEED_OF_ORDER = 2  # of the streams of the training's seed; 1 is that of the validation split


def label_order(config: TrainTable, feed: Feed, clusters: Path | None) -> Tensor | None:
    """The id of the label at each place of the head, int32 [L]; None if each label is a group of its own.

    `clusters` is the folder of the clusters, required for groups by meaning. Raises XmcpipeError if these
    were made without an order, or for groups of another size.
    """
    if config.head.group == 1:
        return None
    if config.head.group_by == "random":
        order_L = np.random.default_rng([config.seed, SEED_OF_ORDER]).permutation(feed.num_labels)
    elif config.head.group_by == "frequency":
        order_L = np.argsort(-feed.label_counts.cpu().numpy(), kind="stable")
    else:
        assert clusters is not None, "the stage requires them"
        order_L = read_order(clusters, feed.num_labels, config.head.group)
    return torch.from_numpy(order_L.astype(np.int32))


def read_order(folder: Path, num_labels: int, group: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """The order of the clusters artifact, made for groups of `group` labels: int32 [L].

    Raises XmcpipeError if it has none, or not one of these labels.
    """
    made_for = Artifact.at(folder).manifest.config.get("group", 0)
    if made_for != group:
        found = f"clusters made with cluster.group = {made_for}"
        raise XmcpipeError(
            f"expected clusters made with cluster.group = {group}, as train.head.group, got {found}",
            f"set cluster.group = {group}, or train.head.group_by to random or frequency",
        )
    path = folder / "clusters.parquet"
    places_L = pq.read_table(path, columns=["position"])["position"].to_numpy()
    order_L = np.argsort(places_L, kind="stable").astype(np.int32)
    if len(order_L) != num_labels or not np.array_equal(places_L[order_L], np.arange(num_labels)):
        raise XmcpipeError(
            f"{path}: expected each position from 0 to {num_labels - 1} once", "run `xmcpipe cluster` again"
        )
    return order_L
