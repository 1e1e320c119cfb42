"""A second implementation of every metric, from the formulas, one document and one label at a time.

It is slow and plain on purpose, and shares nothing with the package, not even NumPy. `cases` generates small
data with everything that goes wrong: ties, short and empty rows, repeated labels, unknown labels, filter
pairs, and labels that occur only in training or only in the test set.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Scored = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Case:
    """Candidates with scores, true labels (some twice), training labels, and pairs to exclude."""

    predictions: list[list[tuple[int, float]]]
    truth: list[list[int]]
    train: list[list[int]]
    exclude: list[list[int]]
    ks: tuple[int, ...]
    a: float
    b: float
    bins: int


def brute_force(case: Case) -> dict[str, float]:
    """metric@k -> value, and bin:metric@k and bin:count of the bins by frequency."""
    truth = [set(true) - set(out) for true, out in zip(case.truth, case.exclude, strict=True)]
    train = [set(labels) for labels in case.train]
    labels = sorted(set().union(*case.truth, *train))
    counts = Counter(label for row in train for label in row)
    weight = {label: 1 / propensity(counts[label], len(train), case.a, case.b) for label in labels}
    order = {label: number for number, label in enumerate(labels)}  # unknown labels come last in every tie

    def place(pair: tuple[int, float]) -> tuple[float, int, int]:
        return -pair[1], order.get(pair[0], len(order)), pair[0]

    ranked = [
        [label for label, _ in sorted(row, key=place) if label not in left_out]
        for row, left_out in zip(case.predictions, case.exclude, strict=True)
    ]
    figures: dict[str, float] = {}
    for k in case.ks:
        tops = [row[:k] for row in ranked]
        figures |= over_documents(tops, truth, weight, k)
        figures |= over_labels(tops, truth, labels, counts, k)
        figures |= by_bins(tops, truth, labels, counts, weight, k, case.bins)
    return figures


def propensity(count: int, documents: int, a: float, b: float) -> float:
    c = (math.log(documents) - 1) * (b + 1) ** a
    return float(1 / (1 + c * math.exp(-a * math.log(count + b))))


def over_documents(
    tops: list[list[int]], truth: list[set[int]], weight: dict[int, float], k: int
) -> dict[str, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    for top, true in zip(tops, truth, strict=True):
        hits = [label for label in top if label in true]
        places = [place for place, label in enumerate(top, 1) if label in true]
        heaviest = sorted((weight[label] for label in true), reverse=True)[:k]
        ideal = sum(1 / math.log2(1 + place) for place in range(1, min(k, len(true)) + 1))
        sums["documents"] += 1
        sums["true"] += len(true)
        sums["predicted"] += len(top)
        sums["found"] += len(hits)
        sums["P"] += len(hits) / k
        sums["hits"] += bool(hits)
        sums["F1"] += divided(2 * len(hits), len(top) + len(true))
        sums["MRR"] += 1 / places[0] if places else 0
        sums["PSP"] += sum(weight[label] for label in hits) / k
        sums["best PSP"] += sum(heaviest) / k
        if true:
            sums["R"] += len(hits) / len(true)
            sums["nDCG"] += sum(1 / math.log2(1 + place) for place in places) / ideal
            sums["PSR"] += sum(weight[label] for label in hits) / len(true)
            sums["best PSR"] += sum(heaviest) / len(true)
            gains = [weight[top[place - 1]] / math.log2(1 + place) for place in places]
            sums["PSnDCG"] += sum(gains) / ideal
            best = [w / math.log2(1 + place) for place, w in enumerate(heaviest, 1)]
            sums["best PSnDCG"] += sum(best) / ideal
    figures = {
        f"{name}@{k}": sums[name] / sums["documents"] for name in ("P", "R", "F1", "nDCG", "hits", "MRR")
    }
    figures |= {f"{name}@{k}": sums[name] / sums[f"best {name}"] for name in ("PSP", "PSR", "PSnDCG")}
    figures[f"PSP_raw@{k}"] = sums["PSP"] / sums["documents"]
    figures[f"micro_P_all@{k}"] = divided(sums["found"], sums["predicted"])
    figures[f"micro_R_all@{k}"] = divided(sums["found"], sums["true"])
    figures[f"micro_F1_all@{k}"] = divided(2 * sums["found"], sums["predicted"] + sums["true"])
    return figures


def over_labels(
    tops: list[list[int]], truth: list[set[int]], labels: list[int], counts: Counter[int], k: int
) -> dict[str, float]:
    predicted = Counter(label for top in tops for label in top)
    support = Counter(label for true in truth for label in true)
    right = Counter(label for top, true in zip(tops, truth, strict=True) for label in top if label in true)
    scopes = {
        "all": labels,
        "tested": [label for label in labels if support[label]],
        "trained": [label for label in labels if counts[label]],
    }
    figures: dict[str, float] = {}
    for scope, mine in scopes.items():
        for name, value in of_labels(mine, right, predicted, support).items():
            if scope != "all" or not name.startswith("micro"):
                figures[f"{name}_{scope}@{k}"] = value
    return figures


def of_labels(
    mine: list[int], right: Counter[int], predicted: Counter[int], support: Counter[int]
) -> dict[str, float]:
    p = [divided(right[label], predicted[label]) for label in mine]
    r = [divided(right[label], support[label]) for label in mine]
    f1 = [divided(2 * x * y, x + y) for x, y in zip(p, r, strict=True)]
    found, made, true = (sum(count[label] for label in mine) for count in (right, predicted, support))
    return {
        "macro_P": divided(sum(p), len(mine)),
        "macro_R": divided(sum(r), len(mine)),
        "macro_F1": divided(sum(f1), len(mine)),
        "micro_P": divided(found, made),
        "micro_R": divided(found, true),
        "micro_F1": divided(2 * found, made + true),
        "coverage": divided(sum(right[label] > 0 for label in mine), len(mine)),
    }


def by_bins(
    tops: list[list[int]],
    truth: list[set[int]],
    labels: list[int],
    counts: Counter[int],
    weight: dict[int, float],
    k: int,
    bins: int,
) -> dict[str, float]:
    total = sum(counts.values())
    bin_of: dict[int, int] = {}
    for label in labels:
        before = sum(count for count in counts.values() if count > counts[label])
        same = sum(count for count in counts.values() if count == counts[label])
        place = math.floor(bins * (before + same / 2) / total)
        bin_of[label] = min(place, bins - 1) if counts[label] else bins - 1
    best = sum(sum(sorted((weight[label] for label in true), reverse=True)[:k]) for true in truth)
    figures = {f"{number}:{name}@{k}": 0.0 for number in range(bins) for name in ("P", "PSP")}
    for top, true in zip(tops, truth, strict=True):
        for label in top:
            if label in true:
                figures[f"{bin_of[label]}:P@{k}"] += 1 / (k * len(truth))
                figures[f"{bin_of[label]}:PSP@{k}"] += weight[label] / best
    predicted = Counter(label for top in tops for label in top)
    support = Counter(label for true in truth for label in true)
    right = Counter(label for top, true in zip(tops, truth, strict=True) for label in top if label in true)
    for number in range(bins):
        mine = [label for label in labels if bin_of[label] == number]
        tested = [label for label in mine if support[label]]
        parts = of_labels(tested, right, predicted, support)
        figures |= {f"{number}:{name}@{k}": value for name, value in parts.items()}
        figures[f"{number}:labels"] = len(mine)
        figures[f"{number}:tested"] = len(tested)
        figures[f"{number}:training_positives"] = sum(counts[label] for label in mine)
        figures[f"{number}:test_positives"] = sum(support[label] for label in mine)
    return figures


def divided(above: float, below: float) -> float:
    return above / below if below else 0.0


def of_package(case: Case, metrics: Any) -> dict[str, float]:
    """The same figures, computed by the package (or a mutant of it)."""
    result = metrics.evaluate(
        case.predictions, case.truth, case.train, k=case.ks, a=case.a, b=case.b, exclude=case.exclude
    )
    counts = ("labels", "tested", "training_positives", "test_positives")
    parts = {
        f"{number}:{name}": value
        for number, each in enumerate(result.by_frequency(case.bins))
        for name, value in {**each.figures, **{name: getattr(each, name) for name in counts}}.items()
    }
    return {**result.figures, **parts}


def cases(seeds: int) -> Iterator[Case]:
    """Yield the same cases every time."""
    for seed in range(seeds):
        yield random_case(random.Random(seed))


def random_case(draw: random.Random) -> Case:
    """Draw a case with few labels and many documents, so that everything occurs."""
    width, documents = draw.randint(3, 9), draw.randint(3, 14)
    known, everything = range(width), range(width + 2)  # the last two occur in predictions only

    def some(labels: range, most: int) -> list[int]:
        return draw.sample(labels, draw.randint(0, min(most, len(labels))))

    def rows(count: int, most: int) -> list[list[int]]:
        chosen = [some(known, most) for _ in range(count)]
        return [row + row[: draw.randint(0, 1)] for row in chosen]  # one label twice

    truth = rows(documents, 4)
    truth[0] = [0, width - 1]
    predictions = [[(label, draw.randint(0, 3) / 2) for label in some(everything, 9)] for _ in truth]
    predictions[1] = [(label, 1.0) for label in sorted(everything, reverse=True)]
    exclude = [
        [label for label, _ in row if draw.random() < 0.15]
        + [label for label in known if draw.random() < 0.05]
        for row in predictions
    ]
    train = [*rows(draw.randint(3, 20), 3), [0, 1], [0]]
    ks = tuple(sorted(draw.sample(range(1, 7), draw.randint(1, 3))))
    return Case(
        predictions,
        truth,
        train,
        exclude,
        ks,
        draw.uniform(0.3, 0.8),
        draw.uniform(0.2, 3),
        draw.randint(1, 5),
    )
