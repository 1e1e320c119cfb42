"""A training that stops anywhere and goes on from its checkpoint ends in the same bits."""

import pytest
import torch

from tests.unit.training.runs import HEAD, LIGHT, make

WHOLE = {
    "light, float32": {**LIGHT, "precision": "float32"},
    "light, no momentum": {**LIGHT, "head": {**HEAD, "momentum": 0.0}},
}
MODES = {
    "paper": {},
    "paper, sgd": {"loss": "bce", "head": HEAD, "accumulation": 2},
    "paper, float16": {"precision": "float16"},
    "light": LIGHT,
    **WHOLE,
    "light, intermediate": {**LIGHT, "head": {**HEAD, "intermediate": 48}},
}


class Killed(BaseException):
    pass


def end(trainer):
    """Everything there is after the last step, copied."""
    tensors = {**trainer.model.state_dict(), **trainer.updates.tensors()}
    return {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stop", [3, 10])  # with the auxiliary branch, just rewired; and without it
def test_the_same_bits(shards, tiny_encoder, tmp_path, mode, stop):
    changes = {"dropout": 0.1, "checkpoint_minutes": 0.0, "validation": 0.2, **MODES[mode]}
    whole = make(shards, tiny_encoder, tmp_path / "whole", **changes)
    whole.fit()
    stop = stop // changes.get("accumulation", 1)
    assert whole.progress.rewirings > 1 or "accumulation" in changes
    killed = make(shards, tiny_encoder, tmp_path / "killed", **changes)
    before = killed._before_step

    def die():
        if killed.progress.step == stop:
            raise Killed
        before()

    killed._before_step = die
    with pytest.raises(Killed):
        killed.fit()
    assert (stop < 8) == (killed.model.auxiliary is not None) or "accumulation" in changes
    resumed = make(shards, tiny_encoder, tmp_path / "killed", **changes)
    torch.rand(7)  # the generator's state is the checkpoint's
    resumed.fit()
    expected, found = end(whole), end(resumed)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name].reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8)), (
            name
        )
    assert resumed.progress.evaluations == whole.progress.evaluations
