"""A sample of the test documents, each with its true labels and the predictions of every run.

The sample is drawn with a seed, so the same runs give the same page. Texts are streamed: only those of the
sample are held in memory. On the page they are shortened to fit a screen, and the documents are one gzipped
JSON table, stored by columns, in which the name of each label occurs once.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.data.explanation import WordParts
from xmcpipe.report.facts.explained import words_of
from xmcpipe.report.facts.measurement import RunMeasurement, TestSet
from xmcpipe.report.facts.runs import Run

if TYPE_CHECKING:
    import pyarrow as pa

    from xmcpipe.data.label_lists.lists import Int64s, LabelLists

logger = logging.getLogger(__name__)

TEXT_CHARACTERS = 300  # maximum length of a document's text
NAME_CHARACTERS, LABEL_CHARACTERS = 120, 80  # maximum length of a label's name, and of its text
DIGITS = 4  # significant digits of a score
ScoredLabels = list[tuple[int, float | None]]  # label and score, best first


@dataclass(frozen=True)
class Sample:
    """The columns of a sample, with one row per document, the hardest document first.

    `labels` holds (name, text) of the labels that occur; `truth` and `predicted` refer to them by position.
    `predicted` maps each run's name to the best labels of each document, and `ndcg` maps it to the nDCG@k of
    each document. `words` maps the runs whose model reads words to the words that speak for each predicted
    label. `num_test_documents` is the size of the test split. If the raw data was deleted, all `texts` are
    None.
    """

    num_test_documents: int
    k: int
    ids: list[str]
    texts: list[str | None]
    labels: list[tuple[str, str | None]]
    truth: list[list[int]]
    predicted: dict[str, list[ScoredLabels]]
    ndcg: dict[str, list[float]]
    words: dict[str, list[list[WordParts]]] = field(default_factory=dict)

    def reordered(self, order: Sequence[int]) -> "Sample":
        """The documents in this order."""
        return replace(
            self,
            ids=[self.ids[at] for at in order],
            texts=[self.texts[at] for at in order],
            truth=[self.truth[at] for at in order],
            predicted={name: [best[at] for at in order] for name, best in self.predicted.items()},
            ndcg={name: [values[at] for at in order] for name, values in self.ndcg.items()},
            words={name: [parts[at] for at in order] for name, parts in self.words.items()},
        )

    def columns(self) -> dict[str, Any]:
        """The columns in JSON types, as page.js reads them.

        To make the page smaller, labels and scores are in separate lists, and scores are rounded.
        """
        return {
            "of": self.num_test_documents,
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
                    "found": [round(value, 3) for value in self.ndcg[name]],
                    "words": self._words(name),
                }
                for name, rows in self.predicted.items()
            ],
        }

    def _words(self, run: str) -> list[list[list[list[Any]]]] | None:
        """Per document and predicted label [word, part] of each word; None if the model reads no words."""
        if run not in self.words:
            return None
        return [[[[word, _short(part)] for word, part in parts] for parts in row] for row in self.words[run]]


def draw_sample(
    runs: Sequence[Run], measurements: Sequence[RunMeasurement], test: TestSet, count: int, seed: int
) -> Sample:
    """Draw `count` test documents, or all if there are fewer, with the predictions of each run.

    All runs must have been evaluated on `test`. The hardest documents come first: those with the lowest
    nDCG@k (mean of the runs), then those with the most true labels.
    """
    import numpy as np

    from xmcpipe.metrics.terms import rank_discounts

    documents, k = len(test.truth), min(max(run.metrics["k"]) for run in runs)
    count = min(count, documents)
    # Sorted, so that texts and labels are read in the order of the files.
    rows = np.sort(np.random.default_rng(seed).choice(documents, count, replace=False))
    # Filter pairs are neither hits nor misses: they are removed from the truth and from the predictions.
    excluded = _labels(test.pairs, rows)
    pairs = zip(_labels(test.truth, rows), excluded, strict=True)
    truth = [sorted(set(labels) - set(out)) for labels, out in pairs]
    gains = rank_discounts(k).tolist()
    predicted, ndcg_of_run = {}, {}
    for run, measurement in zip(runs, measurements, strict=True):
        assert measurement.predictions, "the caller leaves out runs without predictions"
        predicted[run.name] = _ranked(measurement.predictions, test.truth, rows, excluded, k)
        ndcg_of_run[run.name] = [
            ndcg([label in set(true) for label, _ in best], len(true), gains)
            for best, true in zip(predicted[run.name], truth, strict=True)
        ]
    mean = np.mean(list(ndcg_of_run.values()), axis=0)
    by_size = np.array([-len(true) for true in truth])
    # The last key of lexsort is the first criterion; rows break the remaining ties.
    hardest = np.lexsort((rows, by_size, mean)).tolist()
    assert test.truth.ids is not None, "artifacts have document ids"
    ids = test.truth.ids.take(rows).to_pylist()
    by_id = _texts(runs[0].folder("raw"), ids)
    texts = [by_id.get(name) for name in ids]
    shown, words = [text and cut(text, TEXT_CHARACTERS) for text in texts], _words(runs, texts, predicted)
    sample = Sample(documents, k, ids, shown, [], truth, predicted, ndcg_of_run, words)
    return _numbered(sample.reordered(hardest), _vocabulary(runs))


def _words(
    runs: Sequence[Run], texts: Sequence[str | None], predicted: dict[str, list[ScoredLabels]]
) -> dict[str, list[list[WordParts]]]:
    """The words that speak for the predicted labels, of the runs whose model reads words."""
    labels = {name: [[label for label, _ in best] for best in rows] for name, rows in predicted.items()}
    words = {run.name: words_of(run, texts, labels[run.name]) for run in runs}
    return {name: parts for name, parts in words.items() if parts is not None}


def ndcg(hits: Sequence[bool], num_true: int, gains: Sequence[float]) -> float:
    """nDCG@k of one document that has `num_true` true labels; 0 if it has none.

    `hits`: whether each predicted label is true, best first. `gains`: the gain of a hit at each of the k
    ranks.
    """
    ideal = sum(gains[: min(num_true, len(gains))])
    return sum(gain for gain, hit in zip(gains, hits, strict=False) if hit) / ideal if ideal else 0.0


def cut(text: str, most: int) -> str:
    """The text as one line of at most `most` characters; a text that is cut ends with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _labels(lists: "LabelLists | None", rows: "Int64s") -> list[list[int]]:
    """The labels of each row in `rows`; empty lists if `lists` is None."""
    if lists is None:
        return [[] for _ in rows]
    indptr = lists.indptr
    return [lists.labels[indptr[row] : indptr[row + 1]].tolist() for row in rows]


