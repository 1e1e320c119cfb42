"""A training that is killed anywhere and resumes from its checkpoint ends in the same bits."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.training.runs import HEAD, LIGHT, fit_until, make, require_same_end

MODES: dict[str, dict[str, Any]] = {
    "paper": {},
    "paper, sgd": {"loss": "bce", "head": HEAD, "accumulation": 2},
    "paper, float16": {"precision": "float16"},
    "paper, averaged": {"average": "ema", "average_decay": 0.8},
    "light": LIGHT,
    "light, 8 bits": {**LIGHT, "head": {**HEAD, "weight_dtype": "float8"}},
    "light, float32": {**LIGHT, "precision": "float32"},
    "light, no momentum": {**LIGHT, "head": {**HEAD, "momentum": 0.0}},
    "light, intermediate": {**LIGHT, "head": {**HEAD, "intermediate": 48}},
}


@pytest.mark.parametrize("mode", MODES)
# With the auxiliary branch, just after a rewiring; and without it.
@pytest.mark.parametrize("stop", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_the_same_bits(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, stop: int
) -> None:
    changes: dict[str, Any] = {"checkpoint_minutes": 0.0, "validation": 0.2, **MODES[mode]}
    whole = make(shards, tiny_encoder, tmp_path / "whole", dropout=0.1, **changes)
    whole.fit()
    stop = stop // changes.get("accumulation", 1)
    assert whole.progress.rewirings > 1 or "accumulation" in changes
    killed = make(shards, tiny_encoder, tmp_path / "killed", dropout=0.1, **changes)
    fit_until(killed, stop, monkeypatch)
    assert (stop <= 8) == (killed.model.auxiliary is not None) or "accumulation" in changes
    resumed = make(shards, tiny_encoder, tmp_path / "killed", dropout=0.1, **changes)
    torch.rand(7)  # changes the generator's state, which the checkpoint restores
    resumed.fit()
    require_same_end(resumed, whole)
