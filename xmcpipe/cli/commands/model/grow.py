"""`grow`: adds labels to a trained model."""

import sys
from pathlib import Path
from typing import Annotated

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
)
from xmcpipe.cli.session import only_set, read_recipe, report
from xmcpipe.errors import XmcpipeError


# Long: Typer reads its options from the signature.
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
    label_column: importing.LabelColumn = None,
    label_text_column: importing.LabelTexts = None,
    label_header: importing.LabelHeader = None,
    text: importing.TextColumns = None,
    text_separator: importing.Separator = None,
    labels_column: importing.Labels = None,
    label_separator: importing.LabelSeparator = None,
    label_prefix: importing.LabelPrefix = None,
    format: importing.Format = None,
    encoding: importing.Encoding = None,
    header: importing.Header = None,
    quotes: importing.Quotes = None,
    delimiter: importing.Delimiter = None,
    settings: SetOption = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    verify: VerifyOption = True,
    as_json: JsonOption = False,
) -> None:
    """Add labels to a trained model, by their texts or a few documents. Old labels stay as they are.

    The result is a model artifact: `predict --model`, `serve`, and `eval --model` read its folder.
    """
    keys = only_set(
        labels=labels,
        documents=documents,
        epochs=epochs,
        rows=rows,
        label_column=label_column,
        label_text_column=label_text_column,
        label_header=label_header,
        text=text,
        text_separator=text_separator,
        labels_column=labels_column,
        label_separator=label_separator,
        label_prefix=label_prefix,
        format=format,
        encoding=encoding,
        header=header,
        quotes=quotes,
        delimiter=delimiter,
    )
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
