"""metrics.json, the file of a metrics artifact: its format, and how to build, write and read it.

    version             METRICS_VERSION
    model, popularity   metric@k -> fraction (see xmcpipe/metrics for the definitions)
    intervals           bootstrap intervals: {rounds, level, seed, model: metric@k -> [low, high]}
    by_frequency        the metrics of the model in bins of the training frequency of labels: a list of tables
    filter              {pairs, true} if pairs were excluded
    calibration         how far probabilities are from what happens: k -> before and after, each with ece and
                        bins of the reliability diagram (measuring/reliability.py); only if predictions have
                        probabilities

It also holds the facts that decide whether figures can be compared: the numbers of documents and labels, A, B
and N of the propensity, and how many inputs were unusual (`Measurement.facts`). Without training labels,
`popularity`, `propensity` and `by_frequency` are null; without bootstrap rounds, `intervals` is null.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.json_file import parse_json

if TYPE_CHECKING:
    from xmcpipe.measuring.lists import Measurement
    from xmcpipe.metrics.evaluation import Evaluation

FILE_NAME = "metrics.json"
# Change it with the format. `read_metrics` reads older versions; the stage `eval` makes the artifact again.
METRICS_VERSION = 2
# Keys that version 1 lacks, and one that version 2 has only for predictions with probabilities.
OPTIONAL = ("labels_in_training", "filter", "intervals", "by_frequency", "calibration")
DIGITS = 4  # decimal places of the headline figures


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Settings of the bootstrap: resampling `rounds` (0: no intervals), confidence `level` and `seed`."""

    rounds: int
    level: float
    seed: int


def metrics_table(measurement: "Measurement", bins: int, bootstrap: Bootstrap) -> dict[str, Any]:
    """The contents of metrics.json (JSON types) for a measurement of exactly one system.

    `bins` is the number of bins by training frequency of labels.
    """
    (model,), (facts,) = measurement.systems, measurement.system_facts
    popularity = measurement.popularity
    return {
        "version": METRICS_VERSION,
        **measurement.facts,
        **facts,
        "model": model.figures,
        "popularity": popularity.figures if popularity else None,
        "intervals": _intervals(model, bootstrap) if bootstrap.rounds else None,
        "by_frequency": [dataclasses.asdict(each) for each in model.by_frequency(bins)]
        if popularity
        else None,
    }


def _intervals(model: "Evaluation", bootstrap: Bootstrap) -> dict[str, Any]:
    intervals = model.intervals(bootstrap.rounds, bootstrap.level, bootstrap.seed)
    return {
        **dataclasses.asdict(bootstrap),
        "model": {name: [each.low, each.high] for name, each in intervals.items()},
    }


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics.json into `folder`."""
    text = json.dumps(metrics, indent=2, allow_nan=False)
    (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read metrics.json of any known format version, and return it in the form of the current version.

    Keys that an older version lacks are null. Raises XmcpipeError if there is no such file, if it can't be
    read, or if its version is unknown.
    """
    path = require_file(folder / FILE_NAME, "metrics")
    try:
        metrics: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        version = metrics.get("version", 1)
    except (ValueError, AttributeError) as error:
        raise XmcpipeError(
            f"expected metrics in {path}, but it can't be read: {error}", "run `xmcpipe eval` again"
        ) from error
    if version not in range(1, METRICS_VERSION + 1):
        raise XmcpipeError(
            f"expected format version 1 to {METRICS_VERSION}, got {version} in {path}",
            "install a newer xmcpipe",
        )
    if metrics.get("propensity"):
        # Older files have no kind: they were all computed with the standard propensity.
        metrics["propensity"] = {"kind": "standard", **metrics["propensity"]}
    return {**dict.fromkeys(OPTIONAL), **metrics}


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The figures for the manifest and the terminal; fractions are rounded to four decimal places.

    They are P and normalised PSP at each k, P of the popularity baseline at the first k, and the kind, A, B
    and N of the propensity; ECE at each k if predictions have probabilities.
    """
    model, popular = metrics["model"], metrics["popularity"]
    names = [f"{name}@{k}" for name in ("P", "PSP") for k in metrics["k"]]
    figures: dict[str, Any] = {name: round(model[name], DIGITS) for name in names if name in model}
    if popular:
        first = f"P@{metrics['k'][0]}"
        figures[f"popularity {first}"] = round(popular[first], DIGITS)
        propensity = metrics["propensity"]
        figures |= {name.upper(): propensity[name] for name in ("a", "b", "n")}
        figures["propensity"] = propensity["kind"]
    for k, both in (metrics.get("calibration") or {}).items():
        figures[f"ECE@{k}"] = round(both["after"]["ece"], DIGITS)
    return figures
