"""Metrics of extreme multi-label classification, for anyone's predictions. Needs NumPy alone.

    from xmcpipe.metrics import compare, evaluate

    ours = evaluate(predictions, truth, train, k=(1, 3, 5), a=0.6, b=2.6)   # SciPy CSR, or lists of labels
    ours.figures["PSP@5"]
    ours.by_frequency(bins=3)                    # head, torso, tail
    ours.intervals(rounds=1000)["P@1"]           # bootstrap confidence interval
    compare(ours, theirs)["P@1"].significant     # paired
    ours.unusual                                 # counts of what may make a figure mean something else

Definitions stand in terms.py (over documents) and labelwise.py (over labels); README.md beside this file
lists the traps in which implementations of them differ, and what is done about each.
"""

from xmcpipe.metrics.api import evaluate
from xmcpipe.metrics.bootstrap import Difference, Interval
from xmcpipe.metrics.evaluation import Evaluation, compare
from xmcpipe.metrics.frequency import Bin
from xmcpipe.metrics.propensity import Training, inverse_propensity

__all__ = [
    "Bin",
    "Difference",
    "Evaluation",
    "Interval",
    "Training",
    "compare",
    "evaluate",
    "inverse_propensity",
]
