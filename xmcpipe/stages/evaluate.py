"""`eval`: predictions against the test's truth, with the popularity baseline beside them, as metrics.json.

metrics.json holds

    model, popularity   metric@k -> fraction (see xmcpipe/metrics for the definitions)
    intervals           the bootstrap's: {rounds, level, seed, model: metric@k -> [low, high]}
    by_frequency        the model's metrics by bins of the labels' training frequency, a list of tables
    filter              {pairs, true} where pairs were left out

and what one needs to know to compare them with anything (see measuring.py). Without training labels,
`popularity`, `propensity` and `by_frequency` are null; without rounds, `intervals` is.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xmcpipe.artifacts.versions import METRICS_VERSION
from xmcpipe.config import require_at_least
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.stages.measuring import (
    Given,
    Measured,
    measure_lists,
    most_pairs,
    read_and_measure,
    without_names,
)
from xmcpipe.stages.stage import Result, Stage

if TYPE_CHECKING:
    from xmcpipe.data.label_lists.lists import LabelLists
    from xmcpipe.metrics.evaluation import Evaluation
    from xmcpipe.metrics.propensity import Training

FILE_NAME = "metrics.json"


@dataclass(frozen=True)
class EvalConfig:
    """The table [eval]: the ranks `k`, rising, and the propensity constants A and B of the dataset.

    A and B are 0.5 and 0.4 for Wikipedia, 0.6 and 2.6 for Amazon, 0.55 and 1.5 for everything else. The
    `propensity` counts the training documents: `standard`; with `paper` each label text counts as one more
    document, labelled by itself, as papers count that train on label features. `bins` of the labels' training
    frequency: 3 for head, torso and tail, 10 for deciles. `rounds` of the bootstrap, 0 for none, its `level`
    of confidence and its `seed`.
    """

    k: tuple[int, ...] = (1, 3, 5)
    a: float = 0.55
    b: float = 1.5
    propensity: Literal["standard", "paper"] = "standard"
    bins: int = 3
    rounds: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if (
            not self.k
            or self.k[0] < 1
            or any(after <= before for before, after in zip(self.k, self.k[1:], strict=False))
        ):
            raise ValueError(f"k = {list(self.k)} was given, distinct rising ranks from 1 on were wanted")
        if not (self.a >= 0 and self.b > 0):
            raise ValueError(f"a = {self.a}, b = {self.b} was given, a >= 0 and b > 0 were wanted")
        if not 0 < self.level < 1:
            raise ValueError(f"level = {self.level} was given, a share such as 0.95 was wanted")
        require_at_least(self, 1, "bins")
        require_at_least(self, 0, "rounds", "seed")


def run(config: EvalConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Measure the predictions artifact against the test split of the shards; write metrics.json into `out`.

    Raises XmcpipeError for predictions of other documents than the test's or with another vocabulary.
    """
    from xmcpipe.data.label_lists.files import filter_of_artifact, read_label_lists
    from xmcpipe.data.label_lists.lists import common_vocabulary

    shards = inputs["shards"]
    training = training_of_shards(shards, config.propensity)  # before there is anything else in memory
    truth = read_label_lists(shards, "truth")
    pairs = filter_of_artifact(shards, truth)
    top = config.k[-1] + (0 if pairs is None else most_pairs(pairs))
    predictions = read_label_lists(inputs["predictions"], "predictions", top=top)
    _require_same_names(predictions, truth)
    others = [without_names(lists) for lists in (predictions, pairs) if lists is not None]
    common = common_vocabulary(others, without_names(truth), None)
    del predictions, truth, pairs  # copies of the names, which may well be the largest part
    measured = measure_lists(common, training, config.k, config.a, config.b, filtered=len(others) > 1)
    metrics = _metrics(measured, config)
    (out / FILE_NAME).write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return Result(headline(metrics))


def evaluate_files(given: Given, config: EvalConfig) -> dict[str, Any]:
    """The contents of metrics.json for files or artifacts that the user names; without training no PSP.

    Raises XmcpipeError for files that can't be read, hold other documents or have labels of another kind.
    """
    return _metrics(read_and_measure(given, config.k, config.a, config.b, config.propensity), config)


def compare_files(given: Given, config: EvalConfig) -> dict[str, Any]:
    """Two systems beside each other: metric@k -> both figures, their difference, its interval and p.

    Raises XmcpipeError as `evaluate_files` does, and where the bootstrap has no rounds.
    """
    from xmcpipe.metrics.evaluation import compare

    if not config.rounds:
        raise XmcpipeError(
            "rounds = 0 was given, and a comparison needs the bootstrap", "as in --set eval.rounds=1000"
        )
    measured = read_and_measure(given, config.k, config.a, config.b, config.propensity)
    first, second = measured.systems
    differences = compare(first, second, config.rounds, config.level, config.seed)
    systems = [
        {"predictions": str(path), **facts, "figures": system.figures}
        for path, facts, system in zip(
            given.predictions, measured.system_facts, measured.systems, strict=True
        )
    ]
    return {
        **measured.facts,
        "rounds": config.rounds,
        "level": config.level,
        "seed": config.seed,
        "systems": systems,
        "differences": {
            name: {**dataclasses.asdict(each), "significant": each.significant}
            for name, each in differences.items()
        },
    }


