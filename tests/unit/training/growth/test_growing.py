"""Trainings that grow by gradient: they choose as a whole layer would, and resume with the same bits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.training.runs import LIGHT, make, same_bits, states
from xmcpipe.config import from_table, to_table
from xmcpipe.data.shards.files import Int64s
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.tensors import TensorFile, save
from xmcpipe.training import checkpoint
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.growth.cache import PLACES, WrittenFeatures
from xmcpipe.training.growth.choice import largest_unread
from xmcpipe.training.growth.gradient import AverageGradient, LabelledDocuments
from xmcpipe.training.growth.state import Growth
from xmcpipe.training.rewiring import Cut, next_rewiring
from xmcpipe.training.trainer import Trainer

REWIRE: dict[str, Any] = {"interval": 5, "fraction": 0.3, "prune": "row", "until": 1.0}
MODES: dict[str, dict[str, Any]] = {
    "paper": {},
    "paper, accumulation": {"loss": "bce", "accumulation": 2},
    "light": LIGHT,
    "light, threshold": {**LIGHT, "rewire": {"interval": 5, "mode": "threshold", "threshold": 0.1}},
}


def growth(trainer: Trainer) -> Growth:
    assert trainer.growth is not None
    return trainer.growth


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["gradient", "documents"])
def test_a_training_grows_at_the_largest_gradients(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, kind: str
) -> None:
    changes = {**MODES[mode]}
    changes["rewire"] = {**REWIRE, **changes.get("rewire", {}), "growth": kind, "window": 3}
    changes["rewire"].update({"prune": "layer"} if "threshold" in mode else {})
    trainer = make(shards, tiny_encoder, tmp_path / "run", **changes)
    head, calls = trainer.model.head, 0
    rewire = growth(trainer).rewire

    def watched(moments: list[Tensor], cut: Cut, rewiring: int) -> int:
        nonlocal calls
        ring = growth(trainer).ring
        assert ring is not None
        before, kept = head.index.clone(), ring.contents()
        documents = LabelledDocuments(kept.pairs, lambda rows: kept.features[rows], len(kept.rows))
        if (cache := growth(trainer).documents) is not None:
            documents = growth(trainer)._of_cache(cache)
        average = AverageGradient(head, trainer.config.loss, kept, documents)
        average_LD = average.of(torch.arange(head.num_labels))
        replaced = rewire(moments, cut, rewiring)
        pruned = head.weight == 0
        assert replaced == pruned.sum() > 0
        assert torch.equal(head.index.int(), largest_unread(average_LD, before, pruned).int())
        assert all((moment[pruned] == 0).all() for moment in moments)
        calls += 1
        return replaced

    monkeypatch.setattr(trainer.growth, "rewire", watched)
    trainer.fit()
    assert calls == trainer.progress.rewirings > 0


def test_only_batches_that_a_rewiring_uses_are_kept(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    rewire = {"interval": 5, "growth": "gradient", "window": 2, "until": 0.7}  # of 16 steps: 5 and 10
    trainer = make(shards, tiny_encoder, tmp_path, rewire=rewire)
    kept = []
    for step in range(1, 17):
        growth(trainer).begin(step)
        if growth(trainer)._kept:
            kept.append(step)
    assert kept == [4, 5, 9, 10]
    config = trainer.config.rewire
    assert [next_rewiring(config, step, 16) for step in (1, 5, 6, 11)] == [5, 5, 10, None]


def test_settings_that_cannot_grow_are_refused() -> None:
    for table, message in (
        ({"head": {"kind": "dense"}, "rewire": {"growth": "gradient"}}, "expected a head that rewires"),
        (
            {
                "encoder": {"frozen": True},
                "head": {"intermediate": 64},
                "rewire": {"growth": "documents"},
            },
            r"expected head.intermediate = 0 with rewire.growth = 'documents' .* got 64",
        ),
        ({"rewire": {"window": 0}}, "expected window >= 1"),
        ({"rewire": {"growth": "rigl"}}, "growth"),
        (
            {
                "encoder": {"frozen": True},
                "head": {"intermediate": 64, "word_fan_in": 8},
                "rewire": {"word_growth": "documents"},
            },
            r"expected head.intermediate = 0 with rewire.word_growth = 'documents'",
        ),
    ):
        with pytest.raises(XmcpipeError, match=message):
            from_table(TrainConfig, table, "train")


def test_by_default_the_fingerprint_is_the_old_one() -> None:
    table = to_table(TrainConfig(), keys="identity")
    assert not {"growth", "word_growth", "window"} & table["rewire"].keys()


class Killed(BaseException):
    """The signal that ends a run."""


# A checkpoint after every step, or at the end of an epoch only: none before step 4.
@pytest.mark.parametrize(
    ("minutes", "stop"), [(0.0, 6), pytest.param(10.0, 1, marks=pytest.mark.slow), (10.0, 10)]
)
@pytest.mark.parametrize(
    "changes",
    [
        {"rewire": {**REWIRE, "growth": "gradient", "window": 3}},
        {"rewire": {**REWIRE, "growth": "documents", "window": 3}, "encoder": {"dropout": 0.3}},
        {**LIGHT, "rewire": {**REWIRE, "growth": "documents"}},
        {
            "rewire": {**REWIRE, "growth": "documents"},
            "head": {"fan_in": 6, "intermediate": 48},
            "encoder": {"dropout": 0.3},
        },
    ],
    ids=["gradient", "documents", "light", "intermediate"],
)
def test_a_killed_training_resumes_with_the_same_bits(
    shards: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    stop: int,
    minutes: float,
) -> None:
    settings = {"checkpoint_minutes": minutes, "validation": 0.2, "auxiliary": {"weight": 0.0}, **changes}
    whole = make(shards, tiny_encoder, tmp_path / "whole", dropout=0.1, **settings)
    whole.fit()
    assert whole.progress.rewirings == 3
    killed = make(shards, tiny_encoder, tmp_path / "killed", dropout=0.1, **settings)
    step = killed.step

    def step_or_die(group: list[Int64s]) -> float:
        loss = step(group)
        if killed.progress.step == stop:
            raise Killed  # after the features of this step were written, before a checkpoint of it
        return loss

    monkeypatch.setattr(killed, "step", step_or_die)
    with pytest.raises(Killed):
        killed.fit()
    resumed = make(shards, tiny_encoder, tmp_path / "killed", dropout=0.1, **settings)
    if checkpoint.newest_first(tmp_path / "killed"):
        torch.rand(7)  # changes the generator's state, which the checkpoint restores
    resumed.fit()
    for name, tensor in {**states(whole), **growth(whole).tensors()}.items():
        found = {**states(resumed), **growth(resumed).tensors()}[name]
        # Where features are in their file depends on when checkpoints were written; see `gather` below.
        assert name.endswith((".places", ".earlier")) or same_bits(found, tensor), name
    one, other = growth(whole).documents, growth(resumed).documents
    if one is not None and other is not None:
        rows = whole.feed.train_rows
        assert one.seen(rows).all()
        assert other.seen(rows).all()
        np.testing.assert_array_equal(other.gather(rows), one.gather(rows))
    assert resumed.progress.evaluations == whole.progress.evaluations


def test_a_checkpoint_keeps_the_features_that_it_saw(tmp_path: Path) -> None:
    """Whatever is written after it, and however often."""
    cache, rows = WrittenFeatures(tmp_path / "features.f16", 6, 3), np.array([4, 0])
    assert cache.num_seen == 0
    cache.keep(rows, torch.arange(6.0).view(2, 3))
    cache.checkpointed()
    saved = cache.tensors()["places"].clone()
    for number in range(3):
        cache.keep(np.array([0, 5]), torch.full((2, 3), 1e6 + number))
    assert cache.gather(np.array([5, 4, 0])).tolist() == [[65504] * 3, [0, 1, 2], [65504] * 3]
    assert cache.num_seen == 3
    later = WrittenFeatures(tmp_path / "features.f16", 6, 3)  # the file of a killed training
    later._place_N[:] = saved.numpy()
    later.checkpointed()
    assert later.seen(np.arange(6)).tolist() == [True, False, False, False, True, False]
    assert later.gather(rows).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (tmp_path / "features.f16").stat().st_size == PLACES * 6 * 3 * 2


def test_both_kept_checkpoints_keep_their_features(tmp_path: Path) -> None:
    cache, rows = WrittenFeatures(tmp_path / "features.f16", 4, 3), np.array([1, 3])
    states: list[dict[str, torch.Tensor]] = []
    for number in range(5):
        for _ in range(2):
            cache.keep(rows, torch.full((2, 3), float(number)))
        states.append({name: tensor.clone() for name, tensor in cache.tensors().items()})
        cache.checkpointed()
        cache.keep(rows, torch.full((2, 3), -1.0))  # after the checkpoint
        for kept in range(max(0, number - 1), number + 1):
            save(tmp_path / "state", states[kept])
            later = WrittenFeatures(tmp_path / "features.f16", 4, 3)
            assert later.fault(TensorFile(tmp_path / "state"), "") is None
            later.restore(TensorFile(tmp_path / "state"), "", {})
            assert later.gather(rows).tolist() == [[kept] * 3] * 2
    data = bytearray((tmp_path / "features.f16").read_bytes())
    place = int(states[-1]["places"][3]) - 1
    data[(place * 4 + 3) * 3 * 2] ^= 1
    (tmp_path / "features.f16").write_bytes(data)
    fault = cache.fault(TensorFile(tmp_path / "state"), "")
    assert fault == "the features of document 3 in features.f16 were changed"
