"""Every packaged recipe is found by its name and can be loaded, including those in subfolders."""

import pytest

from xmcpipe.recipe import load, packaged_recipes

LIGHT = ["debian", "tate", "eurlex4k", "wiki10_31k", "wiki500k", "amazon670k", "amazon3m"]
LIGHT += ["lf_amazontitles131k", "lf_wikiseealso320k", "lf_paper2keywords8_6m"]
FROZEN = ["debian", "tate"]
GROUPED = ["amazon670k", "amazon3m", "lf_paper2keywords8_6m"]


@pytest.mark.parametrize("name", LIGHT)
def test_a_light_recipe_differs_from_its_base_in_the_training_only(name: str) -> None:
    settings = ["import.train=t.jsonl"] if name == "tate" else []
    base, light = load(name, settings), load(f"{name}-light", settings)
    assert (base.name, light.name) == (name, f"{name}-light")
    assert (base.configs["train"].memory, light.configs["train"].memory) == ("paper", "light")
    for stage, config in base.configs.items():
        assert stage == "train" or light.configs[stage] == config


@pytest.mark.parametrize("name", GROUPED)
def test_a_grouped_recipe_has_clusters_for_its_groups(name: str) -> None:
    light, grouped = load(f"{name}-light").configs, load(f"{name}-grouped").configs
    head = grouped["train"].head
    assert head.groups_by_meaning
    assert head.group == grouped["cluster"].group > 1
    assert head.frequent_labels > 0
    assert grouped["tokenize"] == light["tokenize"]


def test_every_packaged_recipe_is_called_by_its_file_name() -> None:
    recipes = packaged_recipes()
    variants = {f"{name}-light" for name in LIGHT} | {f"{name}-frozen" for name in FROZEN}
    variants |= {f"{name}-grouped" for name in GROUPED}
    assert variants | {*LIGHT, "quickstart", "yso"} == set(recipes)
    for name, path in recipes.items():
        if name in ("tate", "yso", "tate-light", "tate-frozen"):
            continue  # they need --set import.train
        assert load(str(path)).name == name
