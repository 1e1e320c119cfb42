"""Measures files in any format of label lists, or artifacts, that the user names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.lists import Measurement, measure_lists, most_pairs

if TYPE_CHECKING:
    from xmcpipe.data.label_lists.lists import LabelLists
    from xmcpipe.metrics.propensity import Training


@dataclass(frozen=True)
class EvalInputs:
    """The files or artifacts that the user named.

    `predictions` has one path per system. `train` (the training labels) and `filter` (pairs of a document and
    a label that count neither as hits nor as misses) are optional.
    """

    predictions: Sequence[Path]
    truth: Path
    train: Path | None = None
    filter: Path | None = None


def measure_files(inputs: EvalInputs, ks: Sequence[int], a: float, b: float, propensity: str) -> Measurement:
    """Measure files or artifacts at the ranks `ks`, with the propensity constants `a` and `b`.

    If no filter pairs are named and the truth is an artifact, the filter pairs of that artifact are excluded.
    `propensity` is `standard`, or `paper` if the training labels are shards with label texts.

    Raises XmcpipeError for inputs that can't be read, or whose rows or labels don't match.
    """
    import numpy as np

    from xmcpipe.data.label_lists.files import filter_of_artifact, read_label_lists, read_training_lists
    from xmcpipe.data.label_lists.numbering import common_vocabulary

    # Training labels are read first and reduced to counts, because they may be larger than all other inputs.
    train, training = None, None
    if inputs.train:
        train, training = _counted(read_training_lists(inputs.train, propensity), propensity)
    truth = read_label_lists(inputs.truth, "truth")
    pairs = (
        read_label_lists(inputs.filter, "filter")
        if inputs.filter
        else filter_of_artifact(inputs.truth, truth)
    )
    # Filtering removes candidates before the top k is cut, so that many more candidates must be read.
    filtered, extra = pairs is not None, 0 if pairs is None else most_pairs(pairs)
    predictions = [read_label_lists(path, "predictions", top=ks[-1] + extra) for path in inputs.predictions]
    doubts = list(_doubts(predictions, truth, train))
    if pairs is not None and inputs.filter:
        doubts += _doubts_about_filter(pairs, inputs.filter, predictions, truth, train)
    if pairs is not None and not len(pairs.labels):
        filtered, pairs = False, None
    common = common_vocabulary(predictions if pairs is None else [*predictions, pairs], truth, train)
    del truth, predictions, pairs  # frees the copies in the numberings of their files
    if training and common.train:
        # `training.counts` follows the order of the labels in `train`; put it into the common numbering.
        counts = np.zeros(common.num_labels, np.int64)
        counts[common.train.labels] = training.counts
        training = replace(training, counts=counts)
    return measure_lists(common, training, ks, a, b, filtered, doubts)


def _doubts(
    predictions: "Sequence[LabelLists]", truth: "LabelLists", train: "LabelLists | None"
) -> Iterator[str]:
    """Sentences about how files were read, and about files that look like another kind of file.

    Raises XmcpipeError for files that are surely swapped.
    """
    from xmcpipe.data.label_lists.joining import doubts_about_join
    from xmcpipe.data.label_lists.label_names import doubts_about_joined_names
    from xmcpipe.data.label_lists.numbering import with_one_type
    from xmcpipe.data.label_lists.spelling import doubts_about_spelling
    from xmcpipe.metrics.misread.doubts import doubts_about_roles
    from xmcpipe.metrics.misread.shape import doubts_about_shape

    for lists in (*predictions, truth, *([] if train is None else [train])):
        yield from lists.notes
    for lists in predictions:
        yield from doubts_about_roles(lists, truth, truth.grades)
        yield from doubts_about_join(lists, truth)
        yield from doubts_about_joined_names(lists, truth)
        yield from doubts_about_joined_names(truth, lists)
    known = [truth] if train is None else [truth, train]
    typed = with_one_type([*known, *predictions])
    for lists in typed[len(known) :]:
        yield from doubts_about_spelling(lists, typed[: len(known)])
    if train is not None:
        yield from doubts_about_spelling(typed[0], typed[1:2])
    yield from doubts_about_shape(truth)
    if train is not None and train.grades is not None:
        yield f"{train.source} has values from {train.grades}: each that is not 0 counts as a label"


def _doubts_about_filter(
    pairs: "LabelLists",
    path: Path,
    predictions: "Sequence[LabelLists]",
    truth: "LabelLists",
    train: "LabelLists | None",
) -> Iterator[str]:
    """Sentences about a file of pairs to exclude: how its rows are joined, and how its labels are spelt.

    Raises XmcpipeError for rows that can't be joined.
    """
    from xmcpipe.data.label_lists.endings import kind_of
    from xmcpipe.data.label_lists.joining import doubts_about_pair_rows
    from xmcpipe.data.label_lists.numbering import with_one_type
    from xmcpipe.data.label_lists.spelling import doubts_about_spelling

    if not len(pairs.labels):
        yield f"{pairs.source} has no pairs: nothing is excluded"
        return
    # A text file has the number of its row beside each label.
    if path.is_dir() or kind_of(path, "filter") != "text":
        yield from doubts_about_pair_rows(pairs, truth)
    others = [truth, *([] if train is None else [train]), *predictions]
    first, *typed = with_one_type([pairs, *others])
    yield from doubts_about_spelling(first, typed)


def _counted(lists: "LabelLists", propensity: str) -> "tuple[LabelLists, Training]":
    """The labels that occur in the training lists, as lists of one row, and the count of each label."""
    import numpy as np

    from xmcpipe.data.label_lists.numbering import with_small_ids
    from xmcpipe.metrics.propensity import FEWEST_DOCUMENTS, Training
    from xmcpipe.metrics.truth import count_labels

    small, values = with_small_ids(lists)
    if len(lists) < FEWEST_DOCUMENTS:
        raise XmcpipeError(
            f"{lists.source}: expected {FEWEST_DOCUMENTS} or more training documents for PSP, "
            f"got {len(lists)}",
            "omit the training labels (--train), or check the file: a row is a document",
        )
    counts, repeated = count_labels(small.indptr, small.labels, 1 + int(small.labels.max(initial=-1)))
    occurring = np.flatnonzero(counts)
    labels = occurring if values is None else values[occurring]
    row = replace(lists, ids=None, indptr=np.array([0, len(occurring)]), labels=labels)
    return row, Training(counts[occurring], len(lists), repeated, propensity)
