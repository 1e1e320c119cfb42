"""`eval`: measures predictions against the truth of the test split, and writes metrics.json.

A popularity baseline is measured too. The format of the file is described in
xmcpipe/measuring/metrics_json.py, the metrics in xmcpipe/metrics.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xmcpipe.config import require_at_least
from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.files import EvalInputs, measure_files
from xmcpipe.measuring.lists import measure_lists, most_pairs, without_names
from xmcpipe.measuring.metrics_json import (
    METRICS_VERSION,
    Bootstrap,
    headline,
    metrics_table,
    write_metrics,
)
from xmcpipe.measuring.per_label import require_ending, write_per_label
from xmcpipe.measuring.reliability import reliability_of_test
from xmcpipe.measuring.shard_training import training_of_shards
from xmcpipe.stages.stage import Result, Stage

if TYPE_CHECKING:
    from xmcpipe.data.label_lists.lists import LabelLists


# More takes memory without end, and means nothing.
MOST_RANK, MOST_BINS, MOST_ROUNDS = 1_000_000, 1000, 1_000_000
LARGEST_EXPONENT = math.log(1e100)


@dataclass(frozen=True)
class EvalConfig:
    """The recipe table [eval]: ranks, propensity, frequency bins and bootstrap."""

    k: tuple[int, ...] = (1, 3, 5)
    """Ranks k at which the metrics are measured, in ascending order."""

    a: float = 0.55
    """Propensity constant A of the dataset: 0.5 for Wikipedia, 0.6 for Amazon, 0.55 for others."""

    b: float = 1.5
    """Propensity constant B of the dataset: 0.4 for Wikipedia, 2.6 for Amazon, 1.5 for others."""

    propensity: Literal["standard", "paper"] = "standard"
    """Which training documents the propensity counts: "standard" counts the documents alone; "paper" also
    counts each label text as a document with that label, as papers do that train on label features.
    """

    bins: int = 3
    """Number of bins by training frequency of labels: 3 for head, torso and tail, 10 for deciles."""

    rounds: int = 1000
    """Number of bootstrap rounds for the confidence intervals; 0 computes no intervals."""

    level: float = 0.95
    """Confidence level of the intervals, between 0 and 1."""

    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value out of range."""
        rising = all(before < after for before, after in zip(self.k, self.k[1:], strict=False))
        if not self.k or self.k[0] < 1 or not rising:
            raise ValueError(f"expected k to be distinct rising ranks of at least 1, got k = {list(self.k)}")
        if not (self.a >= 0 and self.b > 0):
            raise ValueError(f"expected a >= 0 and b > 0, got a = {self.a}, b = {self.b}")
        if not 0 < self.level < 1:
            raise ValueError(f"expected 0 < level < 1, got level = {self.level}")
        require_at_least(self, 1, "bins")
        require_at_least(self, 0, "rounds", "seed")
        for name, value, most in (
            ("k", self.k[-1], MOST_RANK), ("bins", self.bins, MOST_BINS), ("rounds", self.rounds, MOST_ROUNDS)
        ):  # fmt: skip
            if value > most:
                raise ValueError(f"expected {name} of at most {most:,}, got {value:,}")
        # The weight of a hit on the rarest label, for which floats must have room (see metrics.propensity).
        if self.a * math.log(self.b + 1) > LARGEST_EXPONENT:
            raise ValueError(f"expected (b + 1)^a below 1e100, got a = {self.a:g}, b = {self.b:g}")

    @property
    def bootstrap(self) -> Bootstrap:
        """The settings of the bootstrap."""
        return Bootstrap(self.rounds, self.level, self.seed)


