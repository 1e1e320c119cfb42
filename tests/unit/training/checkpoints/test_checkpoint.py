"""Checkpoints are complete at any moment, and restore everything that they hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.training import checkpoint
from xmcpipe.training.checkpoint import Progress
from xmcpipe.training.updates.optimizer import restore_state, state_tensors

CPU = torch.device("cpu")


class Momentum:
    """The smallest class with a state: SGD with momentum."""

    def __init__(self, model: torch.nn.Linear) -> None:
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def tensors(self) -> dict[str, Tensor]:
        return state_tensors(self.optimizer)

    def facts(self) -> dict[str, Any]:
        return {"lr": self.optimizer.param_groups[0]["lr"]}

    def restore(self, file: TensorFile, prefix: str, facts: dict[str, Any]) -> None:
        restore_state(self.optimizer, file, prefix)
        assert facts == self.facts()


def make() -> tuple[torch.nn.Linear, Momentum]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, Momentum(model)


def latest(folder: Path) -> Path:
    return checkpoint.newest_first(folder)[0]


def step(model: torch.nn.Linear, state: Momentum) -> None:
    torch.autograd.backward(model(torch.rand(4, 3)).square().sum())
    state.optimizer.step()
    state.optimizer.zero_grad()


def test_everything_is_restored(tmp_path: Path) -> None:
    model, state = make()
    step(model, state)
    checkpoint.write(tmp_path, Progress(step=1, loss_sum=0.25), model, state, CPU)
    step(model, state)
    expected = [parameter.clone() for parameter in model.parameters()]
    model, state = make()
    place = latest(tmp_path)
    assert checkpoint.read_progress(place) == Progress(step=1, loss_sum=0.25)
    checkpoint.restore(place, model, state, CPU)
    step(model, state)  # draws the same random batch, and uses the restored momentum
    for one, other in zip(model.parameters(), expected, strict=True):
        assert torch.equal(one, other)


def test_the_last_two_checkpoints_remain(tmp_path: Path) -> None:
    model, state = make()
    for progress in (Progress(step=9), Progress(step=10), Progress(step=10, epoch=1)):
        checkpoint.write(tmp_path, progress, model, state, CPU)
        assert checkpoint.read_progress(latest(tmp_path)) == progress
        assert checkpoint.fault(latest(tmp_path)) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-000000010-000000",
        "checkpoint-000000010-000001",
    ]


@pytest.mark.parametrize("second", [Progress(step=7), Progress(step=7, epoch=1), Progress(step=8)])
def test_a_write_that_dies_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: Progress
) -> None:
    model, state = make()
    checkpoint.write(tmp_path, Progress(step=7), model, state, CPU)

    def die(path: Path, tensors: Mapping[str, Tensor]) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", die)
        try:
            checkpoint.write(tmp_path, second, model, state, CPU)
        except KeyboardInterrupt:
            assert second != Progress(step=7)
    place = latest(tmp_path)
    assert checkpoint.read_progress(place).step == 7
    checkpoint.restore(place, model, state, CPU)
    checkpoint.write(tmp_path, Progress(step=8), model, state, CPU)
    assert checkpoint.read_progress(latest(tmp_path)).step == 8
