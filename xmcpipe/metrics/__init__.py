"""Metrics of extreme multi-label classification, for anyone's predictions. Needs only NumPy.

    from xmcpipe.metrics import compare, evaluate

    ours = evaluate(predictions, truth, train, k=(1, 3, 5), a=0.6, b=2.6)   # SciPy CSR, or lists of labels
    ours.figures["PSP@5"]
    ours.by_frequency(bins=3)                    # head, torso, tail
    ours.intervals(rounds=1000)["P@1"]           # bootstrap confidence interval
    compare(ours, theirs)["P@1"].significant     # paired
    ours.unusual                                 # counts of inputs that may change what a figure means

`definitions` holds the formulas and catalog.py lists the metrics. README.md in this folder lists the traps in
which implementations differ, and how each is handled here.
"""

from xmcpipe.metrics.api import evaluate
from xmcpipe.metrics.bootstrap import Difference, Interval
from xmcpipe.metrics.evaluation import Evaluation, compare
from xmcpipe.metrics.frequency import Bin
from xmcpipe.metrics.misread.doubts import MisreadWarning
from xmcpipe.metrics.propensity import Training, inverse_propensity

__all__ = [
    "Bin",
    "Difference",
    "Evaluation",
    "Interval",
    "MisreadWarning",
    "Training",
    "compare",
    "evaluate",
    "inverse_propensity",
]
