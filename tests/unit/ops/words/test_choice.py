"""The choice of words and the scores of pairs, against matrices over all labels and words."""

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xmcpipe.ops.label_documents import DocumentWords, LabelDocuments, LabelFeatures, LabelWords
from xmcpipe.ops.words.choice import SMOOTHING, fill_best
from xmcpipe.ops.words.pairs import add_feature_scores, add_word_scores

V, L, K, NONE = 40, 17, 6, 65535
Matrix = NDArray[np.float64]


class Case(NamedTuple):
    """Documents as a matrix [N, V] and as rows, pairs, and words that labels read."""

    matrix_NV: Matrix
    documents: DocumentWords
    pairs: LabelDocuments
    layer: LabelWords


def case(seed: int, dtype: type = np.uint16) -> Case:
    """30 random documents, and labels with some of them or none."""
    random = np.random.default_rng(seed)
    held = random.random((30, V)) < 0.2
    matrix: NDArray[np.float32] = (random.random((30, V)) * held).astype(np.float32)
    rows, words = matrix.nonzero()
    begins = np.searchsorted(rows, np.arange(31))
    documents = DocumentWords(begins, words.astype(dtype), matrix[rows, words], matrix.mean(0, np.float64))
    labels, of_pairs = (random.random((L, 30)) < 0.15).nonzero()
    pairs = LabelDocuments.of(labels, of_pairs, L)
    pairs = pairs._replace(weights=random.integers(0, 5, len(labels)) / 4)
    index: NDArray[np.uint16] = random.random((L, V)).argsort(1)[:, :K].astype(dtype)
    index[random.random((L, K)) < 0.3] = NONE if dtype is np.uint16 else -1
    none = NONE if dtype is np.uint16 else -1
    return Case(matrix.astype(np.float64), documents, pairs, LabelWords(index, weights(random), none))


def weights(random: np.random.Generator) -> NDArray[np.float32]:
    """Random weights [L, K], none of them 0."""
    return random.choice([-2.0, -1.0, 0.5, 3.0], (L, K)).astype(np.float32)


def ranked(found: Case, label: int) -> list[int]:
    """The words that a label doesn't read, the best first; only those with a surplus."""
    here = slice(found.pairs.begins[label], found.pairs.begins[label + 1])
    documents, weight = found.pairs.documents[here], found.pairs.weights[here]
    if len(documents) == 0:
        return []
    mean_V = found.documents.mean
    surplus_V = (found.matrix_NV[documents].T @ weight - weight.sum() * mean_V) / len(documents)
    score_V = surplus_V / np.sqrt(mean_V + SMOOTHING)
    read = {int(word) for word in found.layer.index[label] if word != found.layer.none}
    words = [word for word in range(V) if word not in read and surplus_V[word] > 1e-12]
    return sorted(words, key=lambda word: (-round(float(score_V[word]), 10), word))


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([np.uint16, np.int32]), st.integers(1, K))
def test_the_best_unread_words_fill_the_places(seed: int, dtype: type, count: int) -> None:
    found = case(seed, dtype)
    places = np.random.default_rng(seed).random((L, K)).argsort(1)[:, :count].astype(np.int32)
    before, weight = found.layer.index.copy(), found.layer.weight.copy()
    expected = [ranked(found, label)[:count] for label in range(L)]
    filled = fill_best(found.layer, places, found.pairs, found.documents)
    assert filled == sum(map(len, expected))
    for label in range(L):
        new = places[label, : len(expected[label])]
        assert found.layer.index[label, new].tolist() == expected[label]
        assert (found.layer.weight[label, new] == 0).all()
        old = np.setdiff1d(np.arange(K), new)
        assert (found.layer.index[label, old] == before[label, old]).all()
        assert (found.layer.weight[label, old] == weight[label, old]).all()


def test_of_equal_words_the_first_is_chosen() -> None:
    """Documents in which all words of a label have the same weight, in any order of the documents."""
    words = np.array([9, 4, 30, 2], np.uint16)
    documents = DocumentWords(np.array([0, 4]), words, np.full(4, 0.5, np.float32), np.full(V, 0.01))
    layer = LabelWords(np.full((1, 3), NONE, np.uint16), np.ones((1, 3), np.float32), NONE)
    pairs = LabelDocuments.of(np.array([0]), np.array([0]), 1)
    assert fill_best(layer, np.array([[2, 0, 1]], np.int32), pairs, documents) == 3
    assert layer.index.tolist() == [[4, 9, 2]]


@given(st.integers(0, 10_000))
def test_the_scores_of_pairs_are_those_of_matrices(seed: int) -> None:
    found = case(seed)
    by_word_LV = np.zeros((L, NONE + 1))
    np.put_along_axis(by_word_LV, found.layer.index.astype(np.int64), found.layer.weight, 1)
    labels = np.repeat(np.arange(L), np.diff(found.pairs.begins))
    scores = np.ones(len(labels))
    add_word_scores(scores, found.pairs, found.documents, found.layer)
    expected = 1.0 + (found.matrix_NV @ by_word_LV[:, :V].T)[found.pairs.documents, labels]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)

    random = np.random.default_rng(seed)
    features = random.standard_normal((30, 12)).astype(np.float32)
    index = random.random((L, 12)).argsort(1)[:, :K].astype(np.uint16)
    layer = LabelFeatures(index, random.standard_normal((L, K)).astype(np.float32))
    dense_LD = np.zeros((L, 12))
    np.put_along_axis(dense_LD, index.astype(np.int64), layer.weight, 1)
    scores = np.ones(len(labels))
    add_feature_scores(scores, labels, features[found.pairs.documents], layer)
    expected = 1.0 + (features.astype(np.float64) @ dense_LD.T)[found.pairs.documents, labels]
    np.testing.assert_allclose(scores, expected, rtol=1e-12, atol=1e-12)
