"""`bench`: times the sparse layer on this machine, next to a dense, a CSR and an embedding bag version."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmcpipe.cli.options import JsonOption
from xmcpipe.cli.output import print_json, size
from xmcpipe.cli.shown import echo, json_text
from xmcpipe.cli.text_table import print_table, say
from xmcpipe.errors import XmcpipeError

if TYPE_CHECKING:
    from xmcpipe.benchmark.compare import Comparison, ImplementationResult
    from xmcpipe.benchmark.grid import Shape

BENCH = "bench.json"
NUMBERS = "N,N…"
COLUMNS = ("what", "implementation", "ms", "vs dense", "GB/s", "of copy", "peak memory", "rounds")

LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar=NUMBERS,
        help="Numbers of labels (L) to time; 131072 by default, also 670091 on CUDA.",
    ),
]
FanInOption = Annotated[
    str | None,
    typer.Option(
        "--fan-in",
        metavar=NUMBERS,
        help="Fan-ins (K, features per label) to time; 32,64,128 by default, 64,128 on CUDA.",
    ),
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        "--group", metavar=NUMBERS, help="Sizes of groups of labels that share features (G); 1 by default."
    ),
]
FeaturesOption = Annotated[
    str | None,
    typer.Option("--features", metavar=NUMBERS, help="Numbers of features (D) to time; 768 by default."),
]
BatchOption = Annotated[
    str | None,
    typer.Option(
        "--batch", metavar=NUMBERS, help="Batch sizes (B) to time; 64 by default, also 512 on CUDA."
    ),
]
DtypeOption = Annotated[
    str | None,
    typer.Option("--dtype", metavar="NAME,…", help="Dtypes to time: float32, bfloat16, and float16 on CUDA."),
]
WhatOption = Annotated[
    str | None,
    typer.Option("--what", metavar="NAME,…", help="Operations to time: forward, backward, step and topk."),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="Device to time on: cpu or cuda; auto uses a GPU if there is one.")
]
RepeatsOption = Annotated[
    int | None,
    typer.Option("--repeats", min=1, help="Number of rounds; by default as many as fit in --seconds."),
]
SecondsOption = Annotated[
    float | None,
    typer.Option(
        "--seconds", help="Time for the rounds of each comparison, in seconds; 2 by default, 0.5 on CUDA."
    ),
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="Time a small grid, to check that everything works.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write bench.json and bench.png into this folder.")
]


# Long: Typer reads its options from the signature.
def bench(
    labels: LabelsOption = None,
    fan_in: FanInOption = None,
    group: GroupOption = None,
    features: FeaturesOption = None,
    batch: BatchOption = None,
    dtype: DtypeOption = None,
    what: WhatOption = None,
    device: DeviceOption = "auto",
    repeats: RepeatsOption = None,
    seconds: SecondsOption = None,
    quick: QuickOption = False,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time the forward, backward, step and top-k of the sparse layer on this machine.

    Every result is checked first. A wrong result is not timed, and the exit code is then 1.
    """
    options = {
        "labels": _numbers("--labels", labels),
        "fan_in": _numbers("--fan-in", fan_in),
        "group": _numbers("--group", group),
        "features": _numbers("--features", features),
        "batch": _numbers("--batch", batch),
        "dtype": _names(dtype),
        "what": _names(what),
        "repeats": repeats,
        "seconds": seconds,
    }
    if out is not None:
        _require_writable(out)
    # torch reads it before it allocates anything. Else each call with a large result waits for thousands of
    # small pages of the system, which takes half as long as the sparse product itself.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from xmcpipe.benchmark import grid as grids
    from xmcpipe.benchmark import run
    from xmcpipe.modeling.devices import pick_device

    torch_device = pick_device(device)
    grid = grids.choose(torch_device.type, quick, options)
    done: list[Comparison] = []

    def keep(comparison: "Comparison") -> None:
        done.append(comparison)
        if out is not None:
            _write(out, run.document(grid, torch_device, done))

    for shape, comparisons in run.bench(grid, torch_device, keep):
        if not as_json:
            _print_table(shape, comparisons)
    document = run.document(grid, torch_device, done)
    if as_json:
        print_json(document)
    if out is not None:
        echo(f"wrote {out / BENCH}", err=True)
        _plot(out, document)
    if run.any_wrong(done):
        raise typer.Exit(1)


def _numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part.replace("_", "")) for part in text.split(","))
    except ValueError as error:
        raise XmcpipeError(f"expected integers, got {option} {text!r}", f"for example {option} 64") from error


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(","))


def _require_writable(out: Path) -> None:
    """Create the folder. Raises XmcpipeError before minutes are spent on figures that can't be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise XmcpipeError(f"--out: can't create {out}: {error.strerror}", "name another folder") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise XmcpipeError(f"--out: can't write into {out}: permission denied", "name another folder")


def _write(out: Path, document: dict[str, Any]) -> None:
    """Write the results so far, in one go: a run that is killed leaves those of all comparisons before."""
    unfinished = out / f".{BENCH}"
    unfinished.write_text(json_text(document, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(out / BENCH)


def _plot(out: Path, document: dict[str, Any]) -> None:
    from xmcpipe.benchmark import plot

    try:
        plot.write(out / "bench.png", document)
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("matplotlib"):
            raise
        echo("wrote no plot: matplotlib is missing (pip install 'xmcpipe[bench]')", err=True)
    else:
        echo(f"wrote {out / 'bench.png'}", err=True)


def _print_table(shape: "Shape", comparisons: "list[Comparison]") -> None:
    """Print the results of one shape: a row per implementation, a section per operation."""
    speeds = [each.copy_gb_per_second for each in comparisons if each.copy_gb_per_second]
    copied = f", a copy moves {min(speeds):.3g} to {max(speeds):.3g} GB/s" if speeds else ""
    say(f"{shape.title}{copied}")
    echo()
    sections = [
        [
            (comparison.what if row == 0 else "", result.implementation, *_cells(result))
            for row, result in enumerate(comparison.results)
        ]
        for comparison in comparisons
    ]
    print_table(COLUMNS, *sections, num_left=2)
    for line in _notes(comparisons):
        say(line)
    echo()


def _notes(comparisons: "list[Comparison]") -> list[str]:
    """One line for each implementation that was not timed and reason, with the operations concerned."""
    operations: dict[str, list[str]] = {}
    for comparison in comparisons:
        for result in comparison.results:
            if result.note:
                reason = f"{result.implementation} {result.state}: {result.note}"
                operations.setdefault(reason, []).append(comparison.what)
    return [f"{', '.join(whats)}: {reason}" for reason, whats in operations.items()]


def _cells(result: "ImplementationResult") -> tuple[str, ...]:
    """The columns after the name; a result without times has only its state, or a dash if skipped."""
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
