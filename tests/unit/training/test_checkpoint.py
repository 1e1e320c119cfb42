"""Checkpoints: whole at any moment, and all that they hold comes back."""

import pytest
import torch
from xmcpipe.training.optimizer import restore_state, state_tensors

from xmcpipe.training import checkpoint
from xmcpipe.training.checkpoint import Progress

CPU = torch.device("cpu")


class Momentum:
    """The least that has a state."""

    def __init__(self, model):
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def tensors(self):
        return state_tensors(self.optimizer)

    def facts(self):
        return {"lr": self.optimizer.param_groups[0]["lr"]}

    def restore(self, file, prefix, facts):
        restore_state(self.optimizer, file, prefix)
        assert facts == self.facts()


def make():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, Momentum(model)


def step(model, state):
    model(torch.rand(4, 3)).square().sum().backward()
    state.optimizer.step()
    state.optimizer.zero_grad()


def test_everything_comes_back(tmp_path):
    model, state = make()
    step(model, state)
    checkpoint.write(tmp_path, Progress(step=1, loss_sum=0.25), model, state, CPU)
    step(model, state)
    expected = [parameter.clone() for parameter in model.parameters()]
    model, state = make()
    place = checkpoint.latest(tmp_path)
    assert checkpoint.read_progress(place) == Progress(step=1, loss_sum=0.25)
    checkpoint.restore(place, model, state, CPU)
    step(model, state)  # the same random batch, momentum and all
    for one, other in zip(model.parameters(), expected, strict=True):
        assert torch.equal(one, other)


def test_the_newest_alone_is_kept(tmp_path):
    parts = make()
    for progress in (Progress(step=9), Progress(step=10), Progress(step=10, epoch=1)):
        checkpoint.write(tmp_path, progress, *parts, CPU)
        assert checkpoint.read_progress(checkpoint.latest(tmp_path)) == progress
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("second", [Progress(step=7), Progress(step=7, epoch=1), Progress(step=8)])
def test_a_write_that_dies_leaves_the_one_before(tmp_path, monkeypatch, second):
    parts = make()
    checkpoint.write(tmp_path, Progress(step=7), *parts, CPU)

    def die(path, tensors):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", die)
        try:
            checkpoint.write(tmp_path, second, *parts, CPU)
        except KeyboardInterrupt:
            assert second != Progress(step=7)
    place = checkpoint.latest(tmp_path)
    assert checkpoint.read_progress(place).step == 7
    checkpoint.restore(place, *parts, CPU)
    checkpoint.write(tmp_path, Progress(step=8), *parts, CPU)
    assert checkpoint.read_progress(checkpoint.latest(tmp_path)).step == 8
