"""`calibrate`: learns what probabilities a model's scores stand for, and thresholds, on held-out documents.

The documents are those of the validation split, which the training set aside: it chose the best checkpoint
by them, but no weight has seen them. The test split is not read. The format of the artifact is described in
xmcpipe/calibration/saved.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.versions import CALIBRATION_VERSION
from xmcpipe.config import require_at_least, runtime
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.stage import Result, Stage
from xmcpipe.training.schedule import divided, held_out_count

if TYPE_CHECKING:
    from xmcpipe.calibration.saved import Calibration
    from xmcpipe.calibration.selection import Candidates, Trial, Way
    from xmcpipe.data.shards.files import Int64s

DIGITS = 4


@dataclass(frozen=True)
class CalibrateConfig:
    """The recipe table [calibrate]: how scores become probabilities."""

    method: Literal["auto", "none", "temperature", "platt", "isotonic", "frequency"] = "auto"
    """Function from scores to probabilities: "none" is the logistic function, as trained with the loss bce;
    "temperature" stretches its scores, "platt" stretches and shifts them, "isotonic" fits any rising curve,
    and "frequency" stretches and shifts them by amounts that follow label frequency. "auto" tries all, the
    first three for all labels together and by bins of frequency, and keeps the most likely."""

    bins: int = 3
    """Number of bins by training frequency of labels, each with a function of its own; 1 fits one function to
    all labels."""

    candidates: int = 20
    """Number of labels of each held-out document that are looked at, best first. Labels that are never among
    so many best ones have probabilities that nothing has checked."""

    k: tuple[int, ...] = (1, 3, 5)
    """Ranks k at which the calibration error ECE@k is measured, in ascending order."""

    seed: int = 0
    """Seed of the folds of held-out documents on which functions are compared."""

    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Floating-point type in which the encoder and the scores are computed. A processor without
    instructions for it computes in float32."""

    batch_size: int = runtime(128)
    """Number of documents that are scored at a time."""

    label_chunk: int = runtime(32_768)
    """Number of labels that are scored at a time; a smaller number takes less memory."""

    device: str = runtime("auto")
    """Device to run on, such as "cpu" or "cuda"; "auto" uses a GPU if there is one."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value out of range."""
        require_at_least(self, 1, "bins", "candidates", "batch_size", "label_chunk")
        require_at_least(self, 0, "seed")
        rising = all(before < after for before, after in zip(self.k, self.k[1:], strict=False))
        if not self.k or self.k[0] < 1 or not rising:
            raise ValueError(f"expected k to be distinct rising ranks of at least 1, got k = {list(self.k)}")
        if self.k[-1] > self.candidates or self.bins > 100:
            raise ValueError(
                f"expected k up to candidates = {self.candidates} and at most 100 bins, got "
                f"k = {list(self.k)}, bins = {self.bins}"
            )


