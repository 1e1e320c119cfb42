"""Metrics as tables of text, and a table as Markdown or LaTeX.

The rows come from `catalog`; numbers are per cent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from xmcpipe.metrics import catalog

Table = list[list[str]]  # a header and rows

LATEX = str.maketrans(
    {"%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#", "$": r"\$", "±": r"$\pm$", "−": "$-$", "…": r"\dots{}"}
)


def table(metrics: Mapping[str, Any], names: Sequence[str] | None = None) -> Table:
    """One row per metric: its title, the model at each k with half its interval, popularity at each k.

    `names` are the figures to show, of `catalog.titles()`; by default those of `catalog.summary()`.
    """
    titles = catalog.titles()
    ks = metrics["k"]
    systems = [name for name in ("model", "popularity") if metrics[name]]
    intervals = (metrics.get("intervals") or {"model": {}})["model"]
    header = ["%", *(f"{_short(system)}@{k}" for system in systems for k in ks)]
    rows = []
    for name in catalog.summary() if names is None else names:
        if f"{name}@{ks[0]}" in metrics["model"]:
            cells = [
                _cell(metrics[system][f"{name}@{k}"], intervals.get(f"{name}@{k}") if not at else None)
                for at, system in enumerate(systems)
                for k in ks
            ]
            rows.append([titles[name], *cells])
    return [header, *rows]


def frequency_table(metrics: Mapping[str, Any]) -> Table:
    """One row per bin of training frequency: its labels, and its contributions to P@k and PSP@k.

    Empty without training labels.
    """
    if not metrics.get("by_frequency"):
        return []
    ks = metrics["k"]
    names = [
        *(f"{name}@{k}" for name in ("P", "PSP") for k in ks),
        f"macro_F1@{ks[-1]}",
        f"coverage@{ks[-1]}",
    ]
    titles = [name.replace("_", " ") for name in names]
    rows = [
        [
            each["name"],
            f"{each['labels']:,}",
            f"{each['least']:,}–{each['most']:,}",
            f"{each['test_positives']:,}",
            *(_cell(each["figures"][name]) for name in names),
        ]
        for each in metrics["by_frequency"]
    ]
    return [["by frequency, %", "labels", "documents each", "in test", *titles], *rows]


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """Lines below the tables: the counts, A, B and N, the bootstrap, and unusual inputs."""
    lines = [*_of_data(metrics), f"--json prints all {len(metrics['model'])} figures"]
    if intervals := metrics.get("intervals"):
        lines.append(
            f"±: half of the {100 * intervals['level']:g}% interval, {intervals['rounds']:,} bootstrap "
            "rounds over documents; macro figures and coverage have no interval"
        )
    if calibration := metrics.get("calibration"):
        lines.append(_of_calibration(calibration))
    if empty := [each["name"] for each in metrics.get("by_frequency") or () if not each["labels"]]:
        lines.append(f"no label is in {', '.join(empty)}: labels of the same frequency stay together")
    return lines + _of_system(metrics, metrics["k"][-1])


def comparison_table(comparison: Mapping[str, Any], names: Sequence[str] | None = None) -> Table:
    """One row per metric@k: both systems, the difference A − B with its interval, p, and * if significant.

    Metrics without an interval are not shown. `names` is as in `table`.
    """
    differences, titles = comparison["differences"], catalog.titles()
    rows = []
    for name in catalog.summary() if names is None else names:
        for k in comparison["k"]:
            if facts := differences.get(f"{name}@{k}"):
                ends = f"{_signed(facts['low'])} to {_signed(facts['high'])}"
                cells = [_cell(facts["first"]), _cell(facts["second"]), _signed(facts["difference"]), ends]
                star = "*" if facts["significant"] else ""
                rows.append([f"{titles[name]} @{k}", *cells, f"{facts['p']:.3f}", star])
    return [["%", "A", "B", "A − B", f"{100 * comparison['level']:g}% interval", "p", ""], *rows]


def comparison_notes(comparison: Mapping[str, Any]) -> list[str]:
    """Lines below a comparison: the names of A and B, the data, the bootstrap, and unusual inputs."""
    systems = dict(zip("AB", comparison["systems"], strict=True))
    lines = [f"{name}: {system['predictions']}" for name, system in systems.items()]
    lines += _of_data(comparison)
    lines.append(
        f"*: p < {1 - comparison['level']:g}, from {comparison['rounds']:,} paired bootstrap rounds over "
        "documents; macro figures and coverage have no interval"
    )
    for name, system in systems.items():
        lines += [f"{name}: {line}" for line in _of_system(system, comparison["k"][-1])]
    return lines


def markdown(table: Table) -> str:
    """The table for a README: titles aligned left, numbers right."""
    header, *rows = [[cell.replace("|", r"\|").replace("*", r"\*") for cell in row] for row in table]
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])


def latex(table: Table) -> str:
    """The table for a paper; its rules need the LaTeX package booktabs."""
    header, *rows = [" & ".join(cell.translate(LATEX) for cell in row) + r" \\" for row in table]
    columns = "l" + "r" * (len(table[0]) - 1)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *rows, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}"])


def _of_calibration(calibration: Mapping[str, Any]) -> str:
    """ECE@k in one line, and what it would be without the calibration, where that is known."""
    line = "calibration error of the probabilities, %: "
    line += " · ".join(f"ECE@{k} {_cell(both['after']['ece'])}" for k, both in calibration.items())
    before = [_cell(both["before"]["ece"]) for both in calibration.values() if both["before"]]
    return f"{line} (uncalibrated {' · '.join(before)})" if before else line


def _of_data(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{facts['documents']:,} documents, {facts['labels']:,} labels ({facts['labels_from']}), "
        f"{facts['labels_in_test']:,} of them in the test set"
    ]
    propensity = facts["propensity"]
    if propensity:
        counted = {"standard": "", "paper": ", label texts counted as documents"}[propensity["kind"]]
        constants = f"A {propensity['a']:g}, B {propensity['b']:g}, N {propensity['n']:,}"
        lines.append(f"PSP with {constants} ({propensity['kind']} propensity{counted})")
    else:
        lines.append("no PSP and no popularity baseline: both need the training labels")
    if pairs := facts.get("filter"):
        lines.append(
            f"{pairs['pairs']:,} pairs count neither as hits nor as misses: removed from the candidates "
            f"before the cut, and {pairs['true']:,} of them from the truth"
        )
    unusual = {
        "documents_without_truth": "documents have no true label and count as 0",
        "repeated_labels_merged": "labels occurred twice in a document of truth or training and were merged",
    }
    return lines + _counted(facts, unusual)


def _of_system(facts: Mapping[str, Any], k: int) -> list[str]:
    lines = []
    if facts["joined_by"] != "id":
        lines.append(f"predictions and truth were joined by {facts['joined_by']}")
    unusual = {
        "documents_with_short_predictions": f"documents have fewer than {k} predictions: the rest are misses",
        "documents_short_by_filter": "of them because the filter left too few candidates: predict more",
        "predictions_of_unknown_labels": "predicted labels are neither in truth nor in training: misses",
    }
    return lines + _counted(facts, unusual)


def _counted(facts: Mapping[str, Any], texts: Mapping[str, str]) -> list[str]:
    return [f"{facts[key]:,} {text}" for key, text in texts.items() if facts.get(key)]


def _cell(fraction: float, interval: Sequence[float] | None = None) -> str:
    half = f" ±{50 * (interval[1] - interval[0]):.2f}" if interval else ""
    return f"{100 * fraction:.2f}{half}"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.2f}".replace("-", "−")


def _short(system: str) -> str:
    return {"model": "", "popularity": "popular "}[system]
