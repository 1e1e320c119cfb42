"""A sample of the test documents, each with its true labels and the predictions of every run.

It is drawn with a seed, so that the same runs give the same page. Texts are streamed: only those of the
sample are in memory, cut to a length that fits a screen. On the page the documents are one gzipped JSON table
by columns, in which the name of each label occurs once.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.report.facts.measurement import RunMeasurement, TestSet
from xmcpipe.report.facts.runs import Run

if TYPE_CHECKING:
    import pyarrow as pa

    from xmcpipe.data.label_lists.lists import Int64s, LabelLists

logger = logging.getLogger(__name__)

TEXT_CHARACTERS = 300
NAME_CHARACTERS, LABEL_CHARACTERS = 120, 80
DIGITS = 4  # of a score
Ranking = list[tuple[int, float | None]]  # label and score, best first


@dataclass(frozen=True)
class Sample:
    """Columns with one row per document, the hardest first; `of` is the number of documents of the test.

    `labels` are (name, text) of the labels that occur; the other lists refer to them by position. `predicted`
    maps a run's name to a ranking for each document, and `found` to nDCG@k of each document. If the raw data
    was deleted, `texts` are None.
    """

    of: int
    k: int
    ids: list[str]
    texts: list[str | None]
    labels: list[tuple[str, str | None]]
    truth: list[list[int]]
    predicted: dict[str, list[Ranking]]
    found: dict[str, list[float]]

    def reordered(self, order: Sequence[int]) -> "Sample":
        """The documents in this order."""
        return replace(
            self,
            ids=[self.ids[at] for at in order],
            texts=[self.texts[at] for at in order],
            truth=[self.truth[at] for at in order],
            predicted={name: [best[at] for at in order] for name, best in self.predicted.items()},
            found={name: [values[at] for at in order] for name, values in self.found.items()},
        )

    def columns(self) -> dict[str, Any]:
        """The columns in JSON types, compact: labels and scores in separate lists, scores rounded."""
        return {
            "of": self.of,
            "k": self.k,
            "ids": self.ids,
            "texts": self.texts,
            "labels": self.labels,
            "truth": self.truth,
            "runs": [
                {
                    "name": name,
                    "labels": [[label for label, _ in row] for row in rows],
                    "scores": [[_short(score) for _, score in row] for row in rows],
                    "found": [round(value, 3) for value in self.found[name]],
                }
                for name, rows in self.predicted.items()
            ],
        }


def draw(
    runs: Sequence[Run], measurements: Sequence[RunMeasurement], test: TestSet, count: int, seed: int
) -> Sample:
    """`count` documents of the test, or all if it has fewer, with the predictions of runs on that test.

    The hardest come first: lowest nDCG@k (mean of the runs), then most true labels.
    """
    import numpy as np

    from xmcpipe.metrics.terms import rank_discounts

    documents, k = len(test.truth), min(max(run.metrics["k"]) for run in runs)
    count = min(count, documents)
    rows = np.sort(np.random.default_rng(seed).choice(documents, count, replace=False))
    # Filter pairs are neither hits nor misses: they are removed from the truth and from the predictions.
    excluded = _labels(test.pairs, rows)
    pairs = zip(_labels(test.truth, rows), excluded, strict=True)
    truth = [sorted(set(labels) - set(out)) for labels, out in pairs]
    gains = rank_discounts(k).tolist()
    predicted, found = {}, {}
    for run, measurement in zip(runs, measurements, strict=True):
        assert measurement.predictions, "the caller leaves out runs without predictions"
        predicted[run.name] = _ranked(measurement.predictions, test.truth, rows, excluded, k)
        found[run.name] = [
            ndcg([label in set(true) for label, _ in best], len(true), gains)
            for best, true in zip(predicted[run.name], truth, strict=True)
        ]
    mean = np.mean(list(found.values()), axis=0)
    by_size = np.array([-len(true) for true in truth])
    hardest = np.lexsort((rows, by_size, mean)).tolist()
    assert test.truth.ids is not None, "artifacts have document ids"
    ids = test.truth.ids.take(rows).to_pylist()
    texts = _texts(runs[0].folder("raw"), ids)
    sample = Sample(documents, k, ids, [texts.get(name) for name in ids], [], truth, predicted, found)
    return _numbered(sample.reordered(hardest), _vocabulary(runs))


def ndcg(hits: Sequence[bool], true: int, gains: Sequence[float]) -> float:
    """nDCG@k of one document with `true` true labels.

    `hits`: whether each predicted label is true, best first. `gains`: those of the k ranks.
    """
    ideal = sum(gains[: min(true, len(gains))])
    return sum(gain for gain, hit in zip(gains, hits, strict=False) if hit) / ideal if ideal else 0.0


def cut(text: str, most: int) -> str:
    """The text as one line of at most `most` characters; a cut one ends with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _labels(lists: "LabelLists | None", rows: "Int64s") -> list[list[int]]:
    """The labels of each of the rows; empty lists if there are no lists."""
    if lists is None:
        return [[] for _ in rows]
    indptr = lists.indptr
    return [lists.labels[indptr[row] : indptr[row + 1]].tolist() for row in rows]


