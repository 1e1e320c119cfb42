"""`pecos`: XR-Linear of PECOS, with the library's own defaults.

Yu et al., 2022. The tree comes from balanced k-means of the labels, each embedded as the sum of its
documents (PIFA); its nodes are linear SVMs. With a seed, the result is repeatable.
"""

from pathlib import Path

from xmcpipe.baselines.config import BaselineConfig
from xmcpipe.baselines.documents import Documents
from xmcpipe.baselines.labelled import Labelled
from xmcpipe.baselines.libraries import import_library, quiet_library
from xmcpipe.baselines.ranking import Ranking, ranking_of
from xmcpipe.errors import XmcpipeError
from xmcpipe.machine.cores import usable_cores
from xmcpipe.progress import progress

FIRST_BAD_SCIPY = (1, 14)  # libpecos 1.2 reads a module that SciPy removed, and states this limit itself
BEAM = 10  # nodes of a level that are searched, the library's default
ROWS = 1024  # test documents between two updates of the progress bar


def require() -> None:
    """Raise XmcpipeError if PECOS can't be imported, or doesn't work with the installed SciPy."""
    import_library("pecos.xmc")
    from scipy import __version__

    if tuple(int(part) for part in __version__.split(".")[:2]) >= FIRST_BAD_SCIPY:
        raise XmcpipeError(
            f"the baseline pecos expects SciPy below 1.14, got {__version__}",
            "pip install libpecos 'pyarrow<18', in an environment of its own",
        )


def rank(documents: Documents, config: BaselineConfig, k: int, scratch: Path) -> Ranking:
    """Train the tree, and rank the labels. Raises the errors of `require`."""
    require()
    xmc, xlinear = import_library("pecos.xmc"), import_library("pecos.xmc.xlinear.model")
    data = Labelled.of(documents, config)
    threads, k = config.num_workers or usable_cores(), min(k, len(data.seen))
    lists = []
    with quiet_library(), progress("pecos", data.test.shape[0], "documents", scale=True) as bar:
        embeddings = xmc.LabelEmbeddingFactory.create(data.labels, data.train, method="pifa")
        tree = xmc.Indexer.gen(embeddings, seed=config.seed, threads=threads)
        model = xlinear.XLinearModel.train(data.train, data.labels, C=tree, threads=threads)
        for first in range(0, data.test.shape[0], ROWS):
            scores = model.predict(
                data.test[first : first + ROWS], only_topk=k, beam_size=max(BEAM, k), threads=threads
            ).tocsr()
            for start, end in zip(scores.indptr[:-1], scores.indptr[1:], strict=True):
                labels = data.seen[scores.indices[start:end]].tolist()
                lists.append(list(zip(labels, scores.data[start:end].tolist(), strict=True)))
            bar.update(scores.shape[0])
    return ranking_of(lists, len(lists), k, {"features": data.train.shape[1]})
