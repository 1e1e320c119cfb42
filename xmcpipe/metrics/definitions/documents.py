"""Precision, recall, F1, nDCG, hits and MRR, each a mean over documents.

With y the set of true labels of a document, hit_j = 1 where its prediction of rank j is in y (else 0), and
d_j = 1 / log2(j + 1):

    found = hit_1 + … + hit_k      DCG = sum of hit_j d_j      ideal = d_1 + … + d_min(k, |y|)

    P        sum found / k       / documents      always by k: a short prediction counts as misses
    R        sum found / |y|     / documents
    F1       sum 2 found / (predicted + |y|)     / documents      predicted: at most k; 0/0 is 0
    nDCG     sum DCG / ideal     / documents
    hits     sum [found > 0]     / documents
    MRR      sum 1 / (rank of the first hit, if it is k or less)   / documents

A document without true labels adds 0 to the numerator and stays in the count of documents, so that all
metrics are over the same documents.

Legend: B documents of a batch · K ranks.
"""

import numpy as np

from xmcpipe.metrics.terms import DocumentMetric, ScoredBatch, Term, ratio
from xmcpipe.metrics.truth import Bools, Floats


def _dcg(batch: ScoredBatch) -> Floats:
    gains_BK: Floats = np.cumsum(batch.hits * batch.discounts, axis=1)
    return gains_BK


def _f1(batch: ScoredBatch) -> Floats:
    predicted_BK = np.cumsum(batch.predicted, axis=1)
    either_BK = np.maximum(predicted_BK + batch.sizes[:, None], 1)
    return np.asarray(2 * batch.found / either_BK)


def _reciprocal_rank(hits_BK: Bools) -> Floats:
    """1 / rank at the first hit of each document and 0 elsewhere, float64 [B, K]."""
    first_BK = hits_BK & (np.cumsum(hits_BK, axis=1) == 1)
    return np.asarray(first_BK / np.arange(1, hits_BK.shape[1] + 1))


FOUND = Term("found", lambda batch: batch.found)
RECALL = Term("recall", lambda batch: batch.found / batch.at_least_one)
F1_TERM = Term("f1", _f1)
NDCG_TERM = Term("ndcg", lambda batch: _dcg(batch) / batch.ideal)
ANY = Term("any", lambda batch: batch.found > 0)
FIRST = Term("first", lambda batch: np.cumsum(_reciprocal_rank(batch.hits), axis=1))

P = DocumentMetric("P", "precision", (FOUND,), lambda sums: ratio(sums[FOUND], sums.k * sums.documents))
NDCG = DocumentMetric("nDCG", "nDCG", (NDCG_TERM,), lambda sums: ratio(sums[NDCG_TERM], sums.documents))
R = DocumentMetric("R", "recall", (RECALL,), lambda sums: ratio(sums[RECALL], sums.documents))
F1 = DocumentMetric(
    "F1",
    "F1 of a document",
    (F1_TERM,),
    lambda sums: ratio(sums[F1_TERM], sums.documents),
    in_summary=False,
)
HITS = DocumentMetric(
    "hits",
    "documents with a hit",
    (ANY,),
    lambda sums: ratio(sums[ANY], sums.documents),
    in_summary=False,
)
MRR = DocumentMetric(
    "MRR",
    "mean reciprocal rank",
    (FIRST,),
    lambda sums: ratio(sums[FIRST], sums.documents),
    in_summary=False,
)
