"""First weights that separate means: what the means of documents score, in any layout of the heads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.encoders import HIDDEN
from tests.unit.training.shard_files import write_shards
from xmcpipe.config import from_table
from xmcpipe.data.embeddings import EmbeddingTable, EmbeddingWriter, embeddings_path
from xmcpipe.data.shards.files import Int64s, Shards
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import heads
from xmcpipe.modeling.encoder import from_config
from xmcpipe.modeling.frequent import OFF, FrequentLabels
from xmcpipe.modeling.heads import Head, HeadShape
from xmcpipe.modeling.heads.ffi import FFIHead
from xmcpipe.modeling.model import Model
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.initial import separating
from xmcpipe.training.initial.separating import MARGIN, separate_means

N, L, E, K = 60, 18, HIDDEN, 5


def world(folder: Path, seed: int) -> tuple[Shards, EmbeddingTable, list[list[int]]]:
    """60 documents of up to three labels, the last label on none; feature 2 is constant."""
    random = np.random.default_rng(seed)
    labels = [sorted(random.choice(L - 1, random.integers(0, 4), replace=False).tolist()) for _ in range(N)]
    write_shards(folder, [([5], found) for found in labels], num_labels=L, rows_per_shard=100)
    values = random.normal(0.3, 1.0, size=(N, E)).astype(np.float16)
    values[:, 2] = 0.7
    EmbeddingWriter(embeddings_path(folder, "train"), N, E).write(values)
    return Shards(folder, "train"), EmbeddingTable(folder, "train"), labels


def model_of(encoder: Path, group: int, frequent: list[int], order_seed: int) -> Model:
    """A model whose biases are 0.1 times the label, with groups in a random order."""
    head = heads.build(HeadShape("ffi", E, L, K, True, seed=3, group=group), "cpu")
    assert isinstance(head, FFIHead)
    head.reset_parameters()
    if group > 1:
        order = np.random.default_rng(order_seed).permutation(L)
        head.set_order(torch.from_numpy(order.astype(np.int32)))
    assert head.bias is not None
    head.bias.data.copy_(head.at_places(0.1 * torch.arange(L)))
    model = Model(from_config(str(encoder)), "mean", 0.0, 0, head, 0)
    if frequent:
        shape = HeadShape("ffi", E, len(frequent), E, True, seed=4, group=group)
        model.frequent = FrequentLabels(shape, "cpu")
        model.frequent.head.reset_parameters()
        model.frequent.take(torch.tensor(frequent), head)
    return model


def score(head: Head, place: int, features: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    assert head.bias is not None
    index = head.index[place // head.shape.group].int().numpy()
    weight = head.weight[place].detach().double().numpy()
    return float(weight @ features[index]) + float(head.bias[place].detach())


@given(st.integers(0, 30), st.integers(1, 9), st.sampled_from([1, 4]), st.sampled_from([[], [0, 3, 7]]))
def test_the_mean_of_a_label_scores_above_that_of_all(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_encoder: Path,
    seed: int,
    chunk: int,
    group: int,
    frequent: list[int],
) -> None:
    shards, embeddings, labels = world(tmp_path_factory.mktemp("world"), seed)
    rows: Int64s = np.flatnonzero(np.random.default_rng(seed).random(N) < 0.8)
    model = model_of(tiny_encoder, group, frequent, seed)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(separating, "chunk_rows", lambda width: chunk)
        number = separate_means(model, embeddings, shards, rows)
    values = embeddings.gather(rows).astype(np.float64)
    seen = 0
    for label in range(L):
        head, place = model.head, int(model.head.places_of(torch.tensor([label])))
        own = [place for place, row in enumerate(rows) if label in labels[row]]
        if label in frequent:
            assert model.frequent is not None
            assert float(before["head.bias"][place]) == OFF
            assert float(model.state_dict()["head.bias"][place]) == OFF
            head, place = model.frequent.head, frequent.index(label)
        if not own:
            prefix = "frequent.head" if label in frequent else "head"
            assert torch.equal(head.weight[place], before[f"{prefix}.weight"][place])
            continue
        seen += 1
        assert score(head, place, values.mean(0)) == pytest.approx(0.1 * label, abs=1e-4)
        expected = 0.1 * label + MARGIN * len(own) / (len(own) + 1)
        assert score(head, place, values[own].mean(0)) == pytest.approx(expected, abs=1e-4)
    assert number == seen


def test_of_all_directions_it_is_that_of_the_difference_over_the_variance(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    shards, embeddings, labels = world(tmp_path, 5)
    model = model_of(tiny_encoder, 1, [], 0)
    separate_means(model, embeddings, shards, np.arange(N))
    values = embeddings.gather(np.arange(N)).astype(np.float64)
    for label in range(L - 1):
        own = [row for row in range(N) if label in labels[row]]
        index = model.head.index[label].int().numpy()
        variance = np.where(index == 2, np.inf, values.var(0)[index])
        direction = (values[own].mean(0) - values.mean(0))[index] / variance
        found = model.head.weight[label].detach().double().numpy()
        np.testing.assert_allclose(
            found / np.linalg.norm(found), direction / np.linalg.norm(direction), atol=1e-5
        )


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"intermediate": 64}, r"expected intermediate = 0 with weight_init = 'means'.* got 64"),
        ({"kind": "dense"}, r"expected a sparse head with weight_init = 'means', got kind = 'dense'"),
    ],
)
def test_what_has_no_such_weights_is_refused(head: dict[str, object], message: str) -> None:
    with pytest.raises(XmcpipeError, match=message):
        from_table(TrainConfig, {"head": {"weight_init": "means", **head}}, "train")