def run(config: CalibrateConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write calibration.json and calibration.parquet into `out`.

    Raises XmcpipeError unless the model was trained on the shards and set two documents or more aside, and
    for method "none" if the loss of the model is not bce.
    """
    from xmcpipe.calibration.order import orders
    from xmcpipe.calibration.selection import best_of, too_rare, tried
    from xmcpipe.inference.probability import is_logistic
    from xmcpipe.inference.propensity import training_documents
    from xmcpipe.modeling.saved import read_facts

    facts = read_facts(inputs["model"])
    logistic, rows = is_logistic(facts), _held_out(inputs, facts)
    documents_L = training_documents(inputs["model"], facts, "a calibration")
    candidates, positives_L = _candidates(config, inputs, rows, len(documents_L))
    candidates = candidates.without(too_rare(documents_L, positives_L))
    ways = _ways(config, documents_L, logistic)
    trials = [tried(way, candidates, documents_L, config.seed) for way in ways]
    chosen = best_of(trials)
    reliability = _reliability(candidates, chosen, logistic, config.k)
    order = orders(candidates, chosen.probabilities, config.k)
    table = {
        "method": chosen.way.method,
        "loss": facts["recipe"]["train"]["loss"],
        "documents": len(rows),
        "labels": len(documents_L),
        "candidates": candidates.labels.shape[1],
        "trials": [trial.table() for trial in trials],
        "reliability": reliability,
        "order": order,
    }
    _fitted(config, chosen.way, candidates, positives_L, documents_L, table).write(out)
    figures = {"method": chosen.way.method, "ranges": len(chosen.way.least), "documents": len(rows)}
    figures["better_order"] = order["better"]
    return Result(figures | _headline(reliability), {"calibration.parquet": len(documents_L)})


def _held_out(inputs: Mapping[str, Path], facts: Mapping[str, Any]) -> "Int64s":
    """The rows of the training split that the model was not trained on."""
    from xmcpipe.data.shards.files import Shards

    trained_on = Artifact.at(inputs["model"]).manifest.inputs.get("shards")
    given = Artifact.at(inputs["shards"]).manifest.fingerprint
    if trained_on != given:
        raise XmcpipeError(
            f"expected the shards {str(trained_on)[:16]}, of which the model set documents aside, got the "
            f"shards {given[:16]}",
            "name those that it was trained on",
        )
    documents = len(Shards(inputs["shards"], "train"))
    try:
        table = facts["recipe"]["train"]
        count, seed = held_out_count(table["validation"], table["validation_max"], documents), table["seed"]
    except (KeyError, TypeError) as error:
        raise XmcpipeError(
            f"{inputs['model']}: model.json doesn't say which documents were set aside", "train it again"
        ) from error
    if count < 2:
        raise XmcpipeError(
            f"expected a model that set documents aside, got one that set {count} of {documents:,} aside",
            "raise train.validation and train again, or remove [calibrate]",
        )
    rows, _ = divided(documents, count, seed)
    return rows


def _candidates(
    config: CalibrateConfig, inputs: Mapping[str, Path], rows_N: "Int64s", num_labels: int
) -> "tuple[Candidates, Int64s]":
    """The best labels of the held-out documents, and the number of these documents of each label, [L]."""
    import numpy as np

    from xmcpipe.calibration.selection import Candidates
    from xmcpipe.data.filter_pairs import FilterPairs
    from xmcpipe.data.shards.files import Shards
    from xmcpipe.inference.rows import RowScorer
    from xmcpipe.inference.scorer import Scorer
    from xmcpipe.modeling.devices import pick_device
    from xmcpipe.modeling.encoder import load_tokenizer
    from xmcpipe.modeling.saved import load_model
    from xmcpipe.progress import progress

    model, _ = load_model(inputs["model"])
    scorer = Scorer(model, pick_device(config.device), config.precision, config.label_chunk)
    train, pairs = Shards(inputs["shards"], "train"), FilterPairs.read(inputs["shards"], "train", num_labels)
    pad_id = load_tokenizer(str(inputs["model"] / "tokenizer")).pad_token_id or 0
    documents = RowScorer(scorer, train, pad_id, pairs, config.batch_size)
    with progress("calibrate", len(rows_N), "documents", scale=True) as bar:
        labels_NC, scores_NC = documents.best(rows_N, config.candidates, step=bar.update)
    true_P, lengths_N = train.labels.gather(rows_N)
    owner_P = np.repeat(np.arange(len(rows_N)), lengths_N)
    true = FilterPairs.of(owner_P, true_P, num_labels)  # the same question: which pairs are in a set?
    hits_NC = true.holds(np.arange(len(rows_N))[:, None], labels_NC)
    positives_L = np.bincount(true_P, minlength=num_labels)
    return Candidates(labels_NC, scores_NC, hits_NC), positives_L


def _ways(config: CalibrateConfig, documents_L: "Int64s", logistic: bool) -> "list[Way]":
    """The ways to compare, the simplest first; with a method other than "auto", that one alone."""
    from xmcpipe.calibration.fitting import FITS, ranges
    from xmcpipe.calibration.regression import fine_ranges
    from xmcpipe.calibration.selection import Way

    if config.method == "none" and not logistic:
        raise XmcpipeError(
            'expected a model trained with the loss bce for calibrate.method = "none", got another loss',
            'set it to "auto"',
        )
    by_frequency = ranges(documents_L, config.bins)
    if config.method == "none":
        return [Way("none")]
    following = Way("frequency", fine_ranges(documents_L))
    if config.method == "frequency":
        return [following]
    if config.method != "auto":
        return [Way(config.method, by_frequency)]
    each = [Way(method, least) for method in FITS for least in dict.fromkeys([(0,), by_frequency])]
    return [*([Way("none")] if logistic else []), *each, following]


def _fitted(
    config: CalibrateConfig,
    way: "Way",
    candidates: "Candidates",
    positives_L: "Int64s",
    documents_L: "Int64s",
    table: dict[str, Any],
) -> "Calibration":
    """`way` fitted to all held-out documents, and thresholds for the probabilities that it gives them."""
    import numpy as np

    from xmcpipe.calibration.fitting import ranges
    from xmcpipe.calibration.maps import places_of
    from xmcpipe.calibration.saved import Calibration
    from xmcpipe.calibration.selection import probabilities_of
    from xmcpipe.calibration.thresholds import Pairs, global_threshold, label_thresholds

    maps = way.fitted(candidates, documents_L)
    found_NC, present_NC = probabilities_of(maps, candidates, documents_L), candidates.labels >= 0
    labels_P = candidates.labels[present_NC].astype(np.int64)
    pairs = Pairs(labels_P, found_NC[present_NC], candidates.hits[present_NC], positives_L)
    # Labels with too few held-out documents for a threshold of their own share one: few narrow ranges have
    # enough documents for that.
    sharing = ranges(documents_L, config.bins) if way.method == "frequency" else way.least
    threshold_L = label_thresholds(pairs, places_of(sharing, documents_L))
    return Calibration(maps, maps.places(documents_L), global_threshold(pairs), threshold_L, table)


def _reliability(
    candidates: "Candidates", chosen: "Trial", logistic: bool, ks: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """k -> reliability before and after, of documents that nothing was fitted to."""
    import numpy as np

    from xmcpipe.calibration.maps import Sigmoid
    from xmcpipe.calibration.reliability import reliability_at

    plain_NC = np.where(candidates.labels >= 0, Sigmoid()(candidates.scores), np.nan)
    return {
        str(k): {
            "before": reliability_at(plain_NC, candidates.hits, k).table() if logistic else None,
            "after": reliability_at(chosen.probabilities, candidates.hits, k).table(),
        }
        for k in ks
    }


def _headline(reliability: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """ECE@k before and after for the manifest and the terminal."""
    return {
        f"ECE@{k}": {name: round(each["ece"], DIGITS) for name, each in both.items() if each is not None}
        for k, both in reliability.items()
    }


CALIBRATE = Stage(
    name="calibrate",
    kind="calibration",
    config=CalibrateConfig,
    schema_version=CALIBRATION_VERSION,
    inputs=("model", "shards"),
    run=run,
    help="Learn the probabilities that scores stand for, and thresholds, on the validation split.",
)
