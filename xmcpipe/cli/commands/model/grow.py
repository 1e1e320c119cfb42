"""`grow`: adds labels to a trained model."""

import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from xmcpipe.api.chains import ModelFolders, model_of
from xmcpipe.cli.commands import importing
from xmcpipe.cli.options import (
    STORE,
    CalibrationOption,
    ForceOption,
    JsonOption,
    SetOption,
    ShardsOption,
    StoreOption,
    VerifyOption,
    with_options,
)
from xmcpipe.cli.session import only_set, read_recipe, report
from xmcpipe.data.tables.keys import TableKeys
from xmcpipe.errors import XmcpipeError

# The options of `import` for the keys that both have; its column of labels has another name in [grow].
TABLE_OPTIONS = {
    "labels_column" if name == "labels" else name: option
    for name, option in importing.OPTIONS.items()
    if name in ("labels", *(field.name for field in fields(TableKeys)))
}


# Long: Typer reads its options from the signature.
@with_options(TABLE_OPTIONS)
def grow(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A recipe, or the folder of a model.")],
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="Table of the labels to add with their texts: CSV, TSV, JSONL, Parquet; or .txt, a name a "
            "line.",
        ),
    ] = None,
    documents: Annotated[
        str | None,
        typer.Option(
            "--documents", metavar="FILE", help="Table of documents with labels, as `import --train` reads."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", min=0, help="Train the output layer so many epochs on the documents afterwards."
        ),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option("--rows", metavar="new|all", help="Labels that --epochs trains. Default: new."),
    ] = None,
    calibration: CalibrationOption = None,
    shards: ShardsOption = None,
    settings: SetOption = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    verify: VerifyOption = True,
    as_json: JsonOption = False,
    **table_keys: Any,
) -> None:
    """Add labels to a trained model, by their texts or a few documents. Old labels stay as they are.

    The result is a model artifact: `predict --model`, `serve`, and `eval --model` read its folder.
    """
    keys = only_set(labels=labels, documents=documents, epochs=epochs, rows=rows, **table_keys)
    if labels is None and not any(each.startswith("grow.labels") for each in settings or ()):
        raise XmcpipeError("expected a table of the labels to add, got none", "add --labels FILE")
    folders = _folders(model, store)
    if calibration is not None:
        folders = ModelFolders(folders.model, calibration)
    command = ["xmcpipe", *sys.argv[1:]]
    from xmcpipe.api.growing import run_grow  # loads torch

    report(run_grow(folders, keys, store, settings or (), shards, command, force, verify), as_json)


def _folders(model: str, store: Path) -> ModelFolders:
    """The folder of a model, or those of a recipe's model and calibration."""
    if Path(model).is_dir():
        return ModelFolders(Path(model))
    return model_of(read_recipe(model, None), store)
