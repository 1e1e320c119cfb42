"""Writes xmcpipe/memory/planned.json: the planned GPU memory of the recipes of public datasets.

    python -m tools.planned_bytes

Run it when a recipe or the plan has changed: a test compares the file with plans that it makes.
"""

import json
from typing import Any

from xmcpipe.cli.commands.datasets import published_shape
from xmcpipe.data.registry import datasets
from xmcpipe.memory.plan_cache import PLANNED, plan_identity
from xmcpipe.memory.recipe_plan import plan_recipe
from xmcpipe.recipe import load, packaged_recipes


def planned(name: str) -> dict[str, Any]:
    """The entry of the recipe called `name`: what it depends on, and its predicted peak bytes on a GPU."""
    configs, shape = load(name).configs, published_shape(datasets()[name])
    total = plan_recipe(configs, {}, shape, "cuda").plans[0].total
    return {"identity": plan_identity(configs, {}, shape, "cuda"), "bytes": total}


if __name__ == "__main__":
    recipes = packaged_recipes()
    entries = {name: planned(name) for name in datasets() if name in recipes}
    PLANNED.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {PLANNED}")
