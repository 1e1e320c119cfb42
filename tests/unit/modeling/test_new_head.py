"""A new head is one file and one line: it trains, saves, loads, predicts, and its memory is planned."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.modeling.diagonal_head import DiagonalHead
from tests.unit.training.conftest import shards as shards  # the fixture
from tests.unit.training.runs import LABELS, make
from xmcpipe.config import from_table
from xmcpipe.data.shards.batches import collate
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.scorer import Scorer
from xmcpipe.memory.plan import other_memory, plan
from xmcpipe.memory.shape import BatchShape
from xmcpipe.modeling import heads
from xmcpipe.modeling.encoder import from_config
from xmcpipe.modeling.head_table import HEADS, HeadKind
from xmcpipe.modeling.saved import load_model, save_model
from xmcpipe.pieces import Pieces
from xmcpipe.training.config import TrainConfig

CPU = torch.device("cpu")
HEAD = {"kind": "diagonal", "bias": True}


@pytest.fixture(autouse=True)
def _line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adds the line of the new head to the table."""
    monkeypatch.setitem(HEADS, "diagonal", HeadKind("tests.unit.modeling.diagonal_head:DiagonalHead"))


def test_it_trains_saves_loads_and_predicts(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    trainer = make(shards, tiny_encoder, tmp_path / "run", head=HEAD, loss="bce", validation=0.2)
    before = trainer.model.head.weight.detach().clone()
    progress = trainer.fit()
    head = trainer.model.head
    assert isinstance(head, DiagonalHead)
    assert progress.rewirings == 0  # it can't rewire, whatever the recipe's interval
    assert head.first_connections() is None
    assert not torch.equal(head.weight, before)
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(folder, trainer.model, Pieces(16), {})
    model, facts = load_model(folder)
    assert facts["head"]["kind"] == "diagonal"
    assert torch.equal(model.head.weight, head.weight)
    batch = collate(trainer.feed.shards, np.arange(5), 0)
    labels_BK, scores_BK = Scorer(model, CPU, "float32", label_chunk=7).top(batch, 3)
    with torch.no_grad():
        ids_BS, mask_BS = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.mask)
        features_BD = model.features(model.embed(ids_BS, mask_BS))
        scores_BL = model.head.scores(features_BD, 0, LABELS)
    np.testing.assert_allclose(scores_BK, scores_BL.topk(3).values.numpy(), rtol=1e-5)
    np.testing.assert_array_equal(labels_BK, scores_BL.topk(3).indices.numpy())


def test_its_gradients_are_those_of_autograd() -> None:
    head = heads.build(heads.HeadShape("diagonal", 5, 12, 0, bias=False, first_label=3))
    head.reset_parameters()
    features_BD = torch.randn(4, 5, requires_grad=True)
    grad_scores_BC = torch.randn(4, 8)
    projected = features_BD.detach()
    found = [each(grad_scores_BC, projected, 2, 10) for each in (head.grad_projected, head.grad_weight)]
    expected = torch.autograd.grad(
        head._product(features_BD, 2, 10), [features_BD, head.weight], grad_scores_BC
    )
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1][2:10])


def test_its_memory_is_planned(tiny_encoder: Path) -> None:
    config = from_table(TrainConfig, {"head": HEAD}, "train")
    found = plan(config, lambda: from_config(str(tiny_encoder)), BatchShape(1000, 0, 8, 16, 24), "cuda")
    assert found.parts["classifier weights"] == 2 * 4096  # weight and bias, in blocks of 512 bytes
    assert "classifier indices" not in found.parts
    assert "rewiring" not in found.part_peaks
    assert found.floor.dense_flops == 6 * 8 * 1000 * 32
    assert other_memory(config) is None


def test_light_requires_an_ability_of_the_head() -> None:
    light = {"memory": "light", "head": {**HEAD, "optimizer": "sgd"}}
    with pytest.raises(XmcpipeError, match=r"expected head\.kind = 'ffi' with .*got head\.kind = 'diagonal'"):
        from_table(TrainConfig, light, "train")


def test_a_head_that_the_table_lacks_is_an_error() -> None:
    message = "expected one of 'ffi', 'dense', 'bottleneck', 'diagonal', got kind = 'cubic'"
    with pytest.raises(XmcpipeError, match=message):
        from_table(TrainConfig, {"head": {"kind": "cubic"}}, "train")
    with pytest.raises(XmcpipeError, match=message):
        heads.build(heads.HeadShape("cubic", 4, 4, 2, bias=False))
