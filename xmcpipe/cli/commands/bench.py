"""`bench`: the sparse layer timed on this machine against the same layer dense, CSR and as embedding bag."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmcpipe.cli.options import JsonOption
from xmcpipe.cli.output import print_json, size
from xmcpipe.errors import XmcpipeError

if TYPE_CHECKING:
    from xmcpipe.benchmark.compare import Comparison, Result
    from xmcpipe.benchmark.grid import Shape

NUMBERS = "N,N…"
TABLE_WIDTH = 120
COLUMNS = ("what", "contender", "ms", "to dense", "GB/s", "of copy", "peak memory", "rounds")


def bench(
    labels: Annotated[
        str | None, typer.Option("--labels", metavar=NUMBERS, help="L, labels; by default 131072.")
    ] = None,
    fan_in: Annotated[
        str | None, typer.Option("--fan-in", metavar=NUMBERS, help="K, features of a label.")
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", metavar=NUMBERS, help="D, features; by default 768.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar=NUMBERS, help="B, rows; by default 64.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", metavar="NAME,…", help="float32, bfloat16, or float16 on CUDA.")
    ] = None,
    what: Annotated[
        str | None, typer.Option("--what", metavar="NAME,…", help="forward, backward, step and topk.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda; auto takes a GPU if any.")] = "auto",
    repeats: Annotated[
        int | None, typer.Option("--repeats", min=1, help="Rounds; by default as many as fit in --seconds.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Time for the rounds of each comparison.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small grid, to see that all is right.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write bench.json and bench.png here.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Time the layer's forward, backward, step and top-k on this machine, validated first.

    A wrong result is not timed, and the exit code is then 1.
    """
    given = {
        "labels": _numbers("--labels", labels),
        "fan_in": _numbers("--fan-in", fan_in),
        "features": _numbers("--features", features),
        "batch": _numbers("--batch", batch),
        "dtype": _names(dtype),
        "what": _names(what),
        "repeats": repeats,
        "seconds": seconds,
    }
    if out is not None:
        _require_writable(out)
    from xmcpipe.benchmark import grid as grids
    from xmcpipe.benchmark import run
    from xmcpipe.modeling.devices import pick_device

    where = pick_device(device)
    grid = grids.choose(where.type, quick, given)
    done: list[Comparison] = []
    for shape, comparisons in run.bench(grid, where):
        done += comparisons
        if not as_json:
            _print_table(shape, comparisons)
    document = run.document(grid, where, done)
    if as_json:
        print_json(document)
    if out is not None:
        _write(out, document)
    if run.any_wrong(done):
        raise typer.Exit(1)


def _numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part.replace("_", "")) for part in text.split(","))
    except ValueError as error:
        raise XmcpipeError(
            f"{option} {text!r} was given, whole numbers were wanted", f"as in {option} 64,128"
        ) from error


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(","))


def _require_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise XmcpipeError(f"--out: {out} can't be made: {error.strerror}", "name another folder") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise XmcpipeError(f"--out: {out} can't be written: permission denied", "name another folder")


def _write(out: Path, document: dict[str, Any]) -> None:
    from xmcpipe.benchmark import plot

    path = out / "bench.json"
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    typer.echo(f"wrote {path}", err=True)
    try:
        plot.write(out / "bench.png", document)
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("matplotlib"):
            raise
        typer.echo("no plot: matplotlib is missing (pip install 'xmcpipe[bench]')", err=True)
    else:
        typer.echo(f"wrote {out / 'bench.png'}", err=True)


def _print_table(shape: "Shape", comparisons: "list[Comparison]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, title in enumerate(COLUMNS):
        drawn.add_column(title, justify="left" if number < 2 else "right", no_wrap=True)
    for comparison in comparisons:
        for result in comparison.results:
            shown = comparison.what if result is comparison.results[0] else ""
            drawn.add_row(shown, result.contender, *_cells(result))
        drawn.add_section()
    speeds = [each.copy_gb_per_second for each in comparisons if each.copy_gb_per_second]
    copied = f", a copy moves {min(speeds):.3g} to {max(speeds):.3g} GB/s" if speeds else ""
    typer.echo(f"{shape.title}{copied}")
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=TABLE_WIDTH)
    console.print(drawn, end="")
    for line in _notes(comparisons):
        typer.echo(line)
    typer.echo()


def _notes(comparisons: "list[Comparison]") -> list[str]:
    """Why some were not timed: a line for each contender and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for comparison in comparisons:
        for result in comparison.results:
            if result.note:
                reason = f"{result.contender} {result.state}: {result.note}"
                found.setdefault((result.contender, reason), []).append(comparison.what)
    return [f"{', '.join(whats)}: {reason}" for (_, reason), whats in found.items()]


def _cells(result: "Result") -> tuple[str, ...]:
    if result.ms is None:
        return (result.state.upper() if result.state == "wrong" else "-", *[""] * (len(COLUMNS) - 3))
    assert result.gb_per_second is not None
    assert result.share_of_copy is not None
    assert result.peak_bytes is not None
    return (
        f"{result.ms:,.3g}" if result.ms < 100 else f"{result.ms:,.0f}",
        "" if result.faster is None else f"{result.faster:.2f}x",
        f"{result.gb_per_second:.3g}",
        f"{result.share_of_copy:.0%}",
        size(result.peak_bytes),
        str(result.rounds),
    )
