"""The same metrics by how frequent a label is in training: head, torso and tail, or deciles.

Labels in falling order of their training documents are cut so that each bin holds the same share of all
training positives: three bins are head, torso and tail, ten are deciles. Labels with as many documents as
each other stay together, since between them only the arbitrary label id could decide; so bins are not quite
equal, and where one frequency alone is a large share of all positives a bin may be empty. Labels that were
never in training are in the last bin.

P@k and PSP@k of a bin are its contribution: of all hits those of its labels, over the same denominator. The
bins' contributions add up to the figure. Macro, micro and coverage of a bin are over its labels that are in
the test.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xmcpipe.errors import XmcpipeError
from xmcpipe.metrics.labelwise import LabelCounts, scoped_figures
from xmcpipe.metrics.truth import Floats, Int64s, Ints


@dataclass(frozen=True)
class Bin:
    """Labels of similar frequency.

    `labels` it has, `tested` of them with a test document; `least` and `most` training documents of a label;
    positives in training and test; `figures`, metric@k -> value (see the module).
    """

    name: str
    labels: int
    tested: int
    least: int
    most: int
    training_positives: int
    test_positives: int
    figures: dict[str, float]


def bins_of_labels(counts: Int64s, bins: int) -> Int64s:
    """The bin of each label, int64 [L], 0 for the most frequent. Raises XmcpipeError for no positives."""
    if bins < 1:
        raise XmcpipeError(f"{bins} frequency bins were given, 1 or more were wanted")
    documents = np.arange(int(counts.max(initial=0)) + 1)
    positives = documents * np.bincount(counts)  # of all labels with so many documents together
    total = int(positives.sum())
    if not total:
        raise XmcpipeError("no training document has a label", "check that it is the training labels")
    before = total - np.cumsum(positives)  # positives of more frequent labels
    middle = (before + positives / 2) / total
    bin_of_count = np.minimum((middle * bins).astype(np.int64), bins - 1)
    bin_of_count[0] = bins - 1
    return np.asarray(bin_of_count[counts], np.int64)


def bin_names(bins: int) -> list[str]:
    """head, torso and tail; else numbers from 1, the most frequent labels first."""
    return ["head", "torso", "tail"] if bins == 3 else [str(number + 1) for number in range(bins)]


def by_bins(
    counts: LabelCounts,
    trained: Int64s,
    weights: Floats,
    below: Mapping[int, tuple[float, float]],
    bins: int,
) -> list[Bin]:
    """A Bin each, the most frequent labels first.

    `trained` int64 [L] are training documents, `weights` [L] 1/p_l; `below` maps k to what sums of hits and
    sums of their weights are divided by.
    """
    bin_of_label = bins_of_labels(trained, bins)
    tested = counts.support > 0
    figures: list[dict[str, float]] = [{} for _ in range(bins)]
    for k, (below_P, below_PSP) in below.items():
        predicted, right = counts.at(k)
        hits = np.bincount(bin_of_label, weights=right, minlength=bins)
        gains = np.bincount(bin_of_label, weights=right * weights, minlength=bins)
        for number, mine in enumerate(figures):
            scoped = scoped_figures(predicted, right, counts.support, tested & (bin_of_label == number))
            mine |= {f"P@{k}": float(hits[number] / below_P), f"PSP@{k}": float(gains[number] / below_PSP)}
            mine |= {f"{metric}@{k}": value for metric, value in scoped.items()}
    parts = []
    for number, name in enumerate(bin_names(bins)):
        mask = bin_of_label == number
        parts.append(_bin(name, trained[mask], counts.support[mask], figures[number]))
    return parts


def _bin(name: str, trained: Int64s, support: Ints, figures: dict[str, float]) -> Bin:
    return Bin(
        name=name,
        labels=len(trained),
        tested=int(np.count_nonzero(support)),
        least=int(trained.min()) if len(trained) else 0,
        most=int(trained.max(initial=0)),
        training_positives=int(trained.sum()),
        test_positives=int(support.sum()),
        figures=figures,
    )