def run(config: EvalConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Measure the predictions artifact against the test split of the shards; write metrics.json into `out`.

    If the predictions have probabilities, their calibration is measured too. Raises XmcpipeError if the
    predictions are of other documents or labels than those of the test split.
    """
    from xmcpipe.data.label_lists.files import filter_of_artifact, read_label_lists
    from xmcpipe.data.label_lists.numbering import common_vocabulary

    shards = inputs["shards"]
    training = training_of_shards(shards, config.propensity)  # the largest input: counted first, then freed
    truth = read_label_lists(shards, "truth")
    pairs = filter_of_artifact(shards, truth)
    # Filter pairs are removed before the top k is cut, so more candidates than k must be read.
    top = config.k[-1] + (0 if pairs is None else most_pairs(pairs))
    predictions = read_label_lists(inputs["predictions"], "predictions", top=top)
    _require_same_names(predictions, truth)
    others = [without_names(lists) for lists in (predictions, pairs) if lists is not None]
    common = common_vocabulary(others, without_names(truth), None)
    del predictions, truth, pairs  # frees the label names, which can take most of the memory
    measurement = measure_lists(common, training, config.k, config.a, config.b, filtered=len(others) > 1)
    metrics = metrics_table(measurement, config.bins, config.bootstrap)
    reliability = reliability_of_test(inputs["predictions"], shards, config.k, inputs.get("calibration"))
    if reliability is not None:
        metrics["calibration"] = reliability
    write_metrics(out, metrics)
    return Result(headline(metrics))


def evaluate_files(inputs: EvalInputs, config: EvalConfig, per_label: Path | None = None) -> dict[str, Any]:
    """The contents of metrics.json for files or artifacts that the user names.

    Without training labels, there are no propensity-scored metrics. The figures of each label are written to
    the file `per_label`, CSV or Parquet.

    Raises XmcpipeError for files that can't be read, or whose documents or labels don't match.
    """
    if per_label is not None:
        require_ending(per_label)
    measurement = measure_files(inputs, config.k, config.a, config.b, config.propensity)
    if per_label is not None:
        write_per_label(per_label, measurement)
    return metrics_table(measurement, config.bins, config.bootstrap)


def compare_files(inputs: EvalInputs, config: EvalConfig) -> dict[str, Any]:
    """Compare two systems by a paired bootstrap over documents; the result has JSON types.

    Its key `differences` maps metric@k to both figures, their difference, its interval and p. Raises the
    errors of `evaluate_files`, and XmcpipeError if the bootstrap has no rounds.
    """
    from xmcpipe.metrics.evaluation import compare

    if not config.rounds:
        raise XmcpipeError(
            "expected at least 1 bootstrap round for a comparison, got rounds = 0",
            "for example --set eval.rounds=1000",
        )
    measurement = measure_files(inputs, config.k, config.a, config.b, config.propensity)
    first, second = measurement.systems
    differences = compare(first, second, config.rounds, config.level, config.seed)
    systems = [
        {"predictions": str(path), **facts, "figures": system.figures}
        for path, facts, system in zip(
            inputs.predictions, measurement.system_facts, measurement.systems, strict=True
        )
    ]
    return {
        **measurement.facts,
        **dataclasses.asdict(config.bootstrap),
        "systems": systems,
        # The key `significant` is a property of a difference, which asdict leaves out.
        "differences": {
            name: {**dataclasses.asdict(each), "significant": each.significant}
            for name, each in differences.items()
        },
    }


def _require_same_names(predictions: "LabelLists", truth: "LabelLists") -> None:
    """Raise XmcpipeError unless both have the same label vocabulary, in the same order."""
    for lists in (predictions, truth):
        if lists.names is None:
            raise XmcpipeError(
                f"expected labels.parquet in {lists.source}, got none", "name a folder that a stage wrote"
            )
    assert predictions.names is not None
    assert truth.names is not None
    if predictions.names.equals(truth.names):
        return
    raise XmcpipeError(
        f"expected predictions of the {len(truth.names):,} labels of {truth.source}, got another vocabulary "
        f"of {len(predictions.names):,} labels in {predictions.source}",
        "predict with a model that was trained on these shards",
    )


EVAL = Stage(
    name="eval",
    kind="metrics",
    config=EvalConfig,
    schema_version=METRICS_VERSION,
    inputs=("predictions", "shards", "calibration"),
    run=run,
    required=lambda config: ("predictions", "shards"),
    help="Measure predictions, with confidence intervals, by label frequency, next to a popularity baseline.",
)
