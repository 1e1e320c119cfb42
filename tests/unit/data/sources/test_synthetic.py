"""The generator: equal text for equal seeds, and labels that can be learned from words."""

import numpy as np
import polars as pl

from xmcpipe.data.sources import synthetic


def test_the_same_seed_gives_the_same_documents() -> None:
    first = pl.concat(synthetic.documents(300, 40, seed=3))
    assert first.equals(pl.concat(synthetic.documents(300, 40, seed=3)))
    assert not first.equals(pl.concat(synthetic.documents(300, 40, seed=4)))
    assert first["id"].n_unique() == 300
    assert first["text"].n_unique() == 300


def test_batches_cover_the_count() -> None:
    sizes = [len(batch) for batch in synthetic.documents(2 * synthetic.BATCH_ROWS + 5, 10, seed=0)]
    assert sizes == [synthetic.BATCH_ROWS, synthetic.BATCH_ROWS, 5]


def test_popularity_falls_and_labels_are_sets() -> None:
    labels = pl.concat(synthetic.documents(3000, 100, seed=0))["labels"]
    assert (labels.list.len() == labels.list.n_unique()).all()
    assert 2.5 < labels.list.len().mean() < 3.0  # type: ignore[operator]
    counts = np.bincount(labels.explode().cast(pl.Int64).to_numpy(), minlength=100)
    assert counts[0] > 3 * counts[5] > 9 * counts[60]


def test_words_reveal_the_labels_and_common_words_do_not() -> None:
    documents = pl.concat(synthetic.documents(1500, 80, seed=1))
    own = [set(text.split()) for text in synthetic.label_table(80, seed=1)["text"]]
    assert len(set().union(*own)) == 80 * synthetic.WORDS_PER_LABEL
    owner = {word: label for label, words in enumerate(own) for word in words}
    for text, labels in documents.select("text", "labels").iter_rows():
        revealed = {str(owner[word]) for word in text.split() if word in owner}
        assert revealed == set(labels)
        assert sum(word not in owner for word in text.split()) == synthetic.COMMON_PER_DOCUMENT


def test_a_bag_of_words_learns_it_far_above_popularity() -> None:
    documents = pl.concat(synthetic.documents(2000, 100, seed=2))
    words = {word: n for n, word in enumerate({w for text in documents["text"] for w in text.split()})}
    bags = np.zeros((2000, len(words)), np.float32)
    truth = np.zeros((2000, 100), np.float32)
    for row, (text, labels) in enumerate(documents.select("text", "labels").iter_rows()):
        bags[row, [words[word] for word in text.split()]] = 1
        truth[row, [int(label) for label in labels]] = 1
    bags *= np.log(2000 / bags.sum(0))
    bags /= np.linalg.norm(bags, axis=1, keepdims=True)
    centroids = truth[:1600].T @ bags[:1600]
    centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-6)
    best = (bags[1600:] @ centroids.T).argmax(1)
    precision = truth[1600:][np.arange(400), best].mean()
    popularity = truth[1600:, truth[:1600].sum(0).argmax()].mean()
    assert precision > 0.85
    assert precision > 1.5 * popularity
