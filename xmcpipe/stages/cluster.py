"""`cluster`: makes a balanced partition of the labels. The auxiliary loss uses the clusters as labels."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.versions import CLUSTERS_VERSION
from xmcpipe.clustering.config import ClusterConfig, default_clusters
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.stages.stage import Option, Result, Stage


def run(config: ClusterConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write clusters.parquet into `out`: the cluster of each label in the vocabulary of the shards.

    With `config.group` it has the position of each label too, in an order whose neighbours form groups.

    Raises XmcpipeError if there are more clusters than labels, and the errors of `cluster_labels`.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from xmcpipe.clustering.partition import random_partition
    from xmcpipe.data.schema import CLUSTERS, CLUSTERS_WITH_ORDER

    started = time.monotonic()
    shards = inputs["shards"]
    num_labels = pq.read_metadata(require_file(shards / "labels.parquet", "the shards")).num_rows
    num_clusters = _num_clusters(config, num_labels)
    figures: dict[str, Any] = {"labels": num_labels, "num_clusters": num_clusters}
    if config.method == "random":  # needs neither texts nor an encoder
        clusters = random_partition(num_labels, num_clusters, config.seed)
        positions = np.argsort(np.argsort(clusters, kind="stable"), kind="stable").astype(np.int32)
    else:
        from xmcpipe.clustering.labels import cluster_labels

        tokenized = Artifact.at(shards).manifest.config
        clusters, positions, tightness = cluster_labels(config, shards, tokenized, num_labels, num_clusters)
        figures |= tightness
    sizes = np.bincount(clusters, minlength=num_clusters)
    figures |= {"size_min": int(sizes.min()), "size_max": int(sizes.max())}
    columns, schema = {"cluster": clusters}, CLUSTERS
    if config.group:
        columns, schema = {**columns, "position": positions}, CLUSTERS_WITH_ORDER
    pq.write_table(pa.table(columns, schema=schema), out / "clusters.parquet")
    return Result(
        figures | {"seconds": round(time.monotonic() - started, 1)}, {"clusters.parquet": num_labels}
    )


def _num_clusters(config: ClusterConfig, num_labels: int) -> int:
    """The number of clusters C: the configured number, or the default for `num_labels`."""
    if num_labels == 0:
        raise XmcpipeError(
            "expected shards with labels to cluster, got none", "check the labels column of the import"
        )
    if config.num_clusters > num_labels:
        raise XmcpipeError(
            f"expected at most {num_labels} clusters, one per label, got "
            f"cluster.num_clusters = {config.num_clusters}",
            f"set it to {num_labels} or less, or to 0 for the default of {default_clusters(num_labels)}",
        )
    return config.num_clusters or default_clusters(num_labels)


CLUSTER = Stage(
    name="cluster",
    kind="clusters",
    config=ClusterConfig,
    schema_version=CLUSTERS_VERSION,
    inputs=("shards",),
    run=run,
    help="Partition the labels into balanced clusters, for the auxiliary loss.",
    options=(
        Option(
            "--random",
            key="method",
            value="random",
            help="Use a random partition: short for --set cluster.method=random.",
        ),
    ),
)
