"""`doctor`: examines the machine, and says what is wrong and what mends it."""

from dataclasses import asdict

import typer

from xmcpipe.cli.commands.plan import existing_artifacts
from xmcpipe.cli.options import STORE, JsonOption, RecipeArgument, RecipeOption, SetOption, StoreOption
from xmcpipe.cli.output import print_json
from xmcpipe.cli.session import at_most_one_recipe, open_chain, read_recipe
from xmcpipe.cli.text_table import say

WIDTH = 8, 13  # of the columns before the text


def doctor(
    recipe_argument: RecipeArgument = None,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Examine the machine: versions, GPU, encoder, disk, memory, threads, folders.

    With a recipe, disk and memory are compared with its plan. Exits with code 2 if something keeps a run from
    ending well.
    """
    from xmcpipe.doctor.examine import examine

    name = at_most_one_recipe(recipe_argument, recipe)
    configs, artifacts = {}, {}
    if name is not None:
        loaded = read_recipe(name, settings)
        configs = loaded.configs
        artifacts = existing_artifacts(open_chain(loaded, store), ("shards", "clusters"))
    findings = examine(store, configs, artifacts)
    wrong = sum(each.state == "wrong" for each in findings)
    if as_json:
        print_json({"ok": not wrong, "findings": [asdict(each) for each in findings]})
    else:
        indent = " " * (sum(WIDTH) + 2)
        for each in findings:
            say(f"{each.state:<{WIDTH[0]}} {each.name:<{WIDTH[1]}} {each.found}", indent)
            if each.fix:
                say(f"{'fix:':>{len(indent) - 1}} {each.fix}", indent)
    if wrong:
        raise typer.Exit(2)
