"""`cluster`: every label in one cluster, sizes within one, the same bytes again, and clear errors."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.clustering.config import ClusterConfig
from xmcpipe.config import from_table
from xmcpipe.data.schema import CLUSTERS, CLUSTERS_WITH_ORDER, LABELS
from xmcpipe.data.shards.files import ShardWriter, shard_path
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.cluster import CLUSTER
from xmcpipe.stages.stage import Result

TOPICS, LABELS_A_TOPIC = 6, 8
VOCABULARY = 4 + 10 * TOPICS


def write(folder: Path, split: str, tokens: list[list[int]], labels: list[list[int]]) -> None:
    with ShardWriter(shard_path(folder, split, 0)) as shard:
        ids = pa.array([str(row) for row in range(len(tokens))], pa.string())
        shard.write(ids, *(pa.array(part, pa.list_(pa.int32())) for part in (tokens, labels)))


def make_shards(folder: Path, encoder: str = "none", texts: bool = True, train: bool = True) -> Path:
    """Labels on six topics, whose documents and texts are made of the topic's own ten words.

    Label l is of topic l % 6. The last topic's labels have no documents, the last label has no text either.
    """
    folder.mkdir()
    random = np.random.default_rng(0)
    num_labels = TOPICS * LABELS_A_TOPIC

    def text(topic: int, words: int) -> list[int]:
        return [2, *(4 + 10 * topic + random.integers(0, 10, words)).tolist(), 3]

    topics = random.integers(0, TOPICS - 1, 400)
    labels = [[int(topic + TOPICS * random.integers(0, LABELS_A_TOPIC))] for topic in topics]
    write(folder, "train", [text(topic, 9) for topic in topics] if train else [], labels if train else [])
    named = range(num_labels - 1) if texts else range(0)
    write(folder, "label", [text(label % TOPICS, 5) for label in named], [[label] for label in named])
    names = [str(label) for label in range(num_labels)]
    pq.write_table(pa.table({"label": names, "text": names}, schema=LABELS), folder / "labels.parquet")
    Manifest("tokenize", "shards", 1, "0" * 64, {"encoder": encoder, "max_length": 16}, {}, {}, {}, {}).write(
        folder
    )
    return folder


def run(config: ClusterConfig, shards: Path, out: Path) -> tuple[npt.NDArray[np.int32], Result]:
    out.mkdir()
    result = CLUSTER.run(config, {"shards": shards}, out, out)
    table = pq.read_table(out / "clusters.parquet")
    assert table.schema.equals(CLUSTERS_WITH_ORDER if config.group else CLUSTERS)
    clusters = table["cluster"].to_numpy()
    sizes = np.bincount(clusters, minlength=result.figures["num_clusters"])
    assert len(clusters) == result.rows["clusters.parquet"] == TOPICS * LABELS_A_TOPIC
    assert len(sizes) == result.figures["num_clusters"]
    assert (sizes.min(), sizes.max()) == (result.figures["size_min"], result.figures["size_max"])
    assert sizes.max() - sizes.min() <= 1
    return clusters, result


def purity(clusters: npt.NDArray[np.int32], num_topics: int = TOPICS) -> float:
    """The fraction of labels that have the most common topic of their cluster."""
    topics = np.arange(len(clusters)) % TOPICS
    together = np.zeros((clusters.max() + 1, TOPICS), int)
    np.add.at(together, (clusters, topics), 1)
    return float(together[:, :num_topics].max(1).sum() / (topics < num_topics).sum())


def test_labels_of_a_topic_come_together(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards")
    config = ClusterConfig(num_clusters=TOPICS - 1, dim=20)
    clusters, result = run(config, shards, tmp_path / "one")
    assert purity(clusters, TOPICS - 1) > 0.9
    figures = result.figures
    assert figures["similarity"] > figures["similarity_random"] + 0.2
    # The last topic's words are in no document, so that its texts have no weight: its labels fill up.
    assert (figures["labels_from_text"], figures["labels_filled_up"]) == (0, LABELS_A_TOPIC)
    run(config, shards, tmp_path / "two")
    assert (tmp_path / "one/clusters.parquet").read_bytes() == (
        tmp_path / "two/clusters.parquet"
    ).read_bytes()


@pytest.mark.parametrize("method", ["pifa", "random"])
def test_groups_lie_within_clusters(tmp_path: Path, method: str) -> None:
    shards = make_shards(tmp_path / "shards")
    config = from_table(
        ClusterConfig, {"num_clusters": 6, "dim": 20, "method": method, "group": 4}, "cluster"
    )
    clusters, result = run(config, shards, tmp_path / "out")
    positions = pq.read_table(tmp_path / "out/clusters.parquet")["position"].to_numpy()
    assert np.array_equal(np.sort(positions), np.arange(len(clusters)))
    groups = positions // 4  # clusters have eight labels
    assert all(len(set(clusters[groups == group])) == 1 for group in range(12))
    if method == "pifa":
        assert result.figures["group_similarity"] >= result.figures["similarity"]


@pytest.mark.parametrize("num_clusters", [0, 1, 5, 47, 48])
def test_any_number_of_clusters(tmp_path: Path, num_clusters: int) -> None:
    _, result = run(
        ClusterConfig(num_clusters=num_clusters), make_shards(tmp_path / "shards"), tmp_path / "out"
    )
    assert result.figures["num_clusters"] == (num_clusters or 2)


def test_random_reads_no_documents(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards")
    for path in shards.glob("*.arrow"):
        path.unlink()
    one, _ = run(ClusterConfig(method="random", num_clusters=6, seed=1), shards, tmp_path / "one")
    two, _ = run(ClusterConfig(method="random", num_clusters=6, seed=2), shards, tmp_path / "two")
    assert not np.array_equal(one, two)
    assert purity(one) < 0.7


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small random BERT."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    folder = tmp_path_factory.mktemp("encoder")
    BertModel(BertConfig(vocab_size=VOCABULARY, max_position_embeddings=32, **sizes)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("method", "filled"), [("text", 1), ("documents", 1)])
def test_embeddings_cluster_too(tmp_path: Path, encoder: Path, method: str, filled: int) -> None:
    shards = make_shards(tmp_path / "shards", str(encoder))
    config = from_table(ClusterConfig, {"method": method, "num_clusters": TOPICS, "device": "cpu"}, "cluster")
    clusters, result = run(config, shards, tmp_path / "out")
    assert purity(clusters) > 0.7  # by chance about 0.4
    assert result.figures["labels_filled_up"] == filled
    assert result.figures["labels_from_text"] == (47 if method == "text" else LABELS_A_TOPIC - 1)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_batch_embeds_as_each_document_does_alone(encoder: Path, pooling: str) -> None:
    import torch

    from xmcpipe.clustering.embedding import Embedding

    random = np.random.default_rng(0)
    lengths = np.array([3, 9, 1, 5, 9, 2], np.int32)
    tokens = random.integers(4, VOCABULARY, lengths.sum()).astype(np.int32)
    embedding = Embedding.of(str(encoder), pooling, 4, "cpu")  # type: ignore[arg-type]
    found = embedding(tokens, lengths)
    for row, ids in enumerate(np.split(tokens, np.cumsum(lengths)[:-1])):
        with torch.inference_mode():
            hidden = embedding.model(
                input_ids=torch.from_numpy(ids.astype(np.int64))[None]
            ).last_hidden_state[0]
        expected = hidden[0] if pooling == "cls" else hidden.mean(0)
        assert found[row] == pytest.approx(expected.numpy(), abs=1e-5)


def test_more_clusters_than_labels(tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match=r"expected at most 48 clusters, .* got cluster.num_clusters = 49"):
        run(ClusterConfig(num_clusters=49), make_shards(tmp_path / "shards"), tmp_path / "out")


def test_nothing_known_of_any_label(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", texts=False, train=False)
    with pytest.raises(XmcpipeError, match="'pifa': expected labels with a training document or a text"):
        run(ClusterConfig(), shards, tmp_path / "out")


def test_no_label_has_a_text(tmp_path: Path, encoder: Path) -> None:
    shards = make_shards(tmp_path / "shards", str(encoder), texts=False)
    with pytest.raises(XmcpipeError, match="'text': expected labels with a text"):
        run(ClusterConfig(method="text", device="cpu"), shards, tmp_path / "out")


def test_no_labels(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards")
    pq.write_table(LABELS.empty_table(), shards / "labels.parquet")
    with pytest.raises(XmcpipeError, match="expected shards with labels"):
        run(ClusterConfig(), shards, tmp_path / "out")


@pytest.mark.parametrize(
    "table",
    [{"num_clusters": -1}, {"dim": 1}, {"seed": -1}, {"swap_rounds": -1}, {"batch_size": 0}, {"method": "x"}],
)
def test_a_wrong_value_in_the_table(table: dict[str, object]) -> None:
    with pytest.raises(XmcpipeError, match="cluster"):
        from_table(ClusterConfig, json.loads(json.dumps(table)), "cluster")
