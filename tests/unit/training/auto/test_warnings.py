"""Each setting that can't have its effect is one line, before anything is trained."""

from typing import Any

import pytest

from xmcpipe.config import from_table
from xmcpipe.training.auto import schedule_warnings
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.schedule import Steps

GOOD: dict[str, Any] = {
    "epochs": 9,
    "warmup_steps": 27,
    "rewire": {"interval": 20},
    "auxiliary": {"weight": 0.4, "cutoff_epoch": 3.0},
}
DOCUMENTS, WIDTH = 2_000, 384


def warnings(documents: int = DOCUMENTS, **keys: Any) -> list[str]:
    config = from_table(TrainConfig, {**GOOD, **keys}, "train")
    held_out = int(config.validation * documents)
    return schedule_warnings(config, Steps.of(documents - held_out, config, config.epochs), documents, WIDTH)


def test_a_schedule_that_works_has_none() -> None:
    assert warnings() == []
    assert warnings(warmup_steps=269, rewire={"interval": 178}, patience=7) == []


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"warmup_steps": 270}, "warmup_steps = 270 is not less than the 270 steps"),
        ({"rewire": {"interval": 179}}, "interval = 179 is more than the 178 steps"),
        ({"head": {"fan_in": WIDTH}}, "each label reads all 384 features"),
        ({"auxiliary": {"weight": 0.4, "cutoff_epoch": 9.5}}, "cutoff_epoch = 9.5 is after the end"),
        ({"evaluate_every": 10}, "evaluate_every = 10 is more than the 9 epochs"),
        ({"patience": 8}, "patience = 8 can't be reached before the last of 9 evaluations"),
        ({"patience": 2, "evaluate_every": 4}, "patience = 2 can't be reached before the last of 3"),
        ({"max_steps": 20}, "warmup_steps = 27 is not less than the 20 steps"),
    ],
)
def test_what_can_not_work_is_one_line_with_what_to_do(keys: dict[str, Any], expected: str) -> None:
    lines = warnings(**keys)
    matching = [line for line in lines if expected in line]
    assert len(matching) == 1, lines
    assert "lower it" in matching[0] or "lower train.head.fan_in" in matching[0]
    assert "\n" not in matching[0]
    assert len(lines) == 1 or "max_steps" in keys  # a short training has several faults


def test_the_bare_table_of_the_past_is_warned_about_twice() -> None:
    lines = warnings(warmup_steps=1000, rewire={"interval": 1000})
    assert [line.split(" = ")[0] for line in lines] == ["train.warmup_steps", "train.rewire.interval"]


def test_settings_without_an_effect_by_choice_are_silent() -> None:
    assert warnings(rewire={"interval": 0}) == []
    assert warnings(head={"kind": "dense"}, rewire={"interval": 5000}) == []
    assert warnings(auxiliary={"weight": 0.0, "cutoff_epoch": 100.0}) == []
    assert warnings(validation=0.0, evaluate_every=100) == []


def test_no_validation_document_is_said() -> None:
    assert "sets no document aside" in warnings(documents=19, warmup_steps=1, rewire={"interval": 2})[0]
