"""Chooses the values of [train] that are "auto", from facts about the data and the encoder."""

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

from xmcpipe.config import AUTO, Auto, auto_keys
from xmcpipe.modeling.head_table import HEADS
from xmcpipe.training.auto import rules
from xmcpipe.training.config import AuxiliaryConfig, TrainConfig, TrainTable
from xmcpipe.training.encoder_config import EncoderConfig
from xmcpipe.training.head_config import HeadConfig, RewireConfig
from xmcpipe.training.schedule import Steps

C = TypeVar("C")
V = TypeVar("V", int, float, str)


@dataclass(frozen=True)
class Facts:
    """What the rules look at.

    `documents`: rows that are trained on, without the validation split and with label texts if they are
    training documents. `labels`: L. `width`: E, the width of the encoder. `has_clusters`: the recipe makes
    clusters of labels.
    """

    documents: int
    labels: int
    width: int
    has_clusters: bool


def choose(table: TrainTable, facts: Facts) -> TrainConfig:
    """`table` with a number or a word for every "auto"; what it names itself stays as it is.

    Raises XmcpipeError for a combination of settings that has no rule.
    """
    loss = table.loss if table.loss != AUTO else rules.LOSS
    words = table.head.word_fan_in > 0
    epochs = _or(table.epochs, rules.epochs(facts.documents, loss, table.encoder.frozen, words))
    steps = Steps.of(facts.documents, table, epochs)
    head = _head(table, facts, loss)
    until, fixed = table.rewire.until, not HEADS[head.kind].rewires or head.fan_in >= _features(table, facts)
    encoder, auxiliary = table.encoder, table.auxiliary
    weight = _or(auxiliary.weight, rules.auxiliary_weight(facts.has_clusters, encoder.frozen))
    return _with(
        TrainConfig,
        table,
        loss=loss,
        epochs=epochs,
        warmup_steps=_or(table.warmup_steps, rules.warmup_steps(steps.total)),
        encoder=_with(
            EncoderConfig,
            encoder,
            dropout=_or(encoder.dropout, rules.dropout(epochs, encoder.frozen)),
            lr=_or(encoder.lr, rules.encoder_lr(facts.width)),
        ),
        head=head,
        rewire=_with(
            RewireConfig,
            table.rewire,
            interval=_or(table.rewire.interval, rules.interval(steps.total, until, fixed)),
        ),
        auxiliary=_with(
            AuxiliaryConfig,
            auxiliary,
            weight=weight,
            cutoff_epoch=_or(auxiliary.cutoff_epoch, rules.cutoff_epoch(steps.total, steps.per_epoch)),
        ),
        auto_rules=0,
    )


def chosen_values(table: TrainTable, config: TrainConfig) -> dict[str, Any]:
    """Dotted key -> the value in `config`, for the keys that are "auto" in `table`."""
    values = {}
    for key in auto_keys(table):
        value: Any = config
        for name in key.split("."):
            value = getattr(value, name)
        values[key] = value
    return values


def _head(table: TrainTable, facts: Facts, loss: str) -> HeadConfig:
    head = table.head
    optimizer = head.optimizer if head.optimizer != AUTO else rules.optimizer(table.memory)
    momentum = _or(head.momentum, rules.momentum(table.memory))
    bias = head.bias if head.bias != AUTO else rules.bias(loss)
    rate = head.lr
    if rate == AUTO:  # only then: there is not a rule for every optimizer and loss
        rate = rules.head_lr(
            optimizer, loss, table.bce_reduction, table.batch_size * table.accumulation, momentum
        )
    return _with(
        HeadConfig,
        head,
        fan_in=_or(head.fan_in, rules.fan_in(_features(table, facts), facts.labels, table.encoder.frozen)),
        optimizer=optimizer,
        momentum=momentum,
        bias=bias,
        bias_init=head.bias_init if head.bias_init != AUTO else rules.bias_init(bias, loss),
        lr=rate,
    )


def _features(table: TrainTable, facts: Facts) -> int:
    """D, the number of features that the output layer reads."""
    return table.head.intermediate or facts.width


def _or(value: V | Auto, rule: V) -> V:
    """`value`, or what the rule says if it is "auto"."""
    return rule if value == AUTO else value


def _with(cls: type[C], table: Any, **values: Any) -> C:
    """The …Config of a …Table: its fields, replaced by `values`."""
    fields = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    return cls(**{**fields, **values})
