"""`eval`: predictions against the test's truth, with the popularity baseline beside them, as metrics.json.

metrics.json holds `model` and `popularity`, each name@k -> fraction (see xmcpipe/metrics for the
definitions), and what one needs to know to compare them with anything: the counts of documents and labels and
what fixed them, A, B and N of the propensity, and how many inputs were unusual. Without training labels,
`popularity` and `propensity` are null. Pairs that the dataset excludes (data.filter_pairs) are
taken out of the truth and, before the top k is cut, of the predictions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xmcpipe.artifacts.versions import METRICS_VERSION
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.stages.stage import Result, Stage

if TYPE_CHECKING:
    from xmcpipe.data.filter_pairs import FilterPairs
    from xmcpipe.data.label_lists import CommonVocabulary, Int64s, LabelLists

ROWS = 1 << 16  # documents measured at once: some 100 MB at 36 labels a document


@dataclass(frozen=True)
class EvalConfig:
    """The table [eval]: the ranks `k`, rising, and the propensity constants A and B of the dataset.

    A and B are 0.5 and 0.4 for Wikipedia, 0.6 and 2.6 for Amazon, 0.55 and 1.5 for everything else. The
    `propensity` counts the training documents: `standard`; with `paper` each label text counts as one more
    document, labelled by itself, as papers count that train on label features.
    """

    k: tuple[int, ...] = (1, 3, 5)
    a: float = 0.55
    b: float = 1.5
    propensity: Literal["standard", "paper"] = "standard"

    def __post_init__(self) -> None:
        if (
            not self.k
            or self.k[0] < 1
            or any(after <= before for before, after in zip(self.k, self.k[1:], strict=False))
        ):
            raise ValueError(f"k = {list(self.k)} was given, distinct rising ranks from 1 on were wanted")
        if not (self.a >= 0 and self.b > 0):
            raise ValueError(f"a = {self.a}, b = {self.b} was given, a >= 0 and b > 0 were wanted")


@dataclass(frozen=True)
class Training:
    """What the metrics need of the training labels: documents of each label, int64 [L], and documents in
    all.
    """

    counts: "Int64s"
    documents: int
    repeated: int = 0


def run(config: EvalConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Measure the predictions artifact against the test split of the shards; write metrics.json into `out`.

    Raises XmcpipeError for predictions of other documents than the test's or with another vocabulary.
    """
    from xmcpipe.data.label_files import read_label_lists
    from xmcpipe.data.label_lists import common_vocabulary

    # first, before there is anything else in memory
    training = _training_of_shards(inputs["shards"], config.propensity)
    truth = read_label_lists(inputs["shards"], "truth")
    pairs = _excluded(truth, inputs["shards"])
    predictions = read_label_lists(inputs["predictions"], "predictions", top=config.k[-1] + pairs.most())
    _require_same_names(predictions, truth)
    common = common_vocabulary(replace(predictions, names=None), replace(truth, names=None), None)
    del predictions, truth  # two copies of the names, which may well be the largest part
    metrics = measure(common, training, config, pairs)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return Result(headline(metrics))


def evaluate_files(predictions: Path, truth: Path, train: Path | None, config: EvalConfig) -> dict[str, Any]:
    """The contents of metrics.json for files or artifacts that the user names; without `train` no PSP.

    Raises XmcpipeError for files that can't be read, hold other documents or have labels of another kind.
    """
    from xmcpipe.data.label_files import read_label_lists
    from xmcpipe.data.label_lists import common_vocabulary
    from xmcpipe.metrics.truth import count_labels

    if config.propensity == "paper":
        raise XmcpipeError(
            "eval.propensity = 'paper' was given, and files don't say which labels have a text",
            "leave --truth out and name --shards and --predictions, or use 'standard'",
        )
    true = read_label_lists(truth, "truth")
    pairs = _excluded(true, truth)
    common = common_vocabulary(
        read_label_lists(predictions, "predictions", top=config.k[-1] + pairs.most()),
        true,
        read_label_lists(train, "train") if train else None,
    )
    if len(pairs) and common.truth.labels is not true.labels:  # it was renumbered, and the pairs weren't
        raise XmcpipeError(
            f"{truth} excludes pairs by its own label ids, and {predictions} has another vocabulary",
            "give predictions with label names, or of that vocabulary",
        )
    training = None
    if common.train:
        counts, repeated = count_labels(common.train.indptr, common.train.labels, common.num_labels)
        training = Training(counts, len(common.train), repeated)
    return measure(common, training, config, pairs)


