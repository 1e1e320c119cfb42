"""`linear`: one linear classifier per label, by scikit-learn's LinearSVC (liblinear, squared hinge loss).

Each label against all other documents takes a tenth of a second and more, for 10,000 labels half an hour. By
default a label is therefore trained against a stratified sample: the documents without it that are most
similar to the mean of its own, and a random sample of the others, which is weighted up to their number. For
17 labels of tate this took a fifth of the time, and lowered the micro-averaged precision from 0.763 to 0.739.
With `negatives` = 0, or no more documents than that, it is one-vs-rest in the plain sense.

Memory is bounded: a chunk of labels is trained, its small weights are dropped, the test split is scored with
it, and only the best labels of each document are kept. The weights of all labels never exist at once.

Legend: N training documents · M test documents · V features · L labels · C labels of a chunk · R rows of a
sample.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.baselines.config import BaselineConfig
from xmcpipe.baselines.documents import Documents
from xmcpipe.baselines.features import tfidf
from xmcpipe.baselines.ranking import Best, Float32s, Ranking
from xmcpipe.errors import XmcpipeError
from xmcpipe.machine.cores import usable_cores
from xmcpipe.progress import progress
from xmcpipe.signals import blocked

LABELS = 128  # of a chunk
ROWS = 8192  # test documents that are scored at a time
SEARCHED_FEATURES = 2000  # of the mean of a label's documents, the heaviest ones, to find similar documents
LABELS_PER_WORKER = 512  # for fewer, a process takes longer to start than it saves
NEGATIVES_PER_POSITIVE = 4
SIMILAR = 4  # one in this many documents of a sample is chosen by its similarity
ITERATIONS = 20  # of liblinear; the rankings hardly change after them
Ints = npt.NDArray[np.integer[Any]]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Training:
    """What labels are trained on: the features, by rows (CSR [N, V]) and by columns (CSC), and settings."""

    rows: Any
    columns: Any
    config: BaselineConfig


@dataclass(frozen=True)
class Classifiers:
    """The classifiers of C labels: weights CSC float32 [V, C], and bias float32 [C].

    The bias of a label without a training document is -inf: it is never predicted.
    """

    weights: Any
    bias: Float32s


def rank(documents: Documents, config: BaselineConfig, k: int, scratch: Path) -> Ranking:
    """Train all labels and rank them for the test documents. Raises XmcpipeError for too many labels."""
    num_labels = documents.num_labels
    if num_labels > config.max_labels:
        raise XmcpipeError(
            f"linear trains one classifier per label, which takes hours for {num_labels:,} labels: expected "
            f"at most {config.max_labels:,}",
            "use --system omikuji or napkinxc, or raise baseline.max_labels",
        )
    labels_CSC = documents.train_labels().tocsc()
    train, test = tfidf(documents, config)
    training = Training(train, train.tocsc(), config)
    best, weights = Best(test.shape[0], k), 0
    chunks = [labels_CSC[:, first : first + LABELS] for first in range(0, num_labels, LABELS)]
    with progress("linear", num_labels, "labels", scale=True) as bar:
        for number, classifiers in enumerate(_trained(training, chunks)):
            for row in range(0, test.shape[0], ROWS):
                scores_BC = (test[row : row + ROWS] @ classifiers.weights).toarray() + classifiers.bias
                best.add(row, number * LABELS, scores_BC.astype(np.float32))
            weights += classifiers.weights.nnz
            bar.update(len(classifiers.bias))
    return best.ranking({"features": train.shape[1], "weights": int(weights)})


def _trained(training: Training, chunks: list[Any]) -> Iterable[Classifiers]:
    """The classifiers of each chunk, in order, trained by several processes if there are many labels."""
    workers = training.config.num_workers or usable_cores()
    firsts = range(0, LABELS * len(chunks), LABELS)
    workers = min(workers, max(1, LABELS * len(chunks) // LABELS_PER_WORKER))
    if workers == 1:
        return (train_chunk(training, *each) for each in zip(firsts, chunks, strict=True))
    from joblib import Parallel, delayed  # a dependency of scikit-learn

    # joblib gives the features to its processes as files in memory, not as copies.
    pool = Parallel(workers, return_as="generator", pre_dispatch="2*n_jobs")
    with blocked():
        results: Iterator[Classifiers] = pool(
            delayed(train_chunk)(training, *each) for each in zip(firsts, chunks, strict=True)
        )
    return results


def train_chunk(training: Training, first_label: int, labels_NC: Any) -> Classifiers:
    """The classifiers of the labels from `first_label`, given their documents as CSC [N, C].

    Each label has its own random numbers, so that the result depends neither on chunks nor on processes.
    """
    from scipy.sparse import csc_matrix

    features, values, bias = [], [], []
    with _quiet():
        for column in range(labels_NC.shape[1]):
            positives = labels_NC.indices[labels_NC.indptr[column] : labels_NC.indptr[column + 1]]
            rng = np.random.default_rng([training.config.seed, first_label + column])
            own, weights, constant = _classifier(training, positives, rng)
            features.append(own)
            values.append(weights)
            bias.append(constant)
    indptr = np.concatenate([[0], np.cumsum([len(own) for own in features])])
    shape = (training.rows.shape[1], len(bias))
    weights_VC = csc_matrix((np.concatenate(values), np.concatenate(features), indptr), shape)
    return Classifiers(weights_VC, np.array(bias, np.float32))


def _classifier(
    training: Training, positives: Ints, rng: np.random.Generator
) -> tuple[Ints, Float32s, float]:
    """The features and weights of one label, without the small ones, and its bias.

    `positives` are the rows that have the label.
    """
    from sklearn.svm import LinearSVC

    none: tuple[Ints, Float32s] = np.empty(0, np.int32), np.empty(0, np.float32)
    if not len(positives):
        return *none, -np.inf
    rows, counts = sampled_rows(training, positives, rng)
    if len(rows) == len(positives):  # every document has the label
        return *none, 1.0
    sample = training.rows[rows]
    if not sample.nnz:
        return *none, -1.0
    # liblinear works on dense weights: leave out the features that the sample doesn't have.
    used, compact = np.unique(sample.indices, return_inverse=True)
    sample = type(sample)((sample.data, compact, sample.indptr), (len(rows), len(used)))
    model = LinearSVC(C=training.config.c, tol=0.1, dual=True, max_iter=ITERATIONS, random_state=0)
    model.fit(sample, np.isin(rows, positives), counts)
    weights: Float32s = model.coef_[0].astype(np.float32)
    kept = np.abs(weights) >= max(training.config.threshold, np.finfo(np.float32).tiny)
    return used[kept], weights[kept], float(model.intercept_[0])


def sampled_rows(training: Training, positives: Ints, rng: np.random.Generator) -> tuple[Ints, Float64s]:
    """The rows that a label is trained on, int64 [R], and how many documents each stands for, float64 [R].

    The documents with the label come first, then the most similar others, then the random ones. Without a
    sample, these are all rows, in their order.
    """
    num_rows, config = training.rows.shape[0], training.config
    wanted = max(config.negatives, NEGATIVES_PER_POSITIVE * len(positives))
    if not config.negatives or wanted >= num_rows - len(positives):
        return np.arange(num_rows), np.ones(num_rows)
    mean_V = np.asarray(training.rows[positives].sum(axis=0)).ravel()
    features = np.flatnonzero(mean_V)
    if len(features) > SEARCHED_FEATURES:
        features = features[np.argsort(-mean_V[features], kind="stable")[:SEARCHED_FEATURES]]
    similarity_N = training.columns[:, features] @ mean_V[features]
    similarity_N[positives] = -1
    similar = np.argsort(-similarity_N, kind="stable")[: wanted // SIMILAR]
    others = np.ones(num_rows, bool)
    others[positives] = others[similar] = False
    drawn = rng.choice(np.flatnonzero(others), wanted - len(similar), replace=False)
    counts = np.ones(len(positives) + wanted)
    counts[-len(drawn) :] = np.count_nonzero(others) / len(drawn)
    return np.concatenate([positives, similar, drawn]), counts


@contextmanager
def _quiet() -> Iterator[None]:
    """Don't warn about classifiers that have not converged: see ITERATIONS."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
