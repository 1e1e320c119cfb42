"""Informed connections: the features that stand out for a label, found without a tensor [L, E]."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.shard_files import write_shards
from xmcpipe.config import from_table
from xmcpipe.data.embeddings import EmbeddingTable, EmbeddingWriter, embeddings_path
from xmcpipe.data.shards.files import Shards
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import heads
from xmcpipe.modeling.heads import Head, HeadShape
from xmcpipe.ops.topology import initial_index
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.initial import informed
from xmcpipe.training.initial.informed import choose_connections

N, L, E, K = 60, 17, 12, 4


def make(first: int = 0, count: int = L) -> Head:
    head = heads.build(HeadShape("ffi", E, count, K, False, seed=3, first_label=first))
    head.reset_parameters()
    return head


def world(folder: Path, seed: int) -> tuple[Shards, EmbeddingTable, list[list[int]]]:
    """60 documents of up to three labels, label 16 on none; feature 2 is constant."""
    random = np.random.default_rng(seed)
    labels = [sorted(random.choice(L - 1, random.integers(0, 4), replace=False).tolist()) for _ in range(N)]
    write_shards(folder, [([5], found) for found in labels], num_labels=L, rows_per_shard=100)
    values = random.normal(size=(N, E)).astype(np.float16)
    values[:, 2] = 0.7
    EmbeddingWriter(embeddings_path(folder, "train"), N, E).write(values)
    return Shards(folder, "train"), EmbeddingTable(folder, "train"), labels


@given(st.integers(0, 30), st.integers(1, 9), st.integers(1, 9))
def test_it_is_the_largest_distance_of_the_means(
    tmp_path_factory: pytest.TempPathFactory, seed: int, block: int, chunk: int
) -> None:
    """As defined, with the whole in memory; for any blocks of documents and chunks of labels."""
    shards, embeddings, labels = world(tmp_path_factory.mktemp("world"), seed)
    rows = np.flatnonzero(np.random.default_rng(seed).random(N) < 0.8)  # the rest is for validation
    head = make()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(informed, "BLOCK_ROWS", block)
        patch.setattr(informed, "chunk_rows", lambda width: chunk)
        number = choose_connections(head, embeddings, shards, rows)
    values = embeddings.gather(rows).astype(np.float64)
    deviation = values.std(0)
    deviation[2] = np.inf
    random_index = initial_index(3, torch.arange(L), E, K).int()
    seen = 0
    for label in range(L):
        own = [place for place, row in enumerate(rows) if label in labels[row]]
        seen += bool(own)
        if not own:
            assert head.index[label].tolist() == random_index[label].tolist()
            continue
        distance = np.abs(values[own].mean(0) - values.mean(0)) / deviation
        assert set(head.index[label].tolist()) == set(np.argsort(-distance)[:K].tolist())
        assert 2 not in head.index[label].tolist()
        assert head.index[label].tolist() == sorted(head.index[label].tolist())
    assert number == seen


def test_any_number_of_processes_gives_the_same_topology(tmp_path: Path) -> None:
    shards, embeddings, _ = world(tmp_path, 1)
    whole, parts = make(), [make(0, 5), make(5, L - 5)]
    for head in (whole, *parts):
        choose_connections(head, embeddings, shards, np.arange(N))
    assert torch.equal(torch.cat([part.index.int() for part in parts]), whole.index.int())


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"topology": "informed", "intermediate": 64}, r"expected intermediate = 0 .* got 64"),
        ({"topology": "informed", "kind": "dense"}, r"expected a sparse head .* got kind = 'dense'"),
    ],
)
def test_what_has_no_informed_choice_is_refused(head: dict[str, object], message: str) -> None:
    with pytest.raises(XmcpipeError, match=message):
        from_table(TrainConfig, {"head": head}, "train")
