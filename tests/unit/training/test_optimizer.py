"""Parameter groups and their rates; dropping a group frees its state."""

from pathlib import Path
from typing import Literal

import pytest
import torch

from xmcpipe.modeling import encoder, heads
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.model import Model
from xmcpipe.training.config import AuxiliaryConfig
from xmcpipe.training.encoder_config import EncoderConfig
from xmcpipe.training.head_config import HeadConfig
from xmcpipe.training.updates.optimizer import (
    classifier_optimizer,
    drop_group,
    encoder_optimizer,
    moments,
    set_rate,
)


@pytest.fixture
def model(tiny_encoder: Path) -> Model:
    head = heads.build(HeadShape("ffi", 16, 12, 4, bias=True))
    head.reset_parameters()
    return Model(encoder.load(str(tiny_encoder)), "cls", 0.0, 16, head, num_clusters=3)


def test_every_parameter_has_one_group_and_its_own_rate(model: Model) -> None:
    config = HeadConfig(lr=0.02, intermediate_lr=0.003)
    classifier = classifier_optimizer(model, config, AuxiliaryConfig(weight=0.4, lr=0.0005))
    rates = {group["name"]: group["lr"] for group in classifier.param_groups}
    assert rates == {"head": 0.02, "bias": 0.02, "intermediate": 0.003, "auxiliary": 0.0005}
    encoders = encoder_optimizer(model, EncoderConfig(weight_decay=0.01))
    assert [group["weight_decay"] for group in encoders.param_groups] == [0.01, 0.0]
    held = [id(p) for o in (classifier, encoders) for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())
    set_rate(classifier, 0.5)
    assert [group["lr"] for group in classifier.param_groups] == [0.01, 0.01, 0.0015, 0.00025]


@pytest.mark.parametrize(("kind", "count"), [("adamw", 2), ("adam", 2), ("sgd", 1)])
def test_moments_have_the_parameters_shape_and_are_dropped_with_the_group(
    model: Model, kind: Literal["adamw", "adam", "sgd"], count: int
) -> None:
    optimizer = classifier_optimizer(model, HeadConfig(optimizer=kind), AuxiliaryConfig(weight=0.4))
    auxiliary = model.auxiliary
    assert auxiliary is not None
    for parameter in [*model.head.parameters(), *auxiliary.parameters()]:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    found = moments(optimizer, model.head.weight)
    assert len(found) == count
    assert all(moment.shape == model.head.weight.shape for moment in found)
    drop_group(optimizer, "auxiliary")
    assert auxiliary.weight not in optimizer.state
    assert auxiliary.weight.grad is None
    assert len(moments(optimizer, model.head.weight)) == count
