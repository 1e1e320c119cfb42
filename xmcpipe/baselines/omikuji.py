"""`omikuji`: three Parabel trees of omikuji, with the library's own defaults.

Prabhu et al., 2018. Each tree comes from balanced 2-means of the labels; its nodes are linear SVMs. The
library has no seed: two trainings on the same data differ in the second decimal place of P@k.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from xmcpipe.baselines.config import BaselineConfig
from xmcpipe.baselines.documents import Documents
from xmcpipe.baselines.labelled import Labelled
from xmcpipe.baselines.libraries import import_library, quiet_library
from xmcpipe.baselines.ranking import Ranking, ranking_of
from xmcpipe.machine.cores import usable_cores
from xmcpipe.progress import progress

BEAM = 10  # nodes of a level that are searched, the library's default


def rank(documents: Documents, config: BaselineConfig, k: int, scratch: Path) -> Ranking:
    """Train the trees, and rank the labels. Raises XmcpipeError without the library."""
    model_class = import_library("omikuji").Model
    data = Labelled.of(documents, config)
    path, threads = scratch / "train.txt", config.num_workers or usable_cores()
    write_svmlight(data, path)
    lists, num_test, k = [], data.test.shape[0], min(k, len(data.seen))
    with quiet_library(), progress("omikuji", num_test, "documents", scale=True) as bar:
        model = model_class.train_on_data(str(path), n_threads=threads)
        model.init_prediction_thread_pool(threads)
        for features, values in _rows(data.test):
            pairs = list(zip(features.tolist(), values.tolist(), strict=True))
            best = model.predict(pairs, beam_size=max(BEAM, k), top_k=k)
            lists.append([(int(data.seen[label]), score) for label, score in best])
            bar.update()
    path.unlink()
    return ranking_of(lists, num_test, k, {"features": data.train.shape[1]})


def write_svmlight(data: Labelled, path: Path) -> None:
    """Write the training documents as `label,label feature:value …`, after a line `N V S`."""
    documents, features = data.train.shape
    with path.open("w", encoding="ascii") as file, progress("writing", documents, "documents") as bar:
        file.write(f"{documents} {features} {len(data.seen)}\n")
        for (labels, _), (columns, values) in zip(_rows(data.labels), _rows(data.train), strict=True):
            cells = (f"{column}:{value:.6g}" for column, value in zip(columns, values, strict=True))
            file.write(f"{','.join(map(str, labels))} {' '.join(cells)}\n")
            bar.update()


def _rows(matrix: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the columns, rising, and the values of each row of a CSR matrix."""
    matrix.sort_indices()
    for first, last in pairwise(matrix.indptr):
        yield matrix.indices[first:last], matrix.data[first:last]
