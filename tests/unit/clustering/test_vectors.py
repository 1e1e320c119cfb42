"""Label vectors against their definition: tf-idf by hand, projected, averaged over a label's documents."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from xmcpipe.clustering import tfidf
from xmcpipe.clustering import vectors as vectors_module
from xmcpipe.clustering.vectors import add_texts, document_means, keep_rows, normalise
from xmcpipe.data.shards.files import Shards, ShardWriter, shard_path

VOCABULARY = 30


def write_split(
    folder: Path, split: str, tokens: list[list[int]], labels: list[list[int]], rows: int = 7
) -> Shards:
    """Shards of `rows` documents, each in two record batches."""
    folder.mkdir(exist_ok=True)
    for number, first in enumerate(range(0, len(tokens), rows)):
        with ShardWriter(shard_path(folder, split, number)) as shard:
            for begin, end in ((first, first + 3), (first + 3, min(first + rows, len(tokens)))):
                ids = pa.array([f"d{row}" for row in range(begin, min(end, len(tokens)))], pa.string())
                parts = (pa.array(part[begin:end], pa.list_(pa.int32())) for part in (tokens, labels))
                shard.write(ids, *parts)
    return Shards(folder, split)


def corpus(num: int = 40, num_labels: int = 9) -> tuple[list[list[int]], list[list[int]]]:
    """Documents with token 1 in each (as [CLS] is), and labels among which the last has no document."""
    random = np.random.default_rng(0)
    tokens = [[1, *random.integers(2, VOCABULARY, random.integers(1, 12)).tolist()] for _ in range(num)]
    labels = [
        sorted(set(random.integers(0, num_labels - 1, random.integers(0, 4)).tolist())) for _ in range(num)
    ]
    return tokens, labels


def by_hand(tokens: list[list[int]]) -> npt.NDArray[np.float64]:
    """(1 + ln tf) * ln((1 + N) / (1 + df)), rows of unit length, [N, VOCABULARY]."""
    df = Counter(token for document in tokens for token in set(document))
    matrix = np.zeros((len(tokens), VOCABULARY))
    for row, document in enumerate(tokens):
        for token, count in Counter(document).items():
            matrix[row, token] = (1 + math.log(count)) * math.log((1 + len(tokens)) / (1 + df[token]))
    return np.asarray(matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12))


def test_projecting_to_all_dimensions_keeps_every_product(tmp_path: Path) -> None:
    tokens, labels = corpus()
    train = write_split(tmp_path, "train", tokens, labels)
    vectorise = tfidf.fit(train, VOCABULARY, VOCABULARY, seed=0)
    found = vectorise(*train.tokens.gather(np.arange(len(train))))
    expected = by_hand(tokens)
    assert found.dtype == np.float32
    assert found @ found.T == pytest.approx(expected @ expected.T, abs=1e-4)


def test_fewer_dimensions_are_the_best_ones(tmp_path: Path) -> None:
    tokens, labels = corpus()
    train = write_split(tmp_path, "train", tokens, labels)
    vectorise = tfidf.fit(train, VOCABULARY, 5, seed=0)
    assert vectorise.dim == 5
    found = vectorise(*train.tokens.gather(np.arange(len(train))))
    largest = np.linalg.svd(by_hand(tokens))[1][:5]
    assert np.linalg.norm(found) ** 2 == pytest.approx((largest**2).sum(), rel=1e-3)


def test_a_label_is_the_mean_of_its_documents(tmp_path: Path) -> None:
    tokens, labels = corpus()
    train = write_split(tmp_path, "train", tokens, labels)
    vectorise = tfidf.fit(train, VOCABULARY, VOCABULARY, seed=0)
    found = document_means(train, vectorise, vectorise.dim, 9)
    for label in range(8):
        mine = [row for row, ids in enumerate(labels) if label in ids]
        mean = vectorise(*train.tokens.gather(np.array(mine))).mean(0)
        assert found[label] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    assert not found[8].any()


def test_only_labels_without_a_vector_take_their_text(tmp_path: Path) -> None:
    tokens, labels = corpus()
    train = write_split(tmp_path, "train", tokens, labels)
    texts = write_split(tmp_path, "label", [[1, 4, 5], [1, 7, 8, 9], [1]], [[2], [8], [9]])
    vectorise = tfidf.fit(train, VOCABULARY, VOCABULARY, seed=0)
    vectors = document_means(train, vectorise, vectorise.dim, 11)
    before = vectors.copy()
    # label 8: the text of label 9 is only the token that every document has
    assert add_texts(vectors, texts, vectorise) == 1
    assert np.array_equal(np.delete(vectors, 8, 0), np.delete(before, 8, 0))
    text = vectorise(np.array([1, 7, 8, 9], np.int32), np.array([4], np.int32))[0]
    assert vectors[8] == pytest.approx(text / np.linalg.norm(text), abs=1e-6)
    assert not vectors[9:].any()


def test_one_document_has_nothing_to_weigh(tmp_path: Path) -> None:
    train = write_split(tmp_path, "train", [[1, 2, 3]], [[0]])
    vectorise = tfidf.fit(train, VOCABULARY, 8, seed=0)
    assert not document_means(train, vectorise, vectorise.dim, 1).any()


def test_normalise_leaves_zeros() -> None:
    vectors = np.array([[3, 4], [0, 0]], np.float32)
    assert normalise(vectors).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_keep_rows_equals_indexing(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(vectors_module, "ROWS", piece)
    vectors = np.arange(20, dtype=np.float32).reshape(10, 2)
    rows = np.array([0, 2, 3, 6, 7, 8])
    expected = vectors[rows]
    found = keep_rows(vectors, rows)
    assert np.array_equal(found, expected)
    assert np.shares_memory(found, vectors)