def _ranked(
    predictions: "LabelLists", truth: "LabelLists", rows: "Int64s", excluded: Sequence[list[int]], k: int
) -> list[ScoredLabels]:
    """The k best labels of the documents `rows`, which are rows of the truth.

    Labels are ordered as the metrics rank them: by (-score, label id). `excluded` has, for each document, the
    labels of its filter pairs, which are removed before the k best are chosen.
    """
    from xmcpipe.data.label_lists.joining import prediction_rows
    from xmcpipe.data.label_lists.lists import select_rows

    order, _ = prediction_rows(predictions, truth)
    chosen = select_rows(predictions, rows if order is None else order[rows])
    ranked = []
    for at, filtered in enumerate(excluded):
        pairs = slice(int(chosen.indptr[at]), int(chosen.indptr[at + 1]))
        labels = chosen.labels[pairs].tolist()
        scores = [None] * len(labels) if chosen.scores is None else chosen.scores[pairs].tolist()
        both: ScoredLabels = [
            (label, score) for label, score in zip(labels, scores, strict=True) if label not in filtered
        ]
        if chosen.scores is not None:  # lists without scores are in order already
            both.sort(key=lambda pair: (-(pair[1] or 0.0), pair[0]))
        ranked.append(both[:k])
    return ranked


def _texts(raw: Path | None, ids: Sequence[str]) -> dict[str, str]:
    """Id -> text of the test documents `ids`; empty if the raw artifact can't be read."""
    import pyarrow as pa

    if raw is None or not (raw / "test.parquet").is_file():
        return {}
    try:
        return _texts_of(raw / "test.parquet", pa.array(ids, pa.string()))
    except (pa.ArrowException, OSError, KeyError) as error:
        logger.warning("%s can't be read: %s", raw / "test.parquet", error)
        return {}


def _texts_of(path: Path, ids: "pa.Array") -> dict[str, str]:
    """Id -> text. Only one batch of documents is in memory at a time."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    texts = {}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(8192, columns=["id", "text"]):
            sampled = batch.filter(pc.is_in(batch.column("id"), value_set=ids))
            names, full_texts = sampled.column("id").to_pylist(), sampled.column("text").to_pylist()
            for name, text in zip(names, full_texts, strict=True):
                texts[name] = text or ""
    return texts


def _vocabulary(runs: Sequence[Run]) -> "pa.Table":
    """The columns `label` and `text` of all labels, in the order of their ids."""
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
    """The score with DIGITS significant digits; None without a score, or for NaN and infinity (not JSON)."""
    return float(f"{score:.{DIGITS}g}") if score is not None and math.isfinite(score) else None