def measure(
    common: "CommonVocabulary", training: Training | None, config: EvalConfig, pairs: "FilterPairs"
) -> dict[str, Any]:
    """The contents of metrics.json for lists of one vocabulary, without `pairs` of the truth's rows."""
    from xmcpipe.data.label_lists import prediction_rows

    truth, num_labels = pairs.leave_out(common.truth), common.num_labels
    if not len(truth.labels):
        raise XmcpipeError(
            f"{truth.source}: none of {len(truth):,} documents has a label",
            "check that it is the test's truth",
        )
    rows, joined_by = prediction_rows(common.predictions, truth)
    predictions = (pairs if rows is None else pairs.moved(rows)).leave_out(common.predictions)
    top_NK = _best_of_all(predictions, config.k[-1])
    short = int((top_NK[:, -1] < 0).sum())
    unknown = top_NK >= num_labels
    # a label that no document of ours has is a miss, and not one of the labels that a macro mean is over
    top_NK[unknown] = -1
    if rows is not None:
        top_NK = top_NK[rows]
    sums = _Sums(training, num_labels, config)
    sums.add_all(top_NK, truth)
    return {
        "k": list(config.k),
        "documents": len(truth),
        "labels": num_labels,
        "labels_from": common.origin,
        "labels_in_test": sums.model.tested,
        "joined_by": joined_by,
        "documents_without_truth": sums.empty,
        "documents_with_short_predictions": short,
        "predictions_of_unknown_labels": int(unknown.sum()),
        "repeated_labels_merged": sums.repeated + (training.repeated if training else 0),
        "filtered_pairs_in_truth": len(common.truth.labels) - len(truth.labels),
        "filtered_pairs_in_predictions": len(common.predictions.labels) - len(predictions.labels),
        "propensity": _constants(config, training) if training else None,
        "model": sums.model.figures(),
        "popularity": sums.popularity.figures() if sums.popularity else None,
    }


def _constants(config: EvalConfig, training: Training) -> dict[str, Any]:
    """What a PSP has to be read with."""
    return {"kind": config.propensity, "a": config.a, "b": config.b, "n": training.documents}


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


class _Sums:
    """The evaluators of the model and of the popularity baseline, fed together so that the truth is sorted
    once.
    """

    def __init__(self, training: Training | None, num_labels: int, config: EvalConfig) -> None:
        from xmcpipe.metrics.baseline import most_frequent
        from xmcpipe.metrics.evaluator import Evaluator
        from xmcpipe.metrics.propensity import LabelWeights, inverse_propensity

        self._num_labels = num_labels
        self._weights: LabelWeights | None = None
        self.popularity: Evaluator | None = None
        self.empty = self.repeated = 0  # documents without truth; labels that stood twice in one
        if training:
            inverse = inverse_propensity(training.counts, training.documents, config.a, config.b)
            self._weights = LabelWeights.of(inverse)
            self._popular_K = most_frequent(training.counts, config.k[-1])
            self.popularity = Evaluator(num_labels, config.k, self._weights)
        self.model = Evaluator(num_labels, config.k, self._weights)

    def add_all(self, top_NK: "Int64s", truth: "LabelLists") -> None:
        """Measure all N documents, `ROWS` at a time."""
        import numpy as np

        from xmcpipe.metrics.truth import TruthBatch

        for first in range(0, len(truth), ROWS):
            indptr = truth.indptr[first : first + ROWS + 1]
            batch = TruthBatch.of(indptr, truth.labels[indptr[0] : indptr[-1]], self._num_labels)
            best_BK = self._weights.best(batch, top_NK.shape[1]) if self._weights else None
            top_BK = top_NK[first : first + ROWS]
            self.model.add(top_BK, batch, best_BK)
            if self.popularity:
                self.popularity.add(np.broadcast_to(self._popular_K, top_BK.shape), batch, best_BK)
            self.empty += int((batch.sizes == 0).sum())
            self.repeated += batch.repeated


def _best_of_all(predictions: "LabelLists", k: int) -> "Int64s":
    """int64 [N, k], made `ROWS` documents at a time because sorting takes several times their size."""
    import numpy as np

    from xmcpipe.metrics.ranking import best_labels

    top_NK = np.empty((len(predictions), k), np.int64)
    for first in range(0, len(predictions), ROWS):
        indptr = predictions.indptr[first : first + ROWS + 1]
        pairs = slice(int(indptr[0]), int(indptr[-1]))
        scores = None if predictions.scores is None else predictions.scores[pairs]
        try:
            top_NK[first : first + ROWS] = best_labels(indptr, predictions.labels[pairs], scores, k)
        except XmcpipeError as error:
            where = f"{predictions.source}, rows from {first}" if first else predictions.source
            raise XmcpipeError(f"{where}: {error.message}", error.hint) from error
    return top_NK


def _excluded(truth: "LabelLists", folder: Path) -> "FilterPairs":
    """The pairs that the dataset of the truth excludes, where the truth is an artifact."""
    from xmcpipe.data.filter_pairs import FilterPairs

    return FilterPairs.read(folder, "test", truth.width or 0)


def _training_of_shards(folder: Path, propensity: str) -> Training:
    """Counted piece by piece: the training labels may well be more than all else that is held."""
    import numpy as np
    import pyarrow.parquet as pq

    from xmcpipe.data.shards import Shards

    train = Shards(folder, *(("train", "label") if propensity == "paper" else ("train",)))
    if propensity == "paper" and len(train) == len(Shards(folder, "train")):
        raise XmcpipeError(
            f"eval.propensity = 'paper' was given, and {folder} has no label text", "use 'standard'"
        )
    vocabulary = require_file(folder / "labels.parquet", "vocabulary")
    counts = np.zeros(pq.read_metadata(vocabulary).num_rows, np.int64)
    for labels, _ in train.labels.flat():
        np.add.at(counts, labels, np.int64(1))  # labels of a shard are distinct in each document
    return Training(counts, len(train))


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
