"""`napkinxc`: a probabilistic label tree (PLT) of napkinXC, with the library's own defaults.

Jasinska-Kobus et al., 2020. The tree comes from hierarchical 2-means of the labels; its nodes are logistic
regressions by liblinear. The search for the best labels is exact. The seed is that of the tree; liblinear
visits documents in an order that has no seed, so that the scores of two trainings differ slightly.
"""

from pathlib import Path

from xmcpipe.baselines.config import BaselineConfig
from xmcpipe.baselines.documents import Documents
from xmcpipe.baselines.labelled import Labelled
from xmcpipe.baselines.libraries import import_library, quiet_library
from xmcpipe.baselines.ranking import Ranking, ranking_of
from xmcpipe.machine.cores import usable_cores
from xmcpipe.progress import progress

ROWS = 1024  # test documents between two updates of the progress bar


def rank(documents: Documents, config: BaselineConfig, k: int, scratch: Path) -> Ranking:
    """Train the tree in `scratch`, and rank the labels. Raises XmcpipeError without the library."""
    models = import_library("napkinxc.models")
    data = Labelled.of(documents, config)
    folder, threads = scratch / "napkinxc", config.num_workers or usable_cores()
    folder.mkdir(exist_ok=True)
    lists, k = [], min(k, len(data.seen))
    with quiet_library(), progress("napkinxc", data.test.shape[0], "documents", scale=True) as bar:
        plt = models.PLT(str(folder), seed=config.seed, threads=threads, verbose=0)
        plt.fit(data.train, list(data.labels.tolil().rows))
        for first in range(0, data.test.shape[0], ROWS):
            predicted = plt.predict_proba(data.test[first : first + ROWS], top_k=k)
            lists += [[(int(data.seen[label]), score) for label, score in pairs] for pairs in predicted]
            bar.update(len(predicted))
    return ranking_of(lists, len(lists), k, {"features": data.train.shape[1]})
