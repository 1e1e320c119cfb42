"""Writes xmcpipe/memory/planned.json: the memory plans, for a GPU, of the recipes of public datasets.

    python -m tools.planned_bytes

Run it when a recipe or the plan has changed: a test compares the file with plans that it makes.
"""

import json
from dataclasses import asdict
from typing import Any

from xmcpipe.cli.published import shape_of_download
from xmcpipe.data.registry import datasets
from xmcpipe.memory.plan_cache import PLANNED, plan_identity
from xmcpipe.memory.recipe_plan import plan_recipe
from xmcpipe.recipe import load, packaged_recipes


def of_public_data() -> list[str]:
    """Names of the packaged recipes of registered datasets: "amazon670k", "amazon670k-light"."""
    return [name for name in packaged_recipes() if name.split("-")[0] in datasets()]


def planned(name: str) -> dict[str, Any]:
    """The entry of the recipe called `name`: what its plan depends on, and the plan."""
    configs = load(name).configs
    shape = shape_of_download(configs)
    plan = plan_recipe(configs, {}, shape, "cuda")
    return {"identity": plan_identity(configs, {}, shape, "cuda"), "plan": asdict(plan)}


if __name__ == "__main__":
    entries = {name: planned(name) for name in of_public_data()}
    PLANNED.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {PLANNED}")
