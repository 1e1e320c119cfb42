"""The recipes that come along train with their recorded values.

recipe_values.json has the identity of every stage's table: the same identity is the same fingerprint, so
artifacts of these recipes are still found. Most were recorded before any value could be "auto"; record a
recipe again when it is meant to change.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from xmcpipe.config import auto_keys, to_table
from xmcpipe.recipe import load, packaged_recipes
from xmcpipe.training.auto import Facts, choose

RECORDED: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("recipe_values.json").read_text("utf-8")
)


def configs(name: str) -> dict[str, Any]:
    return load(name, [] if "download" in RECORDED[name] else ["import.train=x"]).configs


def test_every_recipe_is_recorded() -> None:
    assert set(RECORDED) == set(packaged_recipes())


@pytest.mark.parametrize("name", RECORDED)
def test_a_recipe_has_its_recorded_values_and_names_them_all(name: str) -> None:
    stages = configs(name)
    assert {stage: to_table(config, keys="identity") for stage, config in stages.items()} == RECORDED[name]
    assert auto_keys(stages["train"]) == []


@pytest.mark.parametrize("name", RECORDED)
def test_nothing_is_chosen_for_a_recipe(name: str) -> None:
    table = configs(name)["train"]
    for facts in (Facts(500, 10, 384, False), Facts(1_700_000, 2_800_000, 768, True)):
        assert to_table(choose(table, facts)) == to_table(table)
