"""A training that starts from a model: its first weights in every dtype, and the same bits after a kill."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.unit.training.runs import HEAD, LABELS, LIGHT, fit_until, make, require_same_end
from tests.unit.training.shard_files import write_shards
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.saved import load_model, save_model
from xmcpipe.ops.rounding import FLOAT8, FLOAT8_MAX, FLOAT8_SCALE
from xmcpipe.pieces import Pieces

FLOAT8_MODE: dict[str, Any] = {**LIGHT, "head": {**HEAD, "weight_dtype": "float8"}}
MODES: dict[str, dict[str, Any]] = {
    "float32": {"loss": "bce", "head": HEAD},
    "averaged": {"loss": "bce", "head": HEAD, "average": "ema", "average_decay": 0.8},
    "bfloat16": LIGHT,
    "float8": FLOAT8_MODE,
    "grouped": {**LIGHT, "head": {**HEAD, "group": 4, "group_by": "random"}},
    "grown": {
        **LIGHT,
        "rewire": {"interval": 3, "fraction": 0.3, "growth": "gradient"},
    },
}
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float8": FLOAT8}
SHARED = {old: (old * 7 + 3) % LABELS for old in range(0, LABELS, 2)}  # ids of labels of both, old: new


class Sources:
    """Models that trainings start from, one for each mode; half of their vocabulary is that of the shards."""

    def __init__(self, folder: Path, encoder: Path) -> None:
        self.shards, self._folder, self._encoder = folder, folder, encoder
        random = np.random.default_rng(0)
        texts = [random.integers(4, 204, random.integers(3, 9)).tolist() for _ in range(64)]
        labels = random.integers(0, LABELS, 64).tolist()
        write_shards(folder, [(text, [label]) for text, label in zip(texts, labels, strict=True)], LABELS)

    def of(self, mode: str) -> Path:
        """The folder of a model that was trained for an epoch as `mode` says."""
        folder = self._folder / f"model {mode}"
        if not folder.exists():
            changes = {**MODES[mode], "epochs": 1, "validation": 0.2, "seed": 5}
            trainer = make(self.shards, self._encoder, self._folder / f"scratch {mode}", **changes)
            trainer.fit()
            folder.mkdir()
            save_model(folder, trainer.model, Pieces(16), {})
            names = [f"l{SHARED[old]}" if old in SHARED else f"old {old}" for old in range(LABELS)]
            table = pa.table({"label": names, "text": pa.nulls(LABELS, pa.string())})
            pq.write_table(table, folder / "labels.parquet")
        return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Sources:
    return Sources(tmp_path_factory.mktemp("sources"), tiny_encoder)


def values_of(model: Model) -> torch.Tensor:
    """The weights of the head, float64 [L, K], decoded here."""
    stored = model.head.weight.detach()
    return stored.double() / FLOAT8_SCALE if stored.dtype == FLOAT8 else stored.double()


def rounded(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What is closest to each value among all numbers of the dtype; of two, the one with an even code."""
    if dtype != FLOAT8:
        return values.to(dtype).double()
    codes = torch.arange(256, dtype=torch.uint8).view(FLOAT8).double() / FLOAT8_SCALE
    distance = (values.clamp(-FLOAT8_MAX, FLOAT8_MAX)[..., None] - codes).abs().nan_to_num(torch.inf)
    even = distance + 1e-12 * (torch.arange(256) % 2)
    return codes[even.argmin(-1)]


@pytest.mark.parametrize("before", list(TYPES))
@pytest.mark.parametrize("after", list(TYPES))
def test_the_first_rows_are_those_of_the_model(
    sources: Sources, tiny_encoder: Path, tmp_path: Path, before: str, after: str
) -> None:
    """Every shared label reads the same features with the old weights, as near as the new dtype has them."""
    shards, folder = sources.shards, sources.of(before)
    old, _ = load_model(folder)
    anew = make(shards, tiny_encoder, tmp_path / "anew", **MODES[after]).model
    new = make(shards, tiny_encoder, tmp_path / "new", start=folder, **MODES[after]).model
    assert old.head.weight.dtype == TYPES[before]
    assert new.head.weight.dtype == TYPES[after]
    old_n, new_n = list(SHARED), list(SHARED.values())
    assert torch.equal(values_of(new)[new_n], rounded(values_of(old)[old_n], TYPES[after]))
    assert torch.equal(new.head.index.int()[new_n], old.head.index.int()[old_n])
    assert new.head.bias is not None
    assert old.head.bias is not None
    assert torch.equal(new.head.bias[new_n], old.head.bias[old_n])
    others = sorted(set(range(LABELS)) - set(new_n))
    assert torch.equal(values_of(new)[others], values_of(anew)[others])
    assert torch.equal(new.head.index.int()[others], anew.head.index.int()[others])
    for name, tensor in old.encoder.state_dict().items():
        assert torch.equal(new.encoder.state_dict()[name], tensor.to(new.encoder.state_dict()[name])), name


# With the auxiliary branch, and without it.
@pytest.mark.parametrize(
    ("mode", "stop"),
    [("float32", 2), ("averaged", 10), ("bfloat16", 10), ("float8", 2), ("grouped", 10), ("grown", 10)],
)
def test_a_kill_changes_no_bit(
    sources: Sources,
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    stop: int,
) -> None:
    shards, folder = sources.shards, sources.of(mode)
    changes = {"checkpoint_minutes": 0.0, "validation": 0.2, "dropout": 0.1, "start": folder, **MODES[mode]}
    whole = make(shards, tiny_encoder, tmp_path / "whole", **changes)
    whole.fit()
    assert whole.progress.rewirings > 1
    killed = make(shards, tiny_encoder, tmp_path / "killed", **changes)
    fit_until(killed, stop, monkeypatch)
    resumed = make(shards, tiny_encoder, tmp_path / "killed", **changes)
    torch.rand(7)  # changes the generator's state, which the checkpoint restores
    resumed.fit()
    require_same_end(resumed, whole)
