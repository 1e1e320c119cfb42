"""From runs to report.html: gather the facts, fill the sections, render the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xmcpipe
from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import progress
from xmcpipe.report import charts
from xmcpipe.report.cells import listed
from xmcpipe.report.facts.curves import read_curves
from xmcpipe.report.facts.measurement import LEVEL, RunMeasurement, TestSet, measure_runs
from xmcpipe.report.facts.published import published
from xmcpipe.report.facts.runs import Run, differing, known_datasets, unknown_stages
from xmcpipe.report.facts.sample import Sample, draw_sample
from xmcpipe.report.facts.topology import read_topology
from xmcpipe.report.page.output import require_writable, write_whole
from xmcpipe.report.page.render import render, require_packages
from xmcpipe.report.sections.calibration import calibration
from xmcpipe.report.sections.feature_use import feature_use
from xmcpipe.report.sections.frequency import frequency
from xmcpipe.report.sections.headline import headline_section, quoted_variants
from xmcpipe.report.sections.labels import labels
from xmcpipe.report.sections.learning import learning
from xmcpipe.report.sections.peak_memory import peak_memory
from xmcpipe.report.sections.rebuild import rebuild_facts, setting_text
from xmcpipe.report.sections.section import Section
from xmcpipe.report.sections.speed import speed

# What figures of another kind than expected raise where they are put into cells and charts.
MISTAKEN = (TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError)


@dataclass(frozen=True)
class ReportOptions:
    """Settings of a report.

    `documents` is the number of test documents to show, `rounds` the number of bootstrap rounds (0: none),
    and `seed` the seed of both the sample and the bootstrap.
    """

    documents: int = 1000
    rounds: int = 1000
    seed: int = 0


def make_report(runs: Sequence[Run], options: ReportOptions, path: Path) -> dict[str, Any]:
    """Write the page about `runs` to `path`; returns a summary of the page (JSON types).

    Each run must have a name (see `named`). Raises XmcpipeError, before anything is measured, if a package is
    missing or the file can't be written.
    """
    require_packages()
    require_writable(path)
    # Two parts per measured run (reading, evaluating), then the sample, the context and the rendering.
    with progress("report", 2 * len(runs) + 3, "parts") as bar:
        measurements, tests = measure_runs(runs, options.rounds, options.seed, bar.update)
        sample, notes = _sample(runs, measurements, tests, options)
        bar.update()
        context = _checked_context(runs, measurements, sample, notes)
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


def _sample(
    runs: Sequence[Run],
    measurements: Sequence[RunMeasurement],
    tests: dict[str, TestSet],
    options: ReportOptions,
) -> tuple[Sample | None, list[str]]:
    """A sample of the first test set that still exists, with all runs on it, and notes on the other runs."""
    pairs = list(zip(runs, measurements, strict=True))
    notes = [
        f"No documents of {run.name}: its predictions, or their shards, were deleted or can't be read."
        for run, measurement in pairs
        if measurement.predictions is None
    ]
    pairs = [pair for pair in pairs if pair[1].predictions is not None and pair[0].test_set in tests]
    if not pairs or not options.documents:
        return None, notes if options.documents else ["No documents: --documents is 0."]
    name = pairs[0][0].test_set
    notes += [f"No documents of {run.name}: it has another test." for run, _ in pairs if run.test_set != name]
    same_runs = [run for run, _ in pairs if run.test_set == name]
    same_measurements = [measurement for run, measurement in pairs if run.test_set == name]
    sample = draw_sample(same_runs, same_measurements, tests[name], options.documents, options.seed)
    if sample.ids and not any(sample.texts):
        notes.append("No texts: the raw artifact was deleted, or can't be read.")
    return sample, notes


def _checked_context(
    runs: Sequence[Run], measurements: Sequence[RunMeasurement], sample: Sample | None, notes: list[str]
) -> dict[str, Any]:
    """The context. Raises XmcpipeError, with the run, for figures that can't be put into cells and charts.

    Manifests and metrics.json hold figures of many kinds, and a stranger may have written them.
    """
    try:
        return _context(runs, measurements, sample, notes)
    except MISTAKEN as error:
        pairs = zip(runs, measurements, strict=True)
        wrong = [run for run, measurement in pairs if not _can_be_shown(run, measurement)] or runs
        raise XmcpipeError(
            f"{wrong[0].folder('metrics')}: figures of this run, or of its model, are none that this version "
            f"writes ({type(error).__name__}: {error})",
            "make them again with `xmcpipe eval --force` or `xmcpipe train --force`, or leave the run out",
        ) from error


def _can_be_shown(run: Run, measurement: RunMeasurement) -> bool:
    try:
        _context([run], [measurement], None, [])
    except MISTAKEN:
        return False
    return True


def _context(
    runs: Sequence[Run], measurements: Sequence[RunMeasurement], sample: Sample | None, notes: list[str]
) -> dict[str, Any]:
    """The variables of page.html.j2."""
    names, datasets = [run.name for run in runs], known_datasets(runs)
    # Published figures are of one dataset, so they can't be compared with runs on several.
    quoted = published(datasets[0]) if len(datasets) == 1 else None
    first_of_test: dict[str, Run] = {}
    for run in runs:
        first_of_test.setdefault(run.test_set, run)
    several = len(first_of_test) > 1
    differences = differing(runs) if len(runs) > 1 else {}
    title = quoted.title if quoted else listed(datasets) or "own data"
    recipes = listed(list(dict.fromkeys(run.recipe for run in runs if run.recipe)))
    return {
        "version": xmcpipe.__version__,
        "title": title,
        "heading": f"{recipes}: {title}" if recipes else title,
        "names": names,
        "colours": charts.colours(names),
        "tests": [(f"{run.name}: " if several else "", run.metrics) for run in first_of_test.values()],
        "level": f"{100 * LEVEL:.0f}%",
        "has_intervals": any(measurement.intervals for measurement in measurements),
        "quoted": quoted,
        "variants": quoted_variants(quoted.variants) if quoted and quoted.variants else None,
        "sections": {
            "figures": headline_section(runs, measurements, quoted, datasets),
            **_chart_sections(runs, measurements),
            "documents": Section(notes=notes),
        },
        "sample": sample,
        "unknown_stages": unknown_stages(runs),
        "differing": {key: list(map(setting_text, row)) for key, row in differences.items()},
        "rebuilds": [rebuild_facts(run) for run in runs],
    }


def _chart_sections(runs: Sequence[Run], measurements: Sequence[RunMeasurement]) -> dict[str, Section]:
    """Name -> section, for the sections with charts. Logs and weights are read once for all of them.

    Baselines have no curves, no planned memory and no topology, so these sections are of models only.
    """
    names, models = [run.name for run in runs], [run for run in runs if run.baseline is None]
    curves = {run.name: read_curves(run.folder("model")) for run in models}
    layers = {run.name: layer for run in models if (layer := read_topology(run.folder("model")))}
    return {
        "learning": learning(models, curves),
        "frequency": frequency(names, measurements),
        "calibration": calibration(runs),
        "labels": labels(names, measurements),
        "memory": peak_memory(models),
        "speed": speed(runs, curves),
        "topology": feature_use(models, layers, {name: curves[name].rewirings for name in layers}),
    }
