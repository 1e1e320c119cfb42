"""The command line `xmcpipe`: the list of its commands. Each command is a function in a file in commands/.

The stages of the catalog are commands too. A known error prints one line on standard error and exits with
code 2; an unknown one prints its traceback.
"""

import os
import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import xmcpipe
from xmcpipe import signals
from xmcpipe.cli.commands import (
    chain,
    datasets,
    export,
    gc,
    init,
    keys,
    plan,
    report,
    serve,
)
from xmcpipe.cli.commands.machine import bench, doctor, kernels
from xmcpipe.cli.commands.stages import stage_command
from xmcpipe.cli.examples import example_lines
from xmcpipe.cli.output import error_line, show_log
from xmcpipe.cli.shown import echo
from xmcpipe.errors import XmcpipeError
from xmcpipe.machine.cores import set_thread_defaults
from xmcpipe.stages import catalog
from xmcpipe.stages.disk import disk_error


class Commands(TyperGroup):
    """The commands, in the order in which they are added. Errors are turned into exit codes here."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Known errors become one line on standard error and an exit code."""
        try:
            return super().invoke(ctx)
        except XmcpipeError as error:
            error_line(str(error))
            raise typer.Exit(2) from error
        except (signals.Interrupted, KeyboardInterrupt) as error:
            # The second is of libraries, and of programs that call the command line.
            cause = error if isinstance(error, signals.Interrupted) else signals.Interrupted(signals.CTRL_C)
            _say_interrupted(cause)
            raise typer.Exit(128 + cause.number) from error
        except MemoryError as error:
            reason = f": {error}" if str(error) else ""
            error_line(f"out of memory{reason} (see `xmcpipe plan`, or use smaller numbers in the recipe)")
            raise typer.Exit(2) from error
        except OSError as error:
            # A disk that fails is the user's to mend; any other error is a bug and keeps its traceback.
            failure = disk_error(error, "xmcpipe", Path.cwd())
            if failure is None:
                raise
            error_line(str(failure))
            raise typer.Exit(2) from error


def _say_interrupted(error: signals.Interrupted) -> None:
    """Say how to continue. Nobody may read it: the terminal may be gone."""
    command = shlex.join(["xmcpipe", *sys.argv[1:]])
    kept = f"{error.kept}; " if error.kept else ""
    with suppress(OSError):
        echo(f"stopped by {error.name}: {kept}to go on, run the same command again: {command}", err=True)


def _version(requested: bool) -> None:
    if requested:
        echo(xmcpipe.__version__)
        raise typer.Exit


def _all_commands(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Text classification over very many labels, from raw data to metrics.

    `xmcpipe run quickstart` runs the whole chain on a small dataset.
    """
    show_log()


def build_app() -> typer.Typer:
    """Build the command line. The tests call this again after they have added a stage to the catalog."""
    commands = typer.Typer(
        cls=Commands,
        name="xmcpipe",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    commands.callback()(_all_commands)
    functions: dict[str, tuple[Callable[..., Any], str | None]] = {
        "datasets": (datasets.datasets, None),
        "init": (init.init, None),
        **{stage.name: (stage_command(stage), stage.help) for stage in catalog.CATALOG},
        "serve": (serve.serve, None),
        "report": (report.report, None),
        "export": (export.export, None),
        "run": (chain.run, None),
        "status": (chain.status, None),
        "gc": (gc.gc, None),
        "keys": (keys.keys_, None),
        "plan": (plan.plan, None),
        "doctor": (doctor.doctor, None),
        "bench": (bench.bench, None),
    }
    for name, (function, help_text) in functions.items():
        commands.command(name, help=help_text, epilog=example_lines(name))(function)
    commands.add_typer(kernels.commands, name="kernels")
    return commands


app = build_app()


def main() -> None:
    """The entry point of the console script."""
    signals.install()
    set_thread_defaults()
    try:
        app()
    except signals.Interrupted as error:  # before a command ran, or after it
        os._exit(128 + error.number)
    finally:
        signals.leave_at_once()
