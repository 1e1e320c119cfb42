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
    ONNX = "onnx"


def export(
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="Folder of raw data, predictions, or a model (onnx).")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder to write to, new or empty.")
    ],
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="Layout: PECOS (text and npz), the XC repository (X_Y), or a model as an ONNX graph.",
        ),
    ] = Format.PECOS,
    as_json: JsonOption = False,
) -> None:
    """Write raw data, predictions or a model in a layout that other systems read."""
    agreement: dict[str, float] = {}
    if format_ is Format.ONNX:
        from xmcpipe.stages.beside.export_onnx import export_onnx

        files, documents, difference = export_onnx(artifact, out)
        agreement = {"documents_compared": documents, "largest_score_difference": difference}
    else:
        files = export_artifact(artifact, "xc" if format_ is Format.XC else "pecos", out)
    if as_json:
        print_json({"path": str(out), "files": files, **agreement})
        return
    for name, count in files.items():
        echo(f"{size(count):>9}  {out / name}")
    if agreement:
        echo(
            f"same labels as the model for {documents} random documents; scores differ by {difference:.1g} "
            "at most"
        )
