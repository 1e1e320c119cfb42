"""Documents as tf-idf vectors over the token ids of the shards, projected to a few dense features.

The projection is a truncated SVD (latent semantic analysis) of a sample of the documents: with the same
number of features it preserves far more of the similarities than a random projection, and takes seconds.
Since a projection is linear, the mean of projected documents is the projection of their mean, so that no
sparse [L, V] matrix is needed.

Legend: R rows of a batch · V token ids · D features.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, vstack

from xmcpipe.clustering.partition import Float32s, Int32s, Int64s
from xmcpipe.data.shards.files import Shards

SAMPLE_DOCUMENTS = 65_536
OVERSAMPLES, POWER_ITERATIONS = 16, 3  # parameters of the randomized SVD


@dataclass(frozen=True)
class TfIdf:
    """Maps documents to float32 [R, D]: `idf` [V] weights the tokens, `basis` [V, D] projects."""

    idf: Float32s
    basis: Float32s

    @property
    def dim(self) -> int:
        """D: the requested number, or fewer if the sample has fewer documents or tokens."""
        return int(self.basis.shape[1])

    def __call__(self, tokens: Int32s, lengths: Int32s) -> Float32s:
        """The vectors of R documents, from their concatenated token ids and the number of tokens of each."""
        return np.asarray(weights(tokens, lengths, self.idf) @ self.basis)


def fit(train: Shards, vocabulary: int, dim: int, seed: int) -> TfIdf:
    """Count the documents of each token id in [0, vocabulary), and compute the SVD of a seeded sample."""
    documents_V = np.zeros(vocabulary, np.int64)
    for tokens, lengths in train.tokens.flat():
        documents_V += np.bincount(_counts(tokens, lengths, vocabulary).indices, minlength=vocabulary)
    # A token that every document has, such as [CLS], gets weight 0. The 1s avoid a division by 0 for tokens
    # that never occur; their weights are never used.
    idf_V = np.log((1 + len(train)) / (1 + documents_V)).astype(np.float32)
    return TfIdf(idf_V, _basis(_sample(train, idf_V, seed), dim, seed))


def weights(tokens: Int32s, lengths: Int32s, idf_V: Float32s) -> Any:
    """Rows of unit length, CSR float32 [R, V]: (1 + ln(count)) * idf."""
    matrix = _counts(tokens, lengths, len(idf_V))
    matrix.data = (1 + np.log(matrix.data)) * idf_V[matrix.indices]
    rows = np.repeat(np.arange(len(lengths)), np.diff(matrix.indptr))
    norms = np.sqrt(np.bincount(rows, np.square(matrix.data), len(lengths)))
    matrix.data /= np.maximum(norms, 1e-12).astype(np.float32)[rows]
    return matrix


def _counts(tokens: Int32s, lengths: Int32s, vocabulary: int) -> Any:
    indptr: Int64s = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    # A copy, because summing duplicates sorts in place and the tokens are a view of a mapped file.
    matrix = csr_matrix((np.ones(len(tokens), np.float32), tokens.copy(), indptr), (len(lengths), vocabulary))
    matrix.sum_duplicates()
    return matrix


def _sample(train: Shards, idf_V: Float32s, seed: int) -> Any:
    size = min(len(train), SAMPLE_DOCUMENTS)
    rows = np.sort(np.random.default_rng(seed).choice(len(train), size, replace=False))
    return vstack([weights(*train.tokens.gather(part), idf_V) for part in _parts(rows)], format="csr")


def _parts(rows: Int64s) -> Iterator[Int64s]:
    for first in range(0, max(1, len(rows)), 8192):
        yield rows[first : first + 8192]


def _basis(sample: Any, dim: int, seed: int) -> Float32s:
    """The right singular vectors of the sample with the largest singular values, float32 [V, D]."""
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

    used = np.unique(sample.indices)  # in a large vocabulary most tokens don't occur in the sample
    basis_VD: Float32s = np.zeros((sample.shape[1], max(1, min(dim, sample.shape[0], len(used)))), np.float32)
    if len(used):
        # One thread, so that the last bits don't depend on the number of threads. The sparse products, which
        # take most of the time, use one thread anyway.
        with threadpool_limits(1):
            _, _, components_KV = randomized_svd(
                sample[:, used],
                basis_VD.shape[1],
                n_oversamples=OVERSAMPLES,
                n_iter=POWER_ITERATIONS,
                random_state=seed % 2**32,  # scikit-learn takes 32 bits
            )
        basis_VD[used] = components_KV.T
    return basis_VD