def _ranked(
    predictions: "LabelLists", truth: "LabelLists", rows: "Int64s", excluded: Sequence[list[int]], k: int
) -> list[Ranking]:
    """The k best labels for each of the rows of the truth, in the order in which the metrics rank them."""
    from xmcpipe.data.label_lists.lists import prediction_rows, select_rows

    order, _ = prediction_rows(predictions, truth)
    chosen = select_rows(predictions, rows if order is None else order[rows])
    ranked = []
    for at, out in enumerate(excluded):
        pairs = slice(int(chosen.indptr[at]), int(chosen.indptr[at + 1]))
        labels = chosen.labels[pairs].tolist()
        scores = [None] * len(labels) if chosen.scores is None else chosen.scores[pairs].tolist()
        both: Ranking = [
            (label, score) for label, score in zip(labels, scores, strict=True) if label not in out
        ]
        if chosen.scores is not None:  # lists without scores are in order already
            both.sort(key=lambda pair: (-(pair[1] or 0.0), pair[0]))
        ranked.append(both[:k])
    return ranked


def _texts(raw: Path | None, ids: Sequence[str]) -> dict[str, str]:
    """Id -> cut text of these test documents in the raw artifact; empty if it can't be read."""
    import pyarrow as pa

    if raw is None or not (raw / "test.parquet").is_file():
        return {}
    try:
        return _texts_of(raw / "test.parquet", pa.array(ids, pa.string()))
    except (pa.ArrowException, OSError, KeyError) as error:
        logger.warning("%s can't be read: %s", raw / "test.parquet", error)
        return {}


def _texts_of(path: Path, ids: "pa.Array") -> dict[str, str]:
    """Id -> cut text. Only a batch of documents is in memory at a time."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    texts = {}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(8192, columns=["id", "text"]):
            found = batch.filter(pc.is_in(batch.column("id"), value_set=ids))
            names, found_texts = found.column("id").to_pylist(), found.column("text").to_pylist()
            for name, text in zip(names, found_texts, strict=True):
                texts[name] = cut(text or "", TEXT_CHARACTERS)
    return texts


def _vocabulary(runs: Sequence[Run]) -> "pa.Table":
    """The columns label and text of all labels, in the order of their ids."""
    import pyarrow.parquet as pq

    folder = runs[0].folder("shards")
    assert folder, "the caller leaves out runs without shards"
    return pq.read_table(folder / "labels.parquet", columns=["label", "text"])


def _numbered(sample: Sample, vocabulary: "pa.Table") -> Sample:
    """The sample with its labels renumbered by falling frequency: short numbers take less space."""
    from collections import Counter

    counts = Counter(label for row in sample.truth for label in row)
    for lists in sample.predicted.values():
        counts.update(label for row in lists for label, _ in row)
    old = [label for label, _ in counts.most_common()]
    new = {label: number for number, label in enumerate(old)}
    rows = vocabulary.take(old)
    texts = [None if text is None else cut(text, LABEL_CHARACTERS) for text in rows["text"].to_pylist()]
    return replace(
        sample,
        labels=[
            (cut(name, NAME_CHARACTERS), text)
            for name, text in zip(rows["label"].to_pylist(), texts, strict=True)
        ],
        truth=[[new[label] for label in row] for row in sample.truth],
        predicted={
            name: [[(new[label], score) for label, score in row] for row in lists]
            for name, lists in sample.predicted.items()
        },
    )


def _short(score: float | None) -> float | None:
    """A score with DIGITS significant digits; None if there is none, or for NaN and infinity (not JSON)."""
    return float(f"{score:.{DIGITS}g}") if score is not None and math.isfinite(score) else None
