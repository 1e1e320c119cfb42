"""Frequent labels with features of their own: they read the second half, and all other labels the first."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.training.runs import HEAD, LIGHT, fit_until, make, same_bits, states
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.topk import top_labels_of
from xmcpipe.training.trainer import Trainer

COUNT, WIDTH = 5, 32
OWN: dict[str, Any] = {"frequent_labels": COUNT, "frequent_features": "own"}
REWIRE = {"interval": 3, "fraction": 0.3, "prune": "row"}
MODES: dict[str, dict[str, Any]] = {
    "paper": {"loss": "bce", "head": {"fan_in": 6, "bias": True, **OWN}},
    "light": {**LIGHT, "head": {**HEAD, **OWN}},
    "gradient": {
        "loss": "bce",
        "head": {"fan_in": 6, "bias": True, **OWN},
        "rewire": {**REWIRE, "growth": "gradient", "window": 2},
    },
    "documents": {
        "loss": "bce",
        "head": {"fan_in": 6, "bias": True, **OWN},
        "rewire": {**REWIRE, "growth": "documents"},
    },
    "groups": {
        "loss": "bce",
        "head": {"fan_in": 6, "bias": True, "group": 4, "group_by": "frequency", **OWN},
        "rewire": {**REWIRE, "growth": "gradient", "window": 2},
    },
}


def assert_halves(trainer: Trainer) -> None:
    """No label reads a feature of the other half, and none reads one twice."""
    frequent = trainer.model.frequent
    assert frequent is not None
    of_sparse, of_frequent = trainer.model.head.index.int(), frequent.head.index.int()
    assert int(of_sparse.max()) < WIDTH // 2
    assert all(len(set(row.tolist())) == len(row) for row in of_sparse)
    assert {tuple(row.tolist()) for row in of_frequent} == {tuple(range(WIDTH // 2, WIDTH))}


@pytest.mark.parametrize("mode", MODES)
def test_the_halves_stay_apart(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    whole = make(shards, tiny_encoder, tmp_path / "whole", **MODES[mode])
    assert_halves(whole)
    first = whole.model.head.index.clone()
    whole.fit()
    assert whole.progress.rewirings > 1
    assert not torch.equal(first.int(), whole.model.head.index.int())
    assert_halves(whole)

    killed = make(shards, tiny_encoder, tmp_path / "killed", checkpoint_minutes=0.0, **MODES[mode])
    fit_until(killed, 7, monkeypatch)
    resumed = make(shards, tiny_encoder, tmp_path / "killed", checkpoint_minutes=0.0, **MODES[mode])
    resumed.fit()
    expected, found = states(whole), states(resumed)
    assert found.keys() == expected.keys()
    assert all(same_bits(found[name], expected[name]) for name in expected)


def test_a_ranking_needs_both_halves(shards: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    """Features of the second half change the scores of frequent labels, those of the first all others'."""
    trainer = make(shards, tiny_encoder, tmp_path, **MODES["paper"])
    trainer.fit()
    model, frequent = trainer.model.eval(), trainer.model.frequent
    assert frequent is not None
    chance = torch.Generator().manual_seed(1)
    features = torch.randn(3, WIDTH, generator=chance)
    changed = {"first": features.clone(), "second": features.clone()}
    changed["first"][:, : WIDTH // 2] += 1.0
    changed["second"][:, WIDTH // 2 :] += 1.0
    is_frequent = np.isin(np.arange(40), frequent.labels.numpy())

    def scores(features_BD: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            labels, values = top_labels_of(model, features_BD, 40, 16)
        return torch.zeros(3, 40).scatter_(1, labels, values)

    before = scores(features)
    for name, of_frequent in (("first", False), ("second", True)):
        differs = (scores(changed[name]) != before).any(0).numpy()
        assert np.array_equal(differs, is_frequent == of_frequent)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"frequent_features": "half"}, "frequent_features"),
        ({**OWN, "fan_in": 17}, "expected fan_in K <= features D"),
    ],
)
def test_what_is_refused(
    shards: Path, tiny_encoder: Path, tmp_path: Path, head: dict[str, Any], message: str
) -> None:
    with pytest.raises(XmcpipeError, match=message):
        make(shards, tiny_encoder, tmp_path, loss="bce", head={"bias": True, **head})
