"""The labels that a run predicts best and worst, by F1 on the test split. L labels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from xmcpipe.metrics import Evaluation

SHOWN = 10  # labels of each kind
# Labels of fewer test documents are left out, as long as enough others remain: their F1 is mostly chance.
LEAST_SUPPORT = (20, 10, 5, 2, 1)


@dataclass(frozen=True)
class LabelFigures:
    """A label, its documents in training and in the test, and its figures among the k best predictions.

    `text` is its description, "" if it has none.
    """

    name: str
    text: str
    documents: int
    support: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class BestAndWorst:
    """The labels with the highest and the lowest F1@k, of those with `least` test documents or more."""

    k: int
    least: int
    best: list[LabelFigures]
    worst: list[LabelFigures]


def best_and_worst(system: "Evaluation", vocabulary: "pa.Table", k: int) -> BestAndWorst:
    """The best and the worst labels of a system; row i of `vocabulary` has the label and text of label i.

    There are fewer than SHOWN of each if the test has fewer labels, so that no label is in both lists.
    """
    import numpy as np

    columns = system.by_label()
    support_L, f1_L = columns["support"], columns[f"F1@{k}"]
    least = next((each for each in LEAST_SUPPORT if int((support_L >= each).sum()) >= 2 * SHOWN), 1)
    tested = np.flatnonzero(support_L >= least)
    # Of labels with the same F1, those of more test documents say more.
    falling = tested[np.lexsort((tested, -support_L[tested], -f1_L[tested]))]
    rising = tested[np.lexsort((tested, -support_L[tested], f1_L[tested]))]
    shown = min(SHOWN, len(tested) // 2)

    def figures(label: int) -> LabelFigures:
        numbers = (float(columns[f"{name}@{k}"][label]) for name in ("precision", "recall", "F1"))
        name, text = (vocabulary[column][label].as_py() for column in ("label", "text"))
        return LabelFigures(
            name, text or "", int(columns["documents"][label]), int(support_L[label]), *numbers
        )

    best, worst = falling[:shown].tolist(), rising[:shown].tolist()
    return BestAndWorst(k, least, list(map(figures, best)), list(map(figures, worst)))
