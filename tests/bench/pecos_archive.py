"""Generates an archive in the PECOS layout, of any size: X.*.txt, Y.*.npz, output-items.txt in a .tar.gz.

Some labels of documents are drawn by Zipf's law, most of them uniformly, so that few labels never occur. A
document contains the words of its labels' names, and other words drawn by Zipf's law; lengths are log-normal.
So there is something to learn, and no text has an author. Everything is drawn in chunks, as columns, without
a loop over documents.
"""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

CHUNK = 50_000  # documents at a time
NAME_WORDS, SPREAD = 3, 0.6
UNIFORM = 0.7  # fraction of the documents' labels that are drawn uniformly
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Size:
    """The size of the dataset; `words` is the median number of words per document."""

    train: int
    test: int
    labels: int
    labels_a_document: float  # a key of the JSON of rehearsals
    words: int


def write_archive(path: Path, size: Size, words: Sequence[str], seed: int = 0) -> None:
    """Write an archive of these words to `path` (.tar.gz); its unpacked folder stays next to it."""
    draw = np.random.default_rng(seed)
    folder = path.parent / path.name.removesuffix(".tar.gz")
    folder.mkdir(parents=True)
    vocabulary = pa.array(words)
    names_LW = draw.integers(0, len(words), (size.labels, NAME_WORDS))
    order_L = draw.permutation(size.labels)  # the labels by descending frequency
    with (folder / "output-items.txt").open("wb") as file:
        for begin in range(0, size.labels, CHUNK):
            file.write(_lines(names_LW[begin : begin + CHUNK].ravel(), NAME_WORDS, vocabulary))
    for short, count in (("trn", size.train), ("tst", size.test)):
        parts = []
        with (folder / f"X.{short}.txt").open("wb") as file:
            for chunk in _chunks(count):
                labels, counts = _labels(draw, chunk, size, order_L)
                parts.append(sp.csr_matrix(
                    (np.ones(len(labels), np.float32), labels, np.concatenate([[0], counts.cumsum()])),
                    (chunk, size.labels),
                ))  # fmt: skip
                file.write(_texts(draw, labels, counts, names_LW, size.words, vocabulary))
        sp.save_npz(folder / f"Y.{short}.npz", sp.vstack(parts, "csr"), compressed=False)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.add(folder, folder.name)


def _chunks(count: int) -> Iterator[int]:
    yield from (min(CHUNK, count - begin) for begin in range(0, count, CHUNK))


def _labels(draw: np.random.Generator, documents: int, size: Size, order_L: Int64s) -> tuple[Int64s, Int64s]:
    """The distinct labels of all documents, concatenated, and the number of labels of each, at least 1."""
    counts = np.maximum(draw.poisson(size.labels_a_document, documents), 1)
    uniform = draw.random(counts.sum())
    is_uniform = draw.random(len(uniform)) < UNIFORM
    ranks = np.where(is_uniform, uniform * size.labels, size.labels**uniform - 1.0).astype(np.int64)
    pairs = np.unique(np.repeat(np.arange(documents), counts) * size.labels + order_L[ranks])
    return pairs % size.labels, np.bincount(pairs // size.labels, minlength=documents)


def _texts(
    draw: np.random.Generator,
    labels: Int64s,
    counts: Int64s,
    names_LW: Int64s,
    words: int,
    vocabulary: pa.Array,
) -> bytes:
    """One line per document: the words of its labels' names, then common words."""
    lengths = np.maximum(draw.lognormal(np.log(words), SPREAD, len(counts)).astype(np.int64), 1)
    common = (len(vocabulary) ** draw.random(lengths.sum()) - 1.0).astype(np.int64)
    own = names_LW[labels].ravel()
    owner = np.concatenate([
        np.repeat(np.arange(len(counts)), counts * NAME_WORDS), np.repeat(np.arange(len(counts)), lengths)
    ])  # fmt: skip
    order = np.argsort(owner, kind="stable")
    ends = (counts * NAME_WORDS + lengths).cumsum()
    ordered = pc.take(vocabulary, pa.array(np.concatenate([own, common])[order]))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    return _joined(pa.LargeListArray.from_arrays(offsets, ordered))


def _lines(words: Int64s, each: int, vocabulary: pa.Array) -> bytes:
    offsets = pa.array(np.arange(0, len(words) + 1, each), pa.int64())
    return _joined(pa.LargeListArray.from_arrays(offsets, pc.take(vocabulary, pa.array(words))))


def _joined(words: pa.LargeListArray) -> bytes:
    """One line per list: its words, with spaces between them."""
    lines: pa.Array = pc.binary_join(words, " ")
    return ("\n".join(lines.to_pylist()) + "\n").encode()
