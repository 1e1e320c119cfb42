"""Builds `LabelLists` from the columns id, labels and scores of Arrow batches, checked and cut to the top k.

Each batch is compacted at once: ids of 32 bits if they fit, numbers instead of names, and only labels that
can reach the top k. Memory thus holds a few small arrays instead of the columns of the file.

Legend: B rows of a batch · P (document, label) pairs of a batch · L labels.
"""

from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from xmcpipe.data.arrays import row_offsets
from xmcpipe.data.label_lists.label_names import doubts_about_names
from xmcpipe.data.label_lists.lists import Bools, Int64s, Ints, LabelLists, Scores
from xmcpipe.data.strings.spellings import without_point
from xmcpipe.errors import XmcpipeError
from xmcpipe.lookalikes.inputs import FEWEST_PAIRS, Grades, is_zero_one, require_no_vectors

SCORE = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
Numbers = TypeVar("Numbers", Ints, Scores)


class ListsBuilder:
    """Collects batches of documents into LabelLists; `source` names the file in errors.

    With `scored`, scores are read if there are any. With `top`, only labels that can be among the `top` best
    of their document are stored. There may be more than `top` of them if scores tie, because ties can be
    broken only after all files have a common numbering. Without `scored`, scores are the grades of true
    labels. Methods raise XmcpipeError, with the row counted from 0, for columns of a wrong type, for a score
    that is NaN, and for labels that are 0/1 vectors.
    """

    def __init__(self, source: str, scored: bool = False, top: int | None = None) -> None:
        self._source, self._scored, self._top = source, scored, top
        self._ids: list[pa.Array] = []
        self._lengths: list[Int64s] = []
        self._labels: list[Ints] = []
        self._scores: list[Scores] = []
        self._dictionaries: list[pa.Array] = []  # one for each element of _labels, if labels are names
        self._rows = 0
        self._ends: list[int] = []  # the smallest and the largest number of labels of each batch
        self._zero_one = True  # whether all labels so far are 0 or 1
        self._grades: Grades | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Append documents: column `labels` (lists of integers or strings), optionally `id` and `scores`."""
        try:
            self._add(batch)
        except pa.ArrowException as error:
            raise self._error(f"a value doesn't fit its column: {error}", "check the column") from error

    def _add(self, batch: pa.RecordBatch) -> None:
        """Append a batch; errors of Arrow are not converted."""
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        lengths, values = self._lists(columns["labels"], "labels")
        self._refuse_vectors(lengths, values)
        labels, dictionary = self._numbers(values)
        scores = self._score_values(columns["scores"], lengths) if "scores" in columns else None
        if not self._scored and scores is not None:
            self.note_grades(scores)
            present = scores != 0  # in a truth, 0 says that a label is none
            lengths, labels = np.diff(row_offsets(present)[row_offsets(lengths)]), labels[present]
            scores = None
        if len(lengths):
            self._ends += [int(lengths.min()), int(lengths.max())]
        occurring = labels if dictionary is None else dictionary.to_numpy(zero_copy_only=False)
        self._zero_one = self._zero_one and (not len(labels) or is_zero_one(occurring))
        if "id" in columns:
            self._ids.append(self._id_strings(columns["id"]))
        if dictionary is not None:
            self._dictionaries.append(dictionary)
        self.append(lengths, labels, scores)

    def note_grades(self, values: Scores) -> None:
        """Note values of true labels, [P]; those that are not all 1 are in `grades` of the result."""
        if (grades := Grades.of(values)) is not None:
            self._grades = grades.joined(self._grades)

    def append(self, lengths: Int64s, labels: Ints, scores: Scores | None) -> None:
        """Append documents as NumPy arrays: lengths [B]; labels [P] and scores [P] are end to end."""
        if scores is not None and np.isnan(scores).any():
            row = self._rows + int(np.repeat(np.arange(len(lengths)), lengths)[np.isnan(scores).argmax()])
            raise self._error(f"a score of row {row} is not a number (NaN)", "give a number for every label")
        mask = None if self._top is None else _reach_top(lengths, scores, self._top)
        if mask is not None:
            # row_offsets(mask)[i] is the number of selected pairs before pair i.
            lengths = np.diff(row_offsets(mask)[row_offsets(lengths)])
            labels = labels[mask]
            scores = None if scores is None else scores[mask]
        self._rows += len(lengths)
        self._lengths.append(lengths)
        self._labels.append(labels)
        if scores is not None:
            self._scores.append(scores)

    def finish(self, names: pa.Array | None = None, width: int | None = None) -> LabelLists:
        """All appended documents as LabelLists.

        `names`, string [L], is the vocabulary of integer labels, and `width` is L, if they are known. For
        labels that are names, both are ignored: the vocabulary is the names that occur. Raises XmcpipeError
        for 0/1 vectors, and for names that are lists saved as text.
        """
        if names is None and self._ends:
            ends = np.array(self._ends)
            require_no_vectors(self._source, ends, self._zero_one, self._rows, self._scored)
        indptr = np.zeros(self._rows + 1, np.int64)
        if self._rows:
            np.cumsum(np.concatenate(self._lengths), out=indptr[1:])
        if self._dictionaries:
            # Each batch numbers its names differently: map all of them to one dictionary.
            names, width = pc.unique(pa.chunked_array(self._dictionaries, pa.string())), None
            numbers = [pc.index_in(part, value_set=names).to_numpy() for part in self._dictionaries]
            self._labels = [number[labels] for number, labels in zip(numbers, self._labels, strict=True)]
        labels: Ints = _concatenate(self._labels) if self._labels else np.empty(0, np.int32)
        notes = doubts_about_names(self._source, names, labels, indptr) if self._dictionaries else ()
        ids = without_point(pa.chunked_array(self._ids, pa.string())) if self._ids else None
        scores = _concatenate(self._scores) if self._scores else None
        return LabelLists(self._source, ids, indptr, labels, scores, names, width, self._grades, notes)

    def _refuse_vectors(self, lengths: Int64s, values: pa.Array) -> None:
        """Raise XmcpipeError for labels that are floats or booleans: 0/1 vectors, or vectors of scores."""
        kind = values.type
        if not (types.is_floating(kind) or types.is_boolean(kind)) or not len(values):
            return
        numbers = values.to_numpy(zero_copy_only=False)
        if is_zero_one(numbers):
            require_no_vectors(self._source, lengths, True, FEWEST_PAIRS, ranked=False)
        elif np.any(numbers != np.floor(numbers)):
            raise self._error(
                f"expected labels as integers or strings, got numbers such as {numbers[0]:g}",
                "write scores into a column 'scores', or vectors of scores as one .npy or .npz file",
            )

    def _lists(self, column: pa.Array, name: str) -> tuple[Int64s, pa.Array]:
        """The lengths, int64 [B], and the values end to end, of a column of lists; a null list is empty."""
        kind = column.type
        if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
            raise self._error(
                f"expected lists in column {name!r}, got {column.type}", "write one list per document"
            )
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        values = column.flatten()
        if values.null_count:
            raise self._error(f"column {name!r} has a null inside a list", "remove the null")
        return lengths.astype(np.int64), values

    def _numbers(self, values: pa.Array) -> tuple[Ints, pa.Array | None]:
        """Labels as integers [P] and, if they are names, the array of names that the integers index."""
        kind = values.type.value_type if types.is_dictionary(values.type) else values.type
        if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
            encoded = values.cast(pa.string()).dictionary_encode()
            encoded.dictionary.validate(full=True)  # Arrow reads any bytes as text
            return encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary
        if types.is_floating(kind):
            # A float32 represents integers exactly only up to 2^24 = 16,777,216.
            raise self._error(
                f"expected labels as integers or strings, got {kind}, which is exact only up to 16,777,216",
                "write label ids as integers, or names as strings",
            )
        if types.is_null(kind):
            return np.empty(0, np.int32), None
        if not types.is_integer(kind):
            raise self._error(f"expected labels as integers or strings, got {kind}", "write ids or names")
        return self.narrow(values.cast(pa.int64()).to_numpy(zero_copy_only=False)), None

    def narrow(self, labels: Ints) -> Ints:
        """The labels as int32 if they fit, else as int64. Raises XmcpipeError for a negative label."""
        if not len(labels):
            return labels.astype(np.int32)
        if int(labels.min()) < 0:
            raise self._error(f"expected label ids from 0, got {int(labels.min())}", "remove any padding")
        return labels.astype(np.int32 if int(labels.max()) < 2**31 else np.int64, copy=False)

    def _score_values(self, column: pa.Array, lengths: Int64s) -> Scores:
        """The scores of a batch end to end, [P]; `lengths` are those of the lists of labels."""
        score_lengths, values = self._lists(column, "scores")
        if not np.array_equal(lengths, score_lengths):
            row = self._rows + int((lengths != score_lengths).argmax())
            raise self._error(f"row {row} has more or fewer scores than labels", "write one score per label")
        if types.is_null(values.type):
            return np.empty(0, np.float32)
        if types.is_string(values.type) or types.is_large_string(values.type):
            values = self._numbers_in_text(values)
        if not (types.is_floating(values.type) or types.is_integer(values.type)):
            raise self._error(f"expected numbers as scores, got {values.type}", "write one score per label")
        # Integer scores stay integers, because a float64 is exact only up to 2^53.
        wide = values.cast(pa.float32()) if types.is_float16(values.type) else values
        return np.asarray(wide.to_numpy(zero_copy_only=False))

    def _numbers_in_text(self, values: pa.Array) -> pa.Array:
        """Scores as float64 that were written as text, "0.9"."""
        texts = pc.utf8_trim_whitespace(values)
        faulty = texts.filter(pc.invert(pc.match_substring_regex(texts, SCORE)))
        if len(faulty):
            raise self._error(f"expected numbers as scores, got {faulty[0].as_py()!r}", "write 0.9")
        return texts.cast(pa.float64())

    def _id_strings(self, column: pa.Array) -> pa.Array:
        if column.null_count:
            raise self._error(f"{column.null_count} rows have no id", "give every row an id, or none")
        if types.is_floating(column.type) and pc.all(pc.equal(pc.floor(column), column), min_count=0).as_py():
            column = column.cast(pa.int64())  # pandas writes ids as floats if one was missing
        if types.is_floating(column.type) or types.is_nested(column.type):
            raise self._error(
                f"expected strings or integers in column 'id', got {column.type}", "convert the column"
            )
        strings = column.cast(pa.string())
        strings.validate(full=True)
        return strings

    def _error(self, what: str, hint: str) -> XmcpipeError:
        return XmcpipeError(f"{self._source}: {what}", hint)


def _concatenate(parts: list[Numbers]) -> Numbers:
    """The arrays end to end. Each is freed after its copy, so that the data is not in memory twice."""
    whole = np.empty(sum(map(len, parts)), np.result_type(*parts))
    end = len(whole)
    while parts:
        part = parts.pop()
        whole[end - len(part) : end] = part
        end -= len(part)
    return whole


def _reach_top(lengths: Int64s, scores: Scores | None, top: int) -> Bools | None:
    """Whether each pair can be among the `top` best of its document: bool [P]; None if all can.

    Without scores, labels are ordered best first.
    """
    if not len(lengths) or int(lengths.max()) <= top:
        return None
    starts = np.cumsum(lengths) - lengths
    rows = np.repeat(np.arange(len(lengths)), lengths)
    if scores is None:
        return np.arange(len(rows)) - starts[rows] < top
    descending = scores  # most files are sorted already, and sorting is slow
    if np.any((scores[1:] > scores[:-1]) & (rows[1:] == rows[:-1])):
        # Bitwise inversion reverses the order of every integer type. Negation fails for unsigned types, and
        # for the smallest signed integer.
        ascending_key = np.invert(scores) if scores.dtype.kind in "bui" else -scores
        descending = scores[np.lexsort((ascending_key, rows))]
    # The lowest score in the top of each document: labels with an equal score may still win the tie.
    last = descending[np.minimum(starts + np.minimum(lengths, top) - 1, len(rows) - 1)]
    reach: Bools = scores >= last[rows]
    return reach
