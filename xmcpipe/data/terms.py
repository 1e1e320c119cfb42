"""The words of a text, and pairs of neighbouring words, as 32-bit codes: what linear models read.

A word is a run of letters and digits in lower case, or a single Chinese or Japanese character, since those
scripts have no blanks. Codes are hashes, so that no vocabulary is needed while text is read; which codes a
model reads is decided in training (`data.word_vocabulary`). Among the 65,535 words of a model and ten million
different terms of a corpus, about 150 share their code with another term.

The terms of a document are distinct, with the number of times that each occurs. NumPy only.

N documents, T (document, term) pairs.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

CHARACTERS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # kana and ideographs
WORD = re.compile(rf"[{CHARACTERS}]|[^\W{CHARACTERS}]+")
MAX_COUNT = 255
Uint32s = npt.NDArray[np.uint32]


class Terms(NamedTuple):
    """The terms of N documents, end to end.

    `codes` uint32 [T] ascend within a document; `counts` uint8 [T], at most 255; `lengths` int32 [N].
    """

    codes: Uint32s
    counts: npt.NDArray[np.uint8]
    lengths: npt.NDArray[np.int32]


def terms_of(terms: Terms, rows: npt.NDArray[np.int64]) -> Terms:
    """The terms of these rows of `terms`, in this order; a row may occur more than once."""
    lengths = terms.lengths[rows]
    old, new = (np.cumsum(each, dtype=np.int64) - each for each in (terms.lengths, lengths))
    places = np.arange(lengths.sum()) + np.repeat(old[rows] - new, lengths)
    return Terms(terms.codes[places], terms.counts[places], lengths)


def document_terms(texts: Sequence[str], pairs: bool) -> Terms:
    """The terms of each text: words, and with `pairs` also pairs of neighbouring words."""
    codes, lengths = _word_codes(texts)
    documents = np.repeat(np.arange(len(texts), dtype=np.uint64), lengths)
    if pairs and len(codes):
        same = documents[1:] == documents[:-1]
        codes = np.concatenate([codes, _pair_codes(codes)[same]])
        documents = np.concatenate([documents, documents[1:][same]])
    # Sorting the pair numbers document x 2^32 + code sorts the terms of all documents at once.
    keys, counts = np.unique(documents << np.uint64(32) | codes, return_counts=True)
    sizes = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(texts))
    return Terms(
        (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        np.minimum(counts, MAX_COUNT).astype(np.uint8),
        sizes.astype(np.int32),
    )


def _word_codes(texts: Sequence[str]) -> tuple[Uint32s, npt.NDArray[np.int64]]:
    """The codes of all words in the order of the text, and the number of words of each text."""
    known: dict[str, int] = {}  # hashing a word takes longer than finding it
    codes: list[int] = []
    lengths = []
    for text in texts:
        words = WORD.findall(text.lower())
        for word in words:
            code = known.get(word)
            if code is None:
                code = known[word] = crc32(word.encode("utf-8", "surrogatepass"))
            codes.append(code)
        lengths.append(len(words))
    return _mixed(np.array(codes, np.uint32)), np.array(lengths, np.int64)


def _mixed(values: Uint32s) -> Uint32s:
    """The values under a bijection that spreads them: the finalizer of MurmurHash3 (Appleby, public domain).

    Without it, the codes of pairs would be sums of codes, and different pairs could share one by design.
    """
    values = values ^ (values >> np.uint32(16))
    values = values * np.uint32(0x85EBCA6B)
    values = values ^ (values >> np.uint32(13))
    values = values * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))


def named_terms(text: str, pairs: bool) -> dict[int, str]:
    """The terms of a text by their codes, each as it is spelled in lower case; a pair has a blank between."""
    words = WORD.findall(text.lower())
    codes, _ = _word_codes([text])
    names = dict(zip(codes.tolist(), words, strict=True))
    if pairs and len(words) > 1:
        both = [f"{first} {second}" for first, second in pairwise(words)]
        names |= dict(zip(_pair_codes(codes).tolist(), both, strict=True))
    return names


def _pair_codes(codes: Uint32s) -> Uint32s:
    """The code of each word together with the next one."""
    return _mixed(codes[:-1] * np.uint32(0x9E3779B1) + codes[1:] + np.uint32(1))
