"""`export`: writes an artifact in a layout that other systems read."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from xmcpipe.cli.options import JsonOption
from xmcpipe.cli.output import print_json, size
from xmcpipe.cli.shown import echo
from xmcpipe.stages.beside.export import export as export_artifact


class Format(StrEnum):
    """The layouts that can be written."""

    PECOS = "pecos"
    XC = "xc"


def export(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="Folder of raw data or predictions.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to write to, new or empty.")
    ],
    format_: Annotated[
        Format,
        typer.Option("--format", help="Layout: PECOS (text and npz) or the XC repository (X_Y)."),
    ] = Format.PECOS,
    as_json: JsonOption = False,
) -> None:
    """Write raw data or predictions in a layout that other systems read."""
    files = export_artifact(artifact, format_.value, out)
    if as_json:
        print_json({"path": str(out), "files": files})
        return
    for name, count in files.items():
        echo(f"{size(count):>9}  {out / name}")
