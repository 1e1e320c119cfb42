"""Which words of a text speak for a label: their parts of the label's score.

A model that reads words adds weight * tf-idf of each word to a label's score, so the parts of the words are
exact. They are read from the files of the model without loading it. NumPy only: a report explains documents
where torch is absent.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.data.terms import document_terms, named_terms
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import read_json_object
from xmcpipe.tensor_header import read_tensor_header

DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "U16": "<u2", "I32": "<i4", "I64": "<i8"}
FREQUENT = ("frequent.labels", "frequent.head.word_index", "frequent.head.word_weight")
ORDER = "head.label_order"  # of a head whose labels form groups: the label at each place
WordParts = list[tuple[str, float]]
"""Words or pairs of words, and the part of each in a score; the largest first."""


class WordExplainer:
    """Explains scores of the model in `folder`.

    Raises XmcpipeError for a folder without a model, and for a model that reads no words.
    """

    def __init__(self, folder: Path) -> None:
        try:
            facts = read_json_object(folder / "model.json")
            words = facts.get("words")
            arrays = {} if words is None else _mapped(folder / "model.safetensors")
        except (OSError, ValueError, KeyError) as error:
            raise XmcpipeError(
                f"{folder} is not a model artifact: {error}", "give the folder of a model artifact"
            ) from error
        if words is None:
            raise XmcpipeError(
                f"the model in {folder} reads no words, so no word explains its scores",
                "train with train.head.word_fan_in > 0 and tokenize.words",
            )
        self._pairs = words["kind"] == "pairs"
        codes, idf = arrays["words.codes"], arrays["words.idf"]
        self._vocabulary = WordVocabulary(codes.astype(np.uint32), np.asarray(idf))
        self._sparse = (arrays["head.word_index"], arrays["head.word_weight"])
        self._frequent = tuple(arrays[name] for name in FREQUENT[1:]) if FREQUENT[0] in arrays else None
        order = arrays.get(ORDER)
        self._place_L = None if order is None else np.argsort(order, kind="stable")
        labels = arrays.get(FREQUENT[0], np.empty(0, np.int64)).tolist()
        self._place = {label: place for place, label in enumerate(labels)}
        self._is_bfloat16 = facts["head"]["dtype"] == "bfloat16"

    def parts(self, text: str, labels: Sequence[int], most: int = 5) -> list[WordParts]:
        """The `most` words with the largest part in the score of each label; only those above 0."""
        found = self._vocabulary.weigh(document_terms([text], self._pairs))
        names, values = (
            named_terms(text, self._pairs),
            dict(zip(found.ids.tolist(), found.values, strict=True)),
        )
        explained = []
        for label in labels:
            read = zip(*self._words_of(label), strict=True)
            parts = [
                (names[int(self._vocabulary.codes[word])], float(weight * values[word]))
                for word, weight in read
                if word in values and weight > 0.0
            ]
            explained.append(sorted(parts, key=lambda part: (-part[1], part[0]))[:most])
        return explained

    def _words_of(self, label: int) -> tuple[list[int], list[float]]:
        """The words that a label reads, and their weights."""
        index_LK, weight_LK = self._sparse
        place = label if self._place_L is None else int(self._place_L[label])
        if label in self._place and self._frequent is not None:
            (index_LK, weight_LK), place = self._frequent, self._place[label]
        row = weight_LK[place]
        if self._is_bfloat16:
            row = (row.astype(np.uint32) << np.uint32(16)).view(np.float32)
        index_K = index_LK[place]
        return index_K.tolist(), np.asarray(row, np.float32).tolist()


def _mapped(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The tensors of words in a safetensors file, mapped into memory; bfloat16 as its bits, uint16."""
    header, data = read_tensor_header(path)
    names = ["words.codes", "words.idf", "head.word_index", "head.word_weight"]
    names += [name for name in (*FREQUENT, ORDER) if name in header]
    return {
        name: np.memmap(
            path,
            DTYPES[header[name]["dtype"]],
            "r",
            offset=data + header[name]["data_offsets"][0],
            shape=tuple(header[name]["shape"]),
        )
        for name in names
    }
