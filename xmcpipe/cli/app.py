"""The command `xmcpipe`: a table of contents. Each command is a function in a file beside this one.

A known error is one line on standard error and exit code 2; an unknown one keeps its traceback.
"""

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import xmcpipe
from xmcpipe.cli.commands import (
    bench,
    chain,
    datasets,
    download,
    evaluate,
    export,
    gc,
    importing,
    kernels,
    plan,
    predict,
    report,
    stages,
)
from xmcpipe.cli.output import error_line, show_log
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.disk import disk_full

INTERRUPTED = 130


class Commands(TyperGroup):
    """The commands, in the order in which they are added; errors end here."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; turn what it raises into a line and an exit code."""
        try:
            return super().invoke(ctx)
        except XmcpipeError as error:
            error_line(str(error))
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            typer.echo("interrupted: run the same command to go on", err=True)
            raise typer.Exit(INTERRUPTED) from error
        except OSError as error:
            full = disk_full(error, "xmcpipe", Path.cwd())
            if full is None:
                raise
            error_line(str(full))
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    name="xmcpipe",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(xmcpipe.__version__)
        raise typer.Exit


@app.callback()
def _all_commands(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Text classification over very many labels, from raw data to metrics.

    `xmcpipe run quickstart` shows it all.
    """
    show_log()


app.command("datasets")(datasets.datasets)
app.command("download")(download.download)
app.command("import")(importing.import_)
app.command("tokenize")(stages.tokenize)
app.command("cluster")(stages.cluster)
app.command("train")(stages.train)
app.command("predict")(predict.predict)
app.command("eval")(evaluate.evaluate)
app.command("report")(report.report)
app.command("export")(export.export)
app.command("run")(chain.run)
app.command("status")(chain.status)
app.command("gc")(gc.gc)
app.command("plan")(plan.plan)
app.command("bench")(bench.bench)
app.add_typer(kernels.commands, name="kernels")


def _terminate(number: int, _: FrameType | None) -> None:
    """Unwind the stack, so that a stage that a scheduler ends removes what it was building."""
    raise SystemExit(128 + number)


def main() -> None:
    """The entry point of the console script."""
    signal.signal(signal.SIGTERM, _terminate)
    app()
