"""Text from a seeded generator, for tests and machines without any data. Not real data, so never a default.

Label popularity follows Zipf's law. Each label has words of its own. A document draws some words of each of
its labels, shuffled among common words without meaning. So the words reveal the labels, and even a bag of
words can learn them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from xmcpipe.data.arrays import row_offsets

BATCH_ROWS = 8192
WORDS_PER_LABEL = 6
COMMON_WORDS = 2000
DRAWN_PER_LABEL, COMMON_PER_DOCUMENT = 5, 12
EXTRA_LABELS = 2.0  # mean number of labels after the first, Poisson distributed
_ONSETS = [
    "b", "br", "d", "dr", "f", "g", "gl", "h", "k", "kl", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "v"
]  # fmt: skip
_VOWELS = "aeiou"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def documents(count: int, num_labels: int, seed: int) -> Iterator[pl.DataFrame]:
    """Batches of `count` documents for a `DocumentSet`, with labels 0 to `num_labels` - 1, about three each.

    The result depends on the arguments alone: each batch has its own random generator.
    """
    words = pl.Series(_words(COMMON_WORDS + num_labels * WORDS_PER_LABEL, seed))
    popularity = _zipf(num_labels)
    for first in range(0, count, BATCH_ROWS):
        rng = np.random.default_rng([seed, 1, first])
        rows = min(BATCH_ROWS, count - first)
        owner, labels = _draw_labels(rng, rows, popularity)
        yield pl.DataFrame(
            {
                "id": [f"synthetic-{number}" for number in range(first, first + rows)],
                "text": _texts(rng, rows, owner, labels, words),
                "labels": _lists(owner, labels, rows).cast(pl.List(pl.String)),
            }
        )


def label_table(num_labels: int, seed: int) -> pl.DataFrame:
    """Each label with its own words as text."""
    words = np.array(_words(COMMON_WORDS + num_labels * WORDS_PER_LABEL, seed)[COMMON_WORDS:])
    texts = [" ".join(own) for own in words.reshape(num_labels, WORDS_PER_LABEL)]
    return pl.DataFrame({"label": [str(number) for number in range(num_labels)], "text": texts})


def _draw_labels(
    rng: np.random.Generator, rows: int, popularity: npt.NDArray[np.float64]
) -> tuple[Ints, Ints]:
    """(document, label) pairs, int64 [pairs] each, in order of documents, each pair once."""
    sizes = 1 + rng.poisson(EXTRA_LABELS, rows)
    owner = np.repeat(np.arange(rows), sizes)
    labels = np.searchsorted(np.cumsum(popularity), rng.random(len(owner)), side="right")
    labels = np.minimum(labels, len(popularity) - 1)  # the popularities sum to 1 up to rounding
    owner, labels = np.unique(np.stack([owner, labels]), axis=1)
    return owner, labels


def _texts(rng: np.random.Generator, rows: int, owner: Ints, labels: Ints, words: pl.Series) -> pl.Series:
    """Each document's words, shuffled, as one string; string [rows]."""
    which = rng.integers(WORDS_PER_LABEL, size=(len(labels), DRAWN_PER_LABEL))
    own = COMMON_WORDS + labels[:, None] * WORDS_PER_LABEL + which
    common = rng.choice(COMMON_WORDS, size=(rows, COMMON_PER_DOCUMENT), p=_zipf(COMMON_WORDS))
    word = np.concatenate([own.ravel(), common.ravel()])
    document = np.concatenate(
        [np.repeat(owner, DRAWN_PER_LABEL), np.repeat(np.arange(rows), COMMON_PER_DOCUMENT)]
    )
    order = np.lexsort((rng.random(len(word)), document))
    chosen = words.gather(word[order])
    counts = np.bincount(document, minlength=rows)
    return _as_lists(chosen.to_arrow(), counts).list.join(" ")


def _lists(owner: Ints, values: Ints, rows: int) -> pl.Series:
    return _as_lists(pa.array(values), np.bincount(owner, minlength=rows))


def _as_lists(values: pa.Array, counts: npt.NDArray[Any]) -> pl.Series:
    lists = pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(row_offsets(counts)), values))
    assert isinstance(lists, pl.Series)
    return lists


def _words(count: int, seed: int) -> list[str]:
    """`count` distinct pronounceable words, in random order."""
    syllables = np.array([onset + vowel for onset in _ONSETS for vowel in _VOWELS], dtype=object)
    length = 2
    while len(syllables) ** length < 2 * count:
        length += 1
    rng = np.random.default_rng([seed, 0])
    numbers = rng.choice(len(syllables) ** length, size=count, replace=False, shuffle=True)
    words = np.full(count, "", dtype=object)
    for _ in range(length):
        numbers, digit = np.divmod(numbers, len(syllables))  # a word is a number with syllables as digits
        words = words + syllables[digit]
    return list(words)


def _zipf(count: int) -> Floats:
    """Probabilities float64 [count] that fall as 1 / rank."""
    weights = 1 / np.arange(1, count + 1)
    return np.asarray(weights / weights.sum())
