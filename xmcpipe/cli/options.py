"""The options that several commands share: one name, one help text, one default."""

from pathlib import Path
from typing import Annotated

import typer

RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe", metavar="FILE|NAME", help="A recipe (TOML), or the name of one that comes along."
    ),
]
RecipeArgument = Annotated[
    str | None,
    typer.Argument(metavar="[RECIPE]", help="A recipe (TOML), or the name of one that comes along."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="STAGE.KEY=VALUE", help="Set one key of the recipe (repeatable)."),
]
StoreOption = Annotated[
    Path, typer.Option("--store", metavar="DIR", envvar="XMCPIPE_STORE", help="The folder of artifacts.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Make it again, even where it exists.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
RawOption = Annotated[Path | None, typer.Option("--raw", metavar="DIR", help="The raw artifact to read.")]
ShardsOption = Annotated[Path | None, typer.Option("--shards", metavar="DIR", help="The shards to read.")]
ClustersOption = Annotated[
    Path | None, typer.Option("--clusters", metavar="DIR", help="The clusters to read.")
]
ModelOption = Annotated[Path | None, typer.Option("--model", metavar="DIR", help="The model to read.")]

STORE = Path("artifacts")
