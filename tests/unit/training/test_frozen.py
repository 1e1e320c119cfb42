"""A frozen encoder: the training is the same bit for bit as with the encoder in it, and resumes exactly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.encoders import HIDDEN
from tests.unit.training.runs import CPU, HEAD, LIGHT, fit_until, make, same_bits, states
from xmcpipe.config import from_table
from xmcpipe.data.embeddings import EmbeddingTable, EmbeddingWriter, embeddings_path
from xmcpipe.data.shards.files import Shards
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.encoder import load, pool
from xmcpipe.modeling.model import Model
from xmcpipe.training.build import new_model
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import EmbeddedBatch, Feed
from xmcpipe.training.trainer import Trainer

OFF = {"weight": 0.0}
MODES: dict[str, dict[str, Any]] = {
    "paper": {},
    "paper, sgd": {"loss": "bce", "head": HEAD, "accumulation": 2},
    "paper, dense": {"head": {"kind": "dense"}},
    "paper, clipped": {"encoder": {"dropout": 0.2, "max_grad_norm": 1.0}},
    "light": LIGHT,
    "light, intermediate": {**LIGHT, "head": {**HEAD, "intermediate": 48}},
    "gradient": {"rewire": {"interval": 3, "fraction": 0.3, "growth": "gradient", "window": 2}},
}
DOCUMENTS = {"rewire": {"interval": 3, "fraction": 0.3, "growth": "documents", "prune": "row"}}


@pytest.fixture
def embeddings(shards: Path, tiny_encoder: Path, tmp_path: Path) -> EmbeddingTable:
    """The embeddings of the training documents, each encoded alone."""
    documents, encoder = Shards(shards, "train"), load(str(tiny_encoder)).eval()
    values = []
    for row in range(len(documents)):
        tokens, _ = documents.tokens.gather(np.array([row]))
        ids = torch.from_numpy(tokens.astype(np.int64))[None]
        with torch.no_grad():
            hidden = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        values.append(pool(hidden, torch.ones_like(ids), "cls").half().numpy())
    EmbeddingWriter(embeddings_path(tmp_path, "train"), len(documents), HIDDEN).write(np.concatenate(values))
    return EmbeddingTable(tmp_path, "train")


def frozen(shards: Path, name: Path, scratch: Path, embeddings: EmbeddingTable, /, **changes: Any) -> Trainer:
    """As `runs.make`, on embeddings."""
    table: dict[str, Any] = {
        "epochs": 4,
        "batch_size": 16,
        "warmup_steps": 2,
        "precision": "float32",
        "validation": 0.2,
        "head": {"fan_in": 6, "bias": True},
        "rewire": {"interval": 3, "fraction": 0.3},
        **changes,
        "encoder": {"dropout": 0.2, **changes.get("encoder", {}), "frozen": True},
    }
    config = from_table(TrainConfig, table, "train")
    feed = Feed(shards, config, 0, CPU, embeddings)
    return Trainer(config, new_model(config, str(name), 204, feed, 0), feed, None, CPU, scratch)


@pytest.mark.parametrize("mode", MODES)
def test_the_training_is_that_with_the_encoder_in_it(
    shards: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    embeddings: EmbeddingTable,
    mode: str,
) -> None:
    trainer = frozen(shards, tiny_encoder, tmp_path / "frozen", embeddings, **MODES[mode])
    before = {name: value.clone() for name, value in trainer.model.encoder.state_dict().items()}
    trainer.fit()
    for name, value in trainer.model.encoder.state_dict().items():
        assert same_bits(value, before[name]), name
    assert trainer.progress.rewirings > 1 or "dense" in mode or "sgd" in mode

    # The same training, whose batches are tokens: the encoder runs in every step, one document at a time.
    def embed(model: Model, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        model.encoder.eval()
        with torch.no_grad():
            alone = [
                pool(model.encoder(ids[None, :count]).last_hidden_state, ids[None, :count], "cls")
                for ids, count in zip(input_ids_BS, mask_BS.sum(1).tolist(), strict=True)
            ]
        return torch.cat(alone).half().float()

    monkeypatch.setattr(Model, "embed", embed)
    settings: dict[str, Any] = {"validation": 0.2, "auxiliary": OFF, "encoder": {"dropout": 0.2}}
    # A live encoder without gradients has nothing to clip.
    changes = {key: value for key, value in MODES[mode].items() if key != "encoder"}
    live = make(shards, tiny_encoder, tmp_path / "live", frozen=True, **{**settings, **changes})
    live.model.encoder.float()  # memory = "light" has a 16-bit encoder where it is trained
    live.model.encoder.load_state_dict(before)
    live.fit()
    head = {name: value for name, value in live.model.state_dict().items() if not name.startswith("encoder.")}
    assert head
    for name, value in head.items():
        assert same_bits(value, trainer.model.state_dict()[name]), name
    assert live.progress.evaluations == trainer.progress.evaluations


@pytest.mark.parametrize("mode", ["paper", "light", "light, intermediate", "documents"])
def test_a_killed_training_resumes_with_the_same_bits(
    shards: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    embeddings: EmbeddingTable,
    mode: str,
) -> None:
    changes: dict[str, Any] = {"checkpoint_minutes": 0.0, **{**MODES, "documents": DOCUMENTS}[mode]}
    whole = frozen(shards, tiny_encoder, tmp_path / "whole", embeddings, **changes)
    whole.fit()
    killed = frozen(shards, tiny_encoder, tmp_path / "killed", embeddings, **changes)
    fit_until(killed, 5, monkeypatch)
    resumed = frozen(shards, tiny_encoder, tmp_path / "killed", embeddings, **changes)
    torch.rand(7)  # changes the generator's state, which the checkpoint restores
    resumed.fit()
    for name, tensor in states(whole).items():
        assert same_bits(states(resumed)[name], tensor), name
    assert resumed.progress.evaluations == whole.progress.evaluations


def test_batches_of_several_splits_hold_the_rows_of_each(tmp_path: Path) -> None:
    values = {"train": np.arange(6.0).reshape(3, 2), "label": np.arange(10.0, 14.0).reshape(2, 2)}
    for split, array in values.items():
        EmbeddingWriter(embeddings_path(tmp_path, split), len(array), 2).write(array.astype(np.float16))
    table = EmbeddingTable(tmp_path, "train", "label")
    assert (len(table), table.width) == (5, 2)
    assert table.gather(np.array([4, 0, 3, 0])).tolist() == [[12, 13], [0, 1], [10, 11], [0, 1]]
    assert table.gather(np.array([], np.int64)).shape == (0, 2)


def test_a_batch_has_the_embeddings_and_the_labels_of_its_rows(
    shards: Path, tiny_encoder: Path, tmp_path: Path, embeddings: EmbeddingTable
) -> None:
    feed = frozen(shards, tiny_encoder, tmp_path / "run", embeddings).feed
    rows = np.array([9, 2, 30])
    batch = feed.batch(rows)
    assert isinstance(batch, EmbeddedBatch)
    np.testing.assert_array_equal(batch.embedding_BE.numpy(), embeddings.gather(rows))
    labels = [Shards(shards, "train").labels.gather(rows[[row]])[0].tolist() for row in range(3)]
    pairs = sorted(zip(batch.positives.rows.tolist(), batch.positives.labels.tolist(), strict=True))
    assert pairs == [(row, label) for row, found in enumerate(labels) for label in found]


def test_the_auxiliary_loss_has_nothing_to_train() -> None:
    table = {"encoder": {"frozen": True}, "auxiliary": {"weight": 0.4}}
    with pytest.raises(XmcpipeError, match=r"expected auxiliary.weight = 0 with encoder.frozen .* got 0\.4"):
        from_table(TrainConfig, table, "train")
