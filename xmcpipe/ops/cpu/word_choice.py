"""Which words a label should read, compiled by numba: sums over the documents of one label at a time.

A label's documents are few, and so are their words. A sum over them goes into an array of all V words, of
which only the touched entries are read and cleared again. All sums are in float64 and in the order of the
documents, so a label's result depends neither on the chunk it is in nor on the number of threads.

V words, M places of a label that are filled.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xmcpipe.ops.cpu.simd.compiling import compiled
from xmcpipe.ops.cpu.threads import over_slices, slices
from xmcpipe.ops.label_documents import DocumentWords, LabelDocuments, LabelWords

UNTOUCHED, TOUCHED, READ = np.uint8(0), np.uint8(1), np.uint8(2)


class Workspace(NamedTuple):
    """Of one thread: `sums` float64 [V] and `marks` uint8 [V] are 0 between labels; `touched` int32 [V]."""

    sums: NDArray[np.float64]
    marks: NDArray[np.uint8]
    touched: NDArray[np.int32]


class Best(NamedTuple):
    """The best words so far, the best first: `scores` float64 [M] and `words` int64 [M]."""

    scores: NDArray[np.float64]
    words: NDArray[np.int64]


@compiled
def sum_words(pairs: LabelDocuments, documents: DocumentWords, label: int, space: Workspace) -> int:
    """Sum weight x value of each word over the label's documents; returns how many words were touched."""
    touched = 0
    for pair in range(pairs.begins[label], pairs.begins[label + 1]):
        document, weight = pairs.documents[pair], pairs.weights[pair]
        for t in range(documents.begins[document], documents.begins[document + 1]):
            word = documents.words[t]
            if space.marks[word] == UNTOUCHED:
                space.marks[word] = TOUCHED
                space.touched[touched] = word
                touched += 1
            space.sums[word] += weight * documents.values[t]
    return touched


@compiled
def insert(best: Best, found: int, score: float, word: int) -> int:
    """Insert a word in order of descending scores, of equal ones the smaller word first; returns the new
    number of words, at most M."""
    size = len(best.words)
    if found == size:
        last = best.scores[size - 1]
        if score < last or (score == last and word > best.words[size - 1]):
            return found
        place = size - 1
    else:
        place = found
        found += 1
    while place and (
        best.scores[place - 1] < score or (best.scores[place - 1] == score and best.words[place - 1] > word)
    ):
        best.scores[place], best.words[place] = best.scores[place - 1], best.words[place - 1]
        place -= 1
    best.scores[place], best.words[place] = score, word
    return found


@compiled
def choose_slice(
    layer: LabelWords,
    places: NDArray[np.int32],
    pairs: LabelDocuments,
    documents: DocumentWords,
    smoothing: float,
    begin: int,
    end: int,
) -> int:
    """See `fill_best`; for the labels [begin, end)."""
    width, filled = len(documents.mean), 0
    space = Workspace(np.zeros(width), np.zeros(width, np.uint8), np.empty(width, np.int32))
    best = Best(np.empty(places.shape[1]), np.empty(places.shape[1], np.int64))
    for label in range(begin, end):
        size = pairs.begins[label + 1] - pairs.begins[label]
        if size == 0:
            continue
        touched, found, total = sum_words(pairs, documents, label, space), 0, 0.0
        for pair in range(pairs.begins[label], pairs.begins[label + 1]):
            total += pairs.weights[pair]
        for k in range(layer.index.shape[1]):
            if layer.index[label, k] != layer.none:
                space.marks[layer.index[label, k]] = READ
        for number in range(touched):
            word = space.touched[number]
            surplus = space.sums[word] / size - total / size * documents.mean[word]
            if surplus > 0.0 and space.marks[word] != READ:
                score = surplus / np.sqrt(documents.mean[word] + smoothing)
                found = insert(best, found, score, word)
            space.sums[word], space.marks[word] = 0.0, UNTOUCHED
        for k in range(layer.index.shape[1]):
            if layer.index[label, k] != layer.none:
                space.marks[layer.index[label, k]] = UNTOUCHED
        for number in range(found):
            layer.index[label, places[label, number]] = best.words[number]
            layer.weight[label, places[label, number]] = 0.0
        filled += found
    return filled


def fill(
    layer: LabelWords,
    places_LM: NDArray[np.int32],
    pairs: LabelDocuments,
    documents: DocumentWords,
    smoothing: float,
) -> int:
    """See `ops.words.choice.fill_best`."""

    def run(_: int, begin: int, end: int) -> int:
        return int(choose_slice(layer, places_LM, pairs, documents, smoothing, begin, end))

    return sum(over_slices(run, slices(len(layer.index))))
