"""The linear system: its sample, and that neither chunks nor processes change the result."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.baselines.raw_data import N_TRAIN, write_raw
from xmcpipe.baselines import linear
from xmcpipe.baselines.config import BaselineConfig
from xmcpipe.baselines.documents import Documents
from xmcpipe.baselines.features import tfidf
from xmcpipe.baselines.ranking import Best, ranking_of


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(write_raw(tmp_path / "raw"))


def test_features_are_words_and_pairs_of_the_training_split(documents: Documents) -> None:
    train, test = tfidf(documents, BaselineConfig())
    assert (train.shape[0], test.shape[0]) == (documents.num_train, documents.num_test)
    assert train.shape[1] == test.shape[1]
    words, _ = tfidf(documents, BaselineConfig(ngrams=1, min_df=1))
    vocabulary = {word for text in documents.train_texts() for word in text.split()}
    assert words.shape[1] == len(vocabulary) < train.shape[1]
    assert np.sqrt(train.multiply(train).sum(axis=1)) == pytest.approx(1, abs=1e-5)


def test_a_sample_stands_for_all_documents_once(documents: Documents) -> None:
    rows, _ = tfidf(documents, BaselineConfig())
    training = linear.Training(rows, rows.tocsc(), BaselineConfig(negatives=40))
    labels = documents.train_labels().tocsc()
    positives = labels.indices[labels.indptr[11] : labels.indptr[12]]
    sample, counts = linear.sampled_rows(training, positives, np.random.default_rng(0))
    wanted = max(40, linear.NEGATIVES_PER_POSITIVE * len(positives))
    assert len(set(sample)) == len(sample) == len(positives) + wanted < N_TRAIN
    assert sample[: len(positives)].tolist() == positives.tolist()
    assert counts.sum() == pytest.approx(N_TRAIN)
    assert set(counts[: len(positives) + wanted // 4]) == {1.0}
    # The documents that were chosen by similarity are at least as similar as all that were not.
    mean = np.asarray(rows[positives].sum(axis=0)).ravel()
    similar = sample[len(positives) : len(positives) + wanted // 4]
    others = np.setdiff1d(np.arange(N_TRAIN), np.concatenate([positives, similar]))
    assert (rows @ mean)[similar].min() >= (rows @ mean)[others].max() - 1e-6


@pytest.mark.parametrize("workers", [1, 2])
def test_chunks_and_processes_do_not_change_the_result(
    documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    whole = linear.rank(documents, BaselineConfig(negatives=60, num_workers=1), 5, tmp_path)
    monkeypatch.setattr(linear, "LABELS", 5)
    monkeypatch.setattr(linear, "ROWS", 7)
    monkeypatch.setattr(linear, "LABELS_PER_WORKER", 5)
    parts = linear.rank(documents, BaselineConfig(negatives=60, num_workers=workers), 5, tmp_path)
    assert (parts.labels == whole.labels).all()
    assert parts.scores == pytest.approx(whole.scores, abs=1e-5)
    assert parts.figures == whole.figures


def test_a_seed_draws_another_sample(documents: Documents, tmp_path: Path) -> None:
    first, second = (
        linear.rank(documents, BaselineConfig(negatives=60, seed=seed), 5, tmp_path) for seed in (0, 1)
    )
    assert (first.scores != second.scores).any()


def test_the_best_labels_of_chunks_are_those_of_all_and_ties_go_to_the_lower_id() -> None:
    scores = np.random.default_rng(0).integers(0, 5, (9, 20)).astype(np.float32)
    scores[3, 2:] = -np.inf  # labels that can't be predicted
    best = Best(9, 4)
    for first in range(0, 20, 6):
        best.add(0, first, scores[:5, first : first + 6])
        best.add(5, first, scores[5:, first : first + 6])
    expected = np.lexsort((np.broadcast_to(np.arange(20), scores.shape), -scores), axis=1)[:, :4]
    ranking = best.ranking({})
    expected[3, 2:] = -1
    assert (ranking.labels == expected).all()
    assert ranking.scores[3, 2:].tolist() == [0, 0]


def test_lists_of_a_library_are_sorted_and_padded() -> None:
    ranking = ranking_of([[(4, 0.5), (2, 0.5), (1, 0.9)], [(3, 0.1)]], 2, 2, {})
    assert ranking.labels.tolist() == [[1, 2], [3, -1]]
    assert ranking.scores == pytest.approx(np.array([[0.9, 0.5], [0.1, 0]], np.float32))
