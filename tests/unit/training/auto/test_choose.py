"""Values that are "auto" are chosen, and all others stay; the identity of a recipe knows the rules."""

from typing import Any

import pytest

from xmcpipe.config import auto_keys, from_table, to_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.training import config as train_config
from xmcpipe.training.auto import Facts, choose, chosen_values, schedule_warnings
from xmcpipe.training.config import TrainConfig, TrainTable
from xmcpipe.training.schedule import Steps

SMALL = Facts(1_900, 60, 384, False)
# From 500 documents and 10 labels to the largest dataset of the paper.
SIZES = [
    Facts(documents, labels, width, clusters)
    for documents, labels in [(1, 1), (500, 10), (1_900, 60), (41_000, 7_273), (1_717_899, 2_812_281)]
    for width in (32, 384, 768)
    for clusters in (False, True)
]


def table(**keys: Any) -> TrainTable:
    return from_table(TrainTable, keys, "train")


@pytest.mark.parametrize("facts", SIZES, ids=str)
@pytest.mark.parametrize("keys", [{}, {"memory": "light"}, {"max_steps": 7}, {"encoder": {"frozen": True}}])
def test_a_bare_table_is_chosen_whole_and_works(facts: Facts, keys: dict[str, Any]) -> None:
    config = choose(table(**keys), facts)
    assert type(config) is TrainConfig
    assert auto_keys(config) == []
    assert from_table(TrainConfig, to_table(config), "train") == config
    steps = Steps.of(facts.documents, config, config.epochs)
    documents = facts.documents + 1000  # of which some are held out
    features = config.head.intermediate or facts.width
    assert schedule_warnings(config, steps, documents, features) == []


def test_the_bare_table_of_the_complaint() -> None:
    """2,000 documents: 1,000 warm-up steps and an interval of 1,000 in 270 steps learned little."""
    config = choose(table(), SMALL)
    values = chosen_values(table(), config)
    assert values == {
        "epochs": 14, "loss": "bce", "warmup_steps": 42, "encoder.dropout": 0.1, "encoder.lr": 2e-4,
        "head.fan_in": 384, "head.bias": True, "head.bias_init": "prior", "head.optimizer": "adamw",
        "head.lr": 0.01, "head.momentum": 0.9, "rewire.interval": 0, "auxiliary.weight": 0.0,
        "auxiliary.cutoff_epoch": 3.5,
    }  # fmt: skip


def test_named_values_stay_and_the_others_follow_them() -> None:
    named = table(
        epochs=100, loss="squared_hinge", warmup_steps=5, head={"fan_in": 8, "optimizer": "sgd", "lr": 0.5}
    )
    config = choose(named, SMALL)
    assert (config.epochs, config.loss, config.warmup_steps) == (100, "squared_hinge", 5)
    assert (config.head.fan_in, config.head.lr, config.head.bias) == (8, 0.5, False)
    assert config.encoder.dropout == 0.5  # of a long training
    assert config.rewire.interval == int(0.66 * 100 * 30) // 16
    assert "epochs" not in chosen_values(named, config)


def test_light_is_chosen_with_the_settings_that_it_requires() -> None:
    head = choose(table(memory="light"), SMALL).head
    assert (head.optimizer, head.momentum, head.lr) == ("sgd", 0.0, 5.0)
    with pytest.raises(XmcpipeError, match="no rule"):
        choose(table(memory="light", loss="squared_hinge"), SMALL)


def test_clusters_turn_the_auxiliary_loss_on() -> None:
    with_clusters = Facts(41_000, 7_273, 384, True)
    assert choose(table(), with_clusters).auxiliary.weight == 0.4
    assert choose(table(auxiliary={"weight": 0.0}), with_clusters).auxiliary.weight == 0.0


def test_a_dense_head_is_not_rewired() -> None:
    assert choose(table(head={"kind": "dense"}), Facts(41_000, 70_000, 384, False)).rewire.interval == 0


def test_auto_is_refused_where_values_are_needed_and_where_there_is_no_rule() -> None:
    with pytest.raises(XmcpipeError, match="expected a value in loss"):
        from_table(TrainConfig, {"loss": "auto"}, "train")
    with pytest.raises(XmcpipeError, match="batch_size: expected a whole number, got 'auto'"):
        table(batch_size="auto")
    with pytest.raises(XmcpipeError, match="epochs: expected a whole number or \"auto\", got 'ten'"):
        table(epochs="ten")
    with pytest.raises(XmcpipeError, match="bias_init: expected one of 'zero', 'prior', 'auto'"):
        table(head={"bias_init": "one"})


def test_the_identity_has_the_version_of_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    before = to_table(table(), keys="identity")
    assert before["auto_rules"] == train_config.RULES_VERSION
    assert table(auto_rules=before["auto_rules"]) == table()  # as in the recipe on a report's page
    named = choose(table(), SMALL)
    assert "auto_rules" not in to_table(named, keys="identity")
    monkeypatch.setattr(train_config, "RULES_VERSION", train_config.RULES_VERSION + 1)
    assert to_table(table(), keys="identity") != before
    with pytest.raises(XmcpipeError, match="auto_rules"):
        from_table(TrainTable, before, "train")