def read_metrics(folder: Path) -> dict[str, Any]:
    """metrics.json of an artifact of any format version, as this version would have written it.

    What an older one did not know is null. Raises XmcpipeError for a file that is not there or no metrics.
    """
    path = require_file(folder / FILE_NAME, "metrics")
    try:
        metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = metrics.get("version", 1)
    except (ValueError, AttributeError) as error:
        raise XmcpipeError(f"{path} can't be read as metrics: {error}", "run `xmcpipe eval` again") from error
    if version not in range(1, METRICS_VERSION + 1):
        raise XmcpipeError(
            f"{path} has format {version}, this xmcpipe reads 1 to {METRICS_VERSION}", "get a newer xmcpipe"
        )
    added = dict.fromkeys(("labels_in_training", "filter", "intervals", "by_frequency"))
    if metrics.get("propensity"):
        metrics["propensity"] = {"kind": "standard", **metrics["propensity"]}
    return {**added, **metrics}


def headline(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The figures for manifest and terminal: P and normalised PSP at each k, popularity's P, and A, B and N.

    Fractions, of four digits.
    """
    model, popular = metrics["model"], metrics["popularity"]
    names = [f"{name}@{k}" for name in ("P", "PSP") for k in metrics["k"]]
    figures: dict[str, Any] = {name: round(model[name], 4) for name in names if name in model}
    if popular:
        first = f"P@{metrics['k'][0]}"
        figures[f"popularity {first}"] = round(popular[first], 4)
        propensity = metrics["propensity"]
        figures |= {name.upper(): propensity[name] for name in ("a", "b", "n")}
        figures["propensity"] = propensity["kind"]
    return figures


def _metrics(measured: Measured, config: EvalConfig) -> dict[str, Any]:
    """The contents of metrics.json."""
    (model,), (facts,) = measured.systems, measured.system_facts
    bins = (
        [dataclasses.asdict(each) for each in model.by_frequency(config.bins)]
        if measured.popularity
        else None
    )
    return {
        "version": METRICS_VERSION,
        **measured.facts,
        **facts,
        "model": model.figures,
        "popularity": measured.popularity.figures if measured.popularity else None,
        "intervals": _intervals(model, config) if config.rounds else None,
        "by_frequency": bins,
    }


def _intervals(model: "Evaluation", config: EvalConfig) -> dict[str, Any]:
    found = model.intervals(config.rounds, config.level, config.seed)
    return {
        "rounds": config.rounds,
        "level": config.level,
        "seed": config.seed,
        "model": {name: [each.low, each.high] for name, each in found.items()},
    }


def training_of_shards(folder: Path, propensity: str) -> "Training":
    """The training labels of a shards artifact: how many documents each has, and N (see EvalConfig).

    Counted piece by piece: they may well be more than all else that is held. Raises XmcpipeError where
    `paper` is wanted and no label has a text.
    """
    import numpy as np
    import pyarrow.parquet as pq

    from xmcpipe.data.shards.files import Shards
    from xmcpipe.metrics.propensity import Training

    train = Shards(folder, *(("train", "label") if propensity == "paper" else ("train",)))
    if propensity == "paper" and len(train) == len(Shards(folder, "train")):
        raise XmcpipeError(
            f"eval.propensity = 'paper' was given, and {folder} has no label text", "use 'standard'"
        )
    vocabulary = require_file(folder / "labels.parquet", "vocabulary")
    counts = np.zeros(pq.read_metadata(vocabulary).num_rows, np.int64)
    for labels, _ in train.labels.flat():
        np.add.at(counts, labels, np.int64(1))  # labels of a shard are distinct in each document
    return Training(counts, len(train), kind=propensity)


def _require_same_names(predictions: "LabelLists", truth: "LabelLists") -> None:
    for lists in (predictions, truth):
        if lists.names is None:
            raise XmcpipeError(f"{lists.source} has no labels.parquet", "name the folder that a stage made")
    assert predictions.names is not None
    assert truth.names is not None
    if predictions.names.equals(truth.names):
        return
    raise XmcpipeError(
        f"{predictions.source} was predicted with another vocabulary ({len(predictions.names):,} labels) "
        f"than that of {truth.source} ({len(truth.names):,} labels)",
        "predict with a model that was trained on these shards",
    )


EVAL = Stage("eval", "metrics", EvalConfig, METRICS_VERSION, ("predictions", "shards"), run)
