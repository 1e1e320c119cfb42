"""From runs to report.html."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xmcpipe
from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import progress
from xmcpipe.report import charts, costs, sections
from xmcpipe.report.again import again, told
from xmcpipe.report.measured import LEVEL, Measured, TestSet, measure
from xmcpipe.report.page import render, require_packages, unwritable, write_whole
from xmcpipe.report.published import Published, published
from xmcpipe.report.runs import Run, differing, known_datasets, unknown_stages
from xmcpipe.report.sample import Sample, draw
from xmcpipe.report.sections import listed
from xmcpipe.report.tables import headline, quoted_variants
from xmcpipe.report.topology import read_topology
from xmcpipe.report.training import read_curves


@dataclass(frozen=True)
class Options:
    """`documents` to show of the test; `rounds` of the bootstrap, 0 for none; `seed` of both draws."""

    documents: int = 1000
    rounds: int = 1000
    seed: int = 0


def make_report(runs: Sequence[Run], options: Options, path: Path) -> dict[str, Any]:
    """Write the page of `runs`, all named, to `path`; returns what is in it (JSON types).

    Raises XmcpipeError where a package is missing or the file can't be written, before anything is measured.
    """
    require_packages()
    _require_writable(path)
    with progress("report", 2 * len(runs) + 3, "parts") as bar:
        measured, tests = measure(runs, options.rounds, options.seed, bar.update)
        sample, notes = _sample(runs, measured, tests, options)
        bar.update()
        context = _context(runs, measured, sample, notes)
        bar.update()
        text = render(context, None if sample is None else sample.columns())
        bar.update()
    write_whole(path, text)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "documents": 0 if sample is None else len(sample.ids),
        "runs": [
            {
                "name": run.name,
                "metrics": run.artifacts["metrics"].manifest.fingerprint,
                "absent": list(run.absent),
            }
            for run in runs
        ],
        "notes": [note for section in context["sections"].values() for note in section.notes],
    }


def _require_writable(path: Path) -> None:
    try:
        folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
        if path.is_dir():
            raise XmcpipeError(
                f"--output {path} is a folder, a file was wanted", f"as in -o {path}/report.html"
            )
        if path.exists() and not path.is_file():  # a pipe or a device, which a page would take the place of
            raise XmcpipeError(f"--output {path} is no regular file", "name one, as in -o report.html")
        if not folder.is_dir():
            raise XmcpipeError(f"--output: the folder {folder} does not exist", "make it, or name another")
        if not os.access(folder, os.W_OK):
            raise XmcpipeError(f"--output: {folder} can't be written", "check its permissions")
    except OSError as error:  # such as a name too long to ask for
        raise unwritable(path, error) from error


def _sample(
    runs: Sequence[Run], measured: Sequence[Measured], tests: dict[str, TestSet], options: Options
) -> tuple[Sample | None, list[str]]:
    """The documents of the first run whose test is there, with the other runs on it; and what to say."""
    pairs = [(run, mine) for run, mine in zip(runs, measured, strict=True) if mine.predictions is not None]
    notes = [
        f"No documents of {run.name}: its predictions, or their shards, are gone or can't be read."
        for run, mine in zip(runs, measured, strict=True)
        if mine.predictions is None
    ]
    pairs = [pair for pair in pairs if pair[0].test_set in tests]
    if not pairs or not options.documents:
        return None, notes if options.documents else ["No documents were asked for."]
    name = pairs[0][0].test_set
    notes += [f"{run.name} was tested on other documents." for run, _ in pairs if run.test_set != name]
    same = [pair for pair in pairs if pair[0].test_set == name]
    chosen, mine = [run for run, _ in same], [each for _, each in same]
    sample = draw(chosen, mine, tests[name], options.documents, options.seed)
    if sample.ids and not any(sample.texts):
        notes.append("No texts: the raw artifact that held them is gone, or can't be read.")
    return sample, notes


def _context(
    runs: Sequence[Run], measured: Sequence[Measured], sample: Sample | None, notes: list[str]
) -> dict[str, Any]:
    """What page.html.j2 names."""
    names, datasets = [run.name for run in runs], known_datasets(runs)
    quoted = published(datasets[0]) if len(datasets) == 1 else None
    first_of_test: dict[str, Run] = {}
    for run in runs:
        first_of_test.setdefault(run.test_set, run)
    several = len(first_of_test) > 1
    return {
        "version": xmcpipe.__version__,
        "title": quoted.title if quoted else listed(datasets) or "own data",
        "names": names,
        "colours": charts.colours(names),
        "tests": [(f"{run.name}: " if several else "", run.metrics) for run in first_of_test.values()],
        "level": f"{100 * LEVEL:.0f}%",
        "has_intervals": any(mine.intervals for mine in measured),
        "quoted": quoted,
        "variants": quoted_variants(quoted.variants) if quoted and quoted.variants else None,
        "sections": {
            "figures": _figures(runs, measured, quoted, datasets),
            **_of_training(runs, measured),
            "documents": sections.Section(notes=notes),
        },
        "sample": sample,
        "unknown_stages": unknown_stages(runs),
        "differing": {key: list(map(told, row)) for key, row in differing(runs).items()} if runs[1:] else {},
        "again": [again(run) for run in runs],
    }


def _of_training(runs: Sequence[Run], measured: Sequence[Measured]) -> dict[str, sections.Section]:
    """The sections with charts, in the page's order."""
    names = [run.name for run in runs]
    curves = {run.name: read_curves(run.folder("model")) for run in runs}
    layers = {run.name: layer for run in runs if (layer := read_topology(run.folder("model")))}
    return {
        "learning": sections.learning(names, curves, {run.name: _set_aside(run) for run in runs}),
        "frequency": sections.frequency(names, measured),
        "memory": costs.memory(runs),
        "speed": costs.speed(runs, curves),
        "topology": costs.topology(runs, layers, {name: curves[name].rewirings for name in layers}),
    }


def _unquoted(runs: Sequence[Run], datasets: Sequence[str]) -> str:
    """Why no rows are quoted."""
    if len(datasets) > 1:
        return f"the runs are of several datasets, {listed(datasets)}"
    if not datasets and all(run.folder("raw") is None for run in runs):
        return "which dataset it is isn't known, for its raw artifact is gone"
    return f"none are quoted for {listed(datasets) or 'own data'}"


def _set_aside(run: Run) -> bool | None:
    """Whether the training kept documents for validation; None where its settings are gone."""
    share = run.settings.get("train.validation")
    return None if share is None else bool(share)


def _figures(
    runs: Sequence[Run], measured: Sequence[Measured], quoted: Published | None, datasets: Sequence[str]
) -> sections.Section:
    """The headline table, and what has to be said of it."""
    notes = [f"{run.name}: {note}." for run, mine in zip(runs, measured, strict=True) for note in mine.notes]
    if quoted is None:
        notes.append(f"No published rows: {_unquoted(runs, datasets)}.")
    if len(runs) > len(charts.COLOURS):
        notes.append(f"Colours repeat from run to run after {len(charts.COLOURS)}: name fewer.")
    table = headline(runs, measured, quoted.systems if quoted else [])
    return sections.Section(tables=[("", table)], notes=notes)
