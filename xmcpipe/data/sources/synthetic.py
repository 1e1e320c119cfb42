"""Generates text from a seed, for tests and machines without data. It isn't real data, so never a default.

Label popularity follows Zipf's law. Each label has its own words. A document consists of some words of each
of its labels, shuffled with common words that have no meaning. The words thus reveal the labels, and even a
model of bags of words can learn them.
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
DRAWN_PER_LABEL, COMMON_PER_DOCUMENT = 5, 12  # words in a document
EXTRA_LABELS = 2.0  # mean of the number of labels after the first one, which is Poisson distributed
_ONSETS = [
    "b", "br", "d", "dr", "f", "g", "gl", "h", "k", "kl", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "v"
]  # fmt: skip
_VOWELS = "aeiou"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def documents(count: int, num_labels: int, seed: int) -> Iterator[pl.DataFrame]:
    """Yield `count` documents for a `DocumentSet`, in batches, with about three labels each.

    Labels are named 0 to `num_labels` - 1. The result depends on the arguments alone: each batch has its own
    random generator.
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
    """The label table for a `DocumentSet`: the text of a label consists of its own words."""
    words = np.array(_words(COMMON_WORDS + num_labels * WORDS_PER_LABEL, seed)[COMMON_WORDS:])
    texts = [" ".join(own) for own in words.reshape(num_labels, WORDS_PER_LABEL)]
    return pl.DataFrame({"label": [str(number) for number in range(num_labels)], "text": texts})


def _draw_labels(
    rng: np.random.Generator, rows: int, popularity: npt.NDArray[np.float64]
) -> tuple[Ints, Ints]:
    """Distinct (document, label) pairs, as two arrays int64 [P], in the order of documents."""
    sizes = 1 + rng.poisson(EXTRA_LABELS, rows)
    owner = np.repeat(np.arange(rows), sizes)
    labels = np.searchsorted(np.cumsum(popularity), rng.random(len(owner)), side="right")
    labels = np.minimum(labels, len(popularity) - 1)  # the popularities sum to 1 up to rounding
    owner, labels = np.unique(np.stack([owner, labels]), axis=1)
    return owner, labels


def _texts(rng: np.random.Generator, rows: int, owner: Ints, labels: Ints, words: pl.Series) -> pl.Series:
    """The text of each document, string [rows]: its words, shuffled.

    `owner` and `labels`, int64 [P], are the (document, label) pairs. In `words`, the common words come first,
    then the words of each label.
    """
    which = rng.integers(WORDS_PER_LABEL, size=(len(labels), DRAWN_PER_LABEL))
    own = COMMON_WORDS + labels[:, None] * WORDS_PER_LABEL + which
    common = rng.choice(COMMON_WORDS, size=(rows, COMMON_PER_DOCUMENT), p=_zipf(COMMON_WORDS))
    word = np.concatenate([own.ravel(), common.ravel()])
    document = np.concatenate(
        [np.repeat(owner, DRAWN_PER_LABEL), np.repeat(np.arange(rows), COMMON_PER_DOCUMENT)]
    )
    order = np.lexsort((rng.random(len(word)), document))  # by document, in random order within it
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
    # A word is a number, whose digits are syllables: distinct numbers make distinct words.
    syllables = np.array([onset + vowel for onset in _ONSETS for vowel in _VOWELS], dtype=object)
    length = 2
    while len(syllables) ** length < 2 * count:  # at least twice as many words as are drawn
        length += 1
    rng = np.random.default_rng([seed, 0])
    numbers = rng.choice(len(syllables) ** length, size=count, replace=False, shuffle=True)
    words = np.full(count, "", dtype=object)
    for _ in range(length):
        numbers, digit = np.divmod(numbers, len(syllables))
        words = words + syllables[digit]
    return list(words)


def _zipf(count: int) -> Floats:
    """Probabilities float64 [count] that fall as 1 / rank."""
    weights = 1 / np.arange(1, count + 1)
    return np.asarray(weights / weights.sum())
