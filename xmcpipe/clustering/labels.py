"""Computes clusters from shards: label vectors, balanced k-means, exchanges, then labels without a vector.

Legend: L labels · M labels with a vector · D features.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xmcpipe.clustering import tfidf
from xmcpipe.clustering.balanced import balanced_clusters
from xmcpipe.clustering.config import ClusterConfig
from xmcpipe.clustering.ordering import positions
from xmcpipe.clustering.partition import (
    Float32s,
    Int32s,
    cluster_sums,
    cohesion,
    fill_up,
    random_partition,
)
from xmcpipe.clustering.swaps import exchange, load_faiss
from xmcpipe.clustering.vectors import Vectorise, add_texts, document_means, keep_rows
from xmcpipe.data.shards.files import Shards
from xmcpipe.errors import XmcpipeError
from xmcpipe.pieces import Pieces

# What a label needs to have a vector, by method.
SOURCES = {
    "text": "a text",
    "pifa": "a training document or a text with tokens that not all documents have",
}


def cluster_labels(
    config: ClusterConfig, shards: Path, tokenized: Mapping[str, Any], num_labels: int, num_clusters: int
) -> tuple[Int32s, Int32s, dict[str, Any]]:
    """The cluster of each label and its position (`ordering`), int32 [L] each, and figures.

    The figures are about cohesion and about labels without documents. Without `config.group` no label has a
    position.

    `tokenized` is the [tokenize] table with which the shards were made. Raises XmcpipeError if no label has a
    vector, or if faiss or the encoder is missing.
    """
    load_faiss()  # fails now, not after minutes of computing label vectors
    vectors_LD, texts = _label_vectors(config, shards, tokenized, num_labels)
    rows = np.flatnonzero(vectors_LD.any(1))
    if not len(rows):
        source = SOURCES.get(config.method, "a training document or a text")
        raise XmcpipeError(
            f"cluster.method = {config.method!r}: expected labels with {source}, but the shards have none",
            "import a label table with texts, or set cluster.method = 'random'",
        )
    vectors_MD = keep_rows(vectors_LD, rows)
    clusters_M = balanced_clusters(vectors_MD, num_clusters, config.seed)
    clusters_M = exchange(vectors_MD, clusters_M, num_clusters, config.swap_rounds)
    # The cohesion of random clusters is the baseline that the figures of a run are compared with.
    random_M = random_partition(len(rows), num_clusters, config.seed)
    figures = {
        "similarity": _similarity(vectors_MD, clusters_M, num_clusters),
        "similarity_random": _similarity(vectors_MD, random_M, num_clusters),
        "labels_from_text": texts,
        "labels_filled_up": num_labels - len(rows),
    }
    clusters_L = fill_up(clusters_M, rows, num_labels, num_clusters, config.seed)
    if not config.group:
        return clusters_L, clusters_L[:0], figures
    positions_L = positions(vectors_MD, rows, clusters_L, config.group, config.seed)
    groups_M = positions_L[rows] // config.group
    figures["group_similarity"] = _similarity(vectors_MD, groups_M, -(-num_labels // config.group))
    return clusters_L, positions_L, figures


def _label_vectors(
    config: ClusterConfig, shards: Path, tokenized: Mapping[str, Any], num_labels: int
) -> tuple[Float32s, int]:
    """Unit vectors, float32 [L, D], and the number of them that come from label texts.

    A label without a training document and without a text has a vector of zeros.
    """
    train, texts = Shards(shards, "train"), Shards(shards, "label")
    vectorise: Vectorise
    if config.method == "pifa":
        projection = tfidf.fit(train, _vocabulary(train, texts), config.dim, config.seed)
        vectorise, dim = projection, projection.dim
    else:
        from xmcpipe.clustering.embedding import Embedding

        encoder, piece_length = str(tokenized["encoder"]), Pieces.of(tokenized).piece_length
        embedding = Embedding.of(encoder, config.pooling, config.batch_size, config.device, piece_length)
        vectorise, dim = embedding, embedding.dim
    if config.method == "text":
        vectors_LD = np.zeros((num_labels, dim), np.float32)
    else:
        vectors_LD = document_means(train, vectorise, dim, num_labels)
    return vectors_LD, add_texts(vectors_LD, texts, vectorise)


def _vocabulary(*splits: Shards) -> int:
    """One more than the largest token id of these splits."""
    return 1 + max(
        int(tokens.max(initial=0)) for split in splits for tokens, _ in [*split.tokens.flat(), _EMPTY]
    )


_EMPTY = (np.empty(0, np.int32), np.empty(0, np.int32))


def _similarity(vectors_MD: Float32s, clusters: Int32s, num_clusters: int) -> float:
    return round(cohesion(cluster_sums(vectors_MD, clusters, num_clusters), len(clusters)), 4)
