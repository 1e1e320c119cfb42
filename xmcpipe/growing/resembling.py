"""Documents that resemble the text of a label: they stand for its documents where none are given.

A text of a few words is no document: its embedding lies elsewhere, and each of its words has a large tf-idf.
So a row fitted to the text itself is never among the best of a document. The documents of the training that
resemble it most are often about it. They are found by the cosine of embeddings, each without the mean of its
kind (texts of labels, documents), plus the product of the tf-idf of words.

n documents, T texts, W width of the features.
"""

import numpy as np
import numpy.typing as npt

from xmcpipe.growing.documents import Documents

Floats = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]
TEXTS = 1024  # that are compared at a time


def resembling(
    documents: Documents, texts: Documents, centre: Documents, count: int
) -> npt.NDArray[np.int64]:
    """The `count` documents that resemble each of the texts most, int64 [T, count] or fewer, the best first.

    `centre` are texts of labels of the model; their mean is taken for that of all texts.
    """
    features_nW, texts_TW, found = _unit(documents, documents), _unit(texts, centre), []
    for begin in range(0, len(texts), TEXTS):
        part = slice(begin, begin + TEXTS)
        cosine_nT = features_nW @ texts_TW[part].T
        shared_nT = (documents.words @ texts.words[part].T).toarray()
        found.append(np.argsort(-(cosine_nT + shared_nT), axis=0, kind="stable")[:count].T)
    return np.concatenate(found).astype(np.int64)


def _unit(documents: Documents, centre: Documents) -> Floats:
    """Their features without the mean of `centre`, with norm 1."""
    centred = documents.features_nW.numpy() - centre.features_nW.numpy().mean(0)
    found: Floats = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    return found
