"""Tiny trainings: a trainer over 64 documents and 40 labels, in four clusters."""

import torch

from xmcpipe.config import from_table
from xmcpipe.training.build import build_model
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed
from xmcpipe.training.trainer import Trainer

CPU = torch.device("cpu")
LABELS = 40
CLUSTERS = torch.arange(LABELS) % 4
HEAD = {"fan_in": 8, "bias": True, "optimizer": "sgd", "lr": 0.5, "momentum": 0.9, "weight_decay": 1e-3}
LIGHT = {"memory": "light", "precision": "bfloat16", "loss": "bce", "head": HEAD}


def make(shards, encoder_folder, scratch, /, frozen=False, dropout=0.0, **changes):
    """A trainer, without dropout inside the encoder unless it is asked for; `frozen`: the encoder."""
    table = {
        "epochs": 4,
        "batch_size": 16,
        "warmup_steps": 2,
        "precision": "float32",
        "validation": 0.0,
        "encoder": {"dropout": 0.0},
        "head": {"fan_in": 6, "bias": True},
        "rewire": {"interval": 3, "fraction": 0.3},
        "auxiliary": {"weight": 0.4, "cutoff_epoch": 2.0},
    }
    config = from_table(TrainConfig, {**table, **changes}, "train")
    feed = Feed(shards, config, 0, CPU)
    on = config.auxiliary.weight > 0
    model = build_model(config, str(encoder_folder), 204, feed, 4 if on else 0)
    model.encoder.requires_grad_(not frozen)
    for module in model.encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return Trainer(config, model, feed, CLUSTERS if on else None, CPU, scratch)
