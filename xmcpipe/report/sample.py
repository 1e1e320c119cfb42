"""A sample of the test's documents, each with its true labels and what every run predicted.

Drawn by a seed, so that the page of the same runs is the same page. Texts are streamed, and those of the
sample alone are held, cut to what fits a screen. On the page the documents are one gzipped JSON of columns,
in which a label's name stands once.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.report.measured import Measured, TestSet
from xmcpipe.report.runs import Run

if TYPE_CHECKING:
    import pyarrow as pa

    from xmcpipe.data.label_lists.lists import Int64s, LabelLists

logger = logging.getLogger(__name__)

TEXT_CHARACTERS = 300
NAME_CHARACTERS, LABEL_CHARACTERS = 120, 80
DIGITS = 4  # of a score
Ranked = list[tuple[int, float | None]]  # label and score, best first


@dataclass(frozen=True)
class Sample:
    """Columns, a document each, the hardest first; `of` is how many documents the test has.

    `labels` are (name, text) of the labels that occur, which the lists number; `predicted` maps a run's name
    to (label, score) lists, and `found` to nDCG@k of each document. Without raw data, `texts` are None.
    """

    of: int
    k: int
    ids: list[str]
    texts: list[str | None]
    labels: list[tuple[str, str | None]]
    truth: list[list[int]]
    predicted: dict[str, list[Ranked]]
    found: dict[str, list[float]]

    def columns(self) -> dict[str, Any]:
        """In JSON types, compactly: labels and scores of the predictions apart, scores rounded."""
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


def draw(runs: Sequence[Run], measured: Sequence[Measured], test: TestSet, count: int, seed: int) -> Sample:
    """`count` documents of the test, or all if it has fewer, with the predictions of runs on that test."""
    import numpy as np

    from xmcpipe.metrics.terms import rank_discounts

    documents, k = len(test.truth), min(max(run.metrics["k"]) for run in runs)
    count = min(count, documents)
    rows = np.sort(np.random.default_rng(seed).choice(documents, count, replace=False))
    left_out = _labels(test.pairs, rows)
    pairs = zip(_labels(test.truth, rows), left_out, strict=True)
    truth = [sorted(set(mine) - set(out)) for mine, out in pairs]
    gains = rank_discounts(k).tolist()
    predicted, found = {}, {}
    for run, mine in zip(runs, measured, strict=True):
        assert mine.predictions, "runs whose predictions are gone are left out before"
        predicted[run.name] = _ranked(mine.predictions, test.truth, rows, left_out, k)
        found[run.name] = [
            ndcg([label in set(true) for label, _ in best], len(true), gains)
            for best, true in zip(predicted[run.name], truth, strict=True)
        ]
    mean = np.mean(list(found.values()), axis=0)
    fewer = np.array([-len(true) for true in truth])
    hardest = np.lexsort((rows, fewer, mean)).tolist()
    assert test.truth.ids is not None, "an artifact's"
    ids = test.truth.ids.take(rows).to_pylist()
    texts = _texts(runs[0].folder("raw"), ids)
    return _numbered(
        Sample(
            of=documents,
            k=k,
            ids=[ids[at] for at in hardest],
            texts=[texts.get(ids[at]) for at in hardest],
            labels=[],
            truth=[truth[at] for at in hardest],
            predicted={name: [best[at] for at in hardest] for name, best in predicted.items()},
            found={name: [values[at] for at in hardest] for name, values in found.items()},
        ),
        _vocabulary(runs),
    )


def ndcg(hits: Sequence[bool], true: int, gains: Sequence[float]) -> float:
    """nDCG@k of one document: `hits` of its predictions, best first, `gains` of the k ranks."""
    ideal = sum(gains[: min(true, len(gains))])
    return sum(gain for gain, hit in zip(gains, hits, strict=False) if hit) / ideal if ideal else 0.0


def cut(text: str, most: int) -> str:
    """The text in one line, cut at `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _labels(lists: "LabelLists | None", rows: "Int64s") -> list[list[int]]:
    if lists is None:
        return [[] for _ in rows]
    indptr = lists.indptr
    return [lists.labels[indptr[row] : indptr[row + 1]].tolist() for row in rows]


def _ranked(
    predictions: "LabelLists", truth: "LabelLists", rows: "Int64s", left_out: Sequence[list[int]], k: int
) -> list[Ranked]:
    """The k best labels of each of the rows of the truth, in the order in which the metrics rank them."""
    from xmcpipe.data.label_lists.lists import prediction_rows, taken

    where, _ = prediction_rows(predictions, truth)
    mine = taken(predictions, rows if where is None else where[rows])
    ranked = []
    for at, out in enumerate(left_out):
        pairs = slice(int(mine.indptr[at]), int(mine.indptr[at + 1]))
        labels = mine.labels[pairs].tolist()
        scores = [None] * len(labels) if mine.scores is None else mine.scores[pairs].tolist()
        both: Ranked = [
            (label, score) for label, score in zip(labels, scores, strict=True) if label not in out
        ]
        if mine.scores is not None:
            both.sort(key=lambda pair: (-(pair[1] or 0.0), pair[0]))
        ranked.append(both[:k])
    return ranked


def _texts(raw: Path | None, ids: Sequence[str]) -> dict[str, str]:
    """Id -> text, cut, of those documents of the raw artifact's test split; none where it can't be read."""
    import pyarrow as pa

    if raw is None or not (raw / "test.parquet").is_file():
        return {}
    try:
        return _texts_of(raw / "test.parquet", pa.array(ids, pa.string()))
    except (pa.ArrowException, OSError, KeyError) as error:
        logger.warning("%s can't be read: %s", raw / "test.parquet", error)
        return {}


def _texts_of(path: Path, wanted: "pa.Array") -> dict[str, str]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    texts = {}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(8192, columns=["id", "text"]):
            mine = batch.filter(pc.is_in(batch.column("id"), value_set=wanted))
            for name, text in zip(
                mine.column("id").to_pylist(), mine.column("text").to_pylist(), strict=True
            ):
                texts[name] = cut(text or "", TEXT_CHARACTERS)
    return texts


def _vocabulary(runs: Sequence[Run]) -> "pa.Table":
    """The labels of the test, label and text, in the order of their ids."""
    import pyarrow.parquet as pq

    folder = runs[0].folder("shards")
    assert folder, "runs whose shards are gone are left out before"
    return pq.read_table(folder / "labels.parquet", columns=["label", "text"])


def _numbered(sample: Sample, vocabulary: "pa.Table") -> Sample:
    """The sample with the labels that occur, numbered anew: the most frequent have the shortest numbers."""
    from collections import Counter
    from dataclasses import replace

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
    """A score of DIGITS significant digits; None for none, and for one that JSON has no word for."""
    return float(f"{score:.{DIGITS}g}") if score is not None and math.isfinite(score) else None
