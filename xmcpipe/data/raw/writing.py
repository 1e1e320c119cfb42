"""Writes the raw artifact, both splits and the label vocabulary, from batches of documents by the policies.

Every source of documents (a file, a package index, a generator) yields batches, and this module is the only
way from there to train.parquet, test.parquet and labels.parquet. Texts are written to disk twice, and are
never all in memory at once.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet

from xmcpipe.data.arrays import row_offsets
from xmcpipe.data.filter_pairs import FilterPairs, filter_file
from xmcpipe.data.parquet import ParquetFileWriter
from xmcpipe.data.raw.documents import DocumentSet
from xmcpipe.data.raw.label_checks import (
    check_labels,
    compare_splits,
    warn_of_missing,
    warn_of_repeated_labels,
    warn_of_repeats,
    warn_of_scattered,
)
from xmcpipe.data.raw.policies import Policies
from xmcpipe.data.raw.prepare import TEST, TRAIN, UNSPLIT, Decision, decide
from xmcpipe.data.raw.staging import Staging
from xmcpipe.data.raw.vocabulary import vocabulary
from xmcpipe.data.schema import LABELS, RAW_DOCUMENTS
from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import progress

logger = logging.getLogger(__name__)

# Figure -> the policy that decided about the counted documents or labels.
POLICY_OF_COUNT = {
    "empty_texts": "empty_text",
    "no_labels": "no_labels",
    "repeated_texts": "repeated",
    "leaked_texts": "leaked",
    "unseen_labels": "unseen",
}
# Figures that no single policy decides.
PLAIN_COUNTS = (
    "repeated_labels", "rare_labels", "emptied_documents", "documents_dropped", "labels_without_text"
)  # fmt: skip
ONE_LABEL = 0.9  # share of the documents with one label from which they may be rows of a document and a label
SPLITS = {"train": TRAIN, "test": TEST, "all": UNSPLIT}
TRAIN_FILE, TEST_FILE, LABELS_FILE = "train.parquet", "test.parquet", "labels.parquet"


def write_raw(
    documents: DocumentSet, policies: Policies, out: Path, scratch: Path
) -> tuple[dict[str, Any], dict[str, int]]:
    """Prepare the documents and write the raw artifact into the folder `out`; `scratch` holds the texts.

    Filter pairs whose document and label stay are written too, with their new numbers. Returns the figures
    for the manifest, and the number of rows by file. Raises the errors of `decide`, and XmcpipeError if an id
    repeats within a split.
    """
    names = None if documents.label_table is None else documents.label_table["label"]
    staged = Staging(scratch / "texts.parquet", policies.same_text, names)
    try:
        _stage(documents, staged)
        _check(documents, staged)
        scattered = _warn_of_scattered(staged, policies)
        decision = decide(staged, policies)
        if not scattered:
            warn_of_repeats(decision.figures)
        whole_table = policies.min_label_count == 0
        words = vocabulary(staged.labels.names, decision.labels, documents.label_table, whole_table)
        id_of_code = _id_of_code(words, len(staged.labels.names))
        rows = _write(staged, decision, words, id_of_code, out)
        pairs = {
            split: _write_filter(table, split, staged, decision, id_of_code, len(words), out)
            for split, table in documents.filters.items()
        }
    finally:
        staged.close()  # the file of texts is as large as the data
    figures: dict[str, Any] = {
        "labels": len(words),
        **decision.figures,
        "labels_without_text": words["text"].null_count(),
    }
    _log_counts(figures, policies)
    figures["labels_a_document"] = round(figures.pop("train_pairs") / figures["train"], 3)
    figures["labels_a_test_document"] = round(figures.pop("test_pairs") / figures["test"], 3)
    figures |= {f"filter_pairs_{split}": count for split, count in pairs.items()}
    rows |= {filter_file(out, split).name: count for split, count in pairs.items() if count}
    return figures, rows


def _stage(documents: DocumentSet, staged: Staging) -> None:
    with progress("Reading documents", None, "documents", scale=True) as bar:
        for split, batches in documents.splits.items():
            for batch in batches:
                staged.add(batch, SPLITS[split])
                bar.update(len(batch))
    staged.finish()
    warn_of_missing("text", staged.missing)
    warn_of_repeated_labels(staged.repeating, len(staged.keys))


def _check(documents: DocumentSet, staged: Staging) -> None:
    """Check the labels of all documents, and compare those of the splits."""
    names, table = staged.labels.names, documents.label_table
    check_labels(names, staged.codes, len(staged.keys), table, separated=not documents.one_label)
    if "test" in documents.splits:
        of_test = np.repeat(staged.split == TEST, np.diff(staged.indptr))
        compare_splits(names, staged.codes[~of_test], staged.codes[of_test])


def _warn_of_scattered(staged: Staging, policies: Policies) -> bool:
    """Warn of documents that are rows of a text and a label; returns whether it did."""
    one = (np.diff(staged.indptr) == 1) & ~staged.empty
    if policies.repeated == "keep" or one.sum() < ONE_LABEL * len(one):
        return False
    codes = staged.codes[staged.indptr[:-1][one]]
    # A text in both splits is no earlier one.
    texts = staged.keys[one] ^ staged.split[one].astype(np.uint64)
    return warn_of_scattered(texts, codes, staged.labels.names)


def _log_counts(figures: Mapping[str, Any], policies: Policies) -> None:
    """Log all counts and the policies that decided, in one line."""
    counts = [
        f"{name.replace('_', ' ')} {figures.get(name, 0):,} ({getattr(policies, policy)})"
        for name, policy in POLICY_OF_COUNT.items()
    ]
    counts += [f"{name.replace('_', ' ')} {figures.get(name, 0):,}" for name in PLAIN_COUNTS]
    logger.info("read %s: %s", f"{figures['documents_given']:,} documents", ", ".join(counts))


def read_documents(folder: Path, split: str, rows: int = 8192) -> Iterator[pa.RecordBatch]:
    """Yield the documents of a split (train or test) of a raw artifact, in batches of `rows`.

    They are in the order of the file, with the columns of schema.RAW_DOCUMENTS.
    """
    with pyarrow.parquet.ParquetFile(folder / f"{split}.parquet") as file:
        yield from file.iter_batches(rows)


def read_labels(folder: Path) -> pa.Table:
    """The label vocabulary of an artifact (see schema.LABELS); row i is label id i."""
    return pyarrow.parquet.read_table(folder / LABELS_FILE)


def _id_of_code(words: pl.DataFrame, num_codes: int) -> npt.NDArray[np.int32]:
    """The label id of each code, int32 [codes]; -1 for codes that were dropped."""
    ids = np.full(num_codes, -1, np.int32)
    codes = words["code"].fill_null(-1).to_numpy()
    known = codes >= 0
    ids[codes[known]] = np.flatnonzero(known)
    return ids


def _write(
    staged: Staging, decision: Decision, words: pl.DataFrame, id_of_code: npt.NDArray[np.int32], out: Path
) -> dict[str, int]:
    """Write labels.parquet and both splits from the staged documents; returns the number of rows by file."""
    pyarrow.parquet.write_table(words.select("label", "text").to_arrow().cast(LABELS), out / LABELS_FILE)
    files = {TRAIN_FILE: decision.keep & ~decision.is_test, TEST_FILE: decision.keep & decision.is_test}
    first = 0
    with ExitStack() as stack:
        bar = stack.enter_context(progress("Writing documents", len(decision.keep), "documents", scale=True))
        writers = {
            name: stack.enter_context(ParquetFileWriter(out / name, RAW_DOCUMENTS, compression="zstd"))
            for name in files
        }
        for batch in staged.texts():
            last = first + batch.num_rows
            for name, mask in files.items():
                writers[name].write_batch(_rows(batch, mask[first:last], staged, id_of_code, first))
            bar.update(last - first)
            first = last
    return {**{name: int(mask.sum()) for name, mask in files.items()}, LABELS_FILE: len(words)}


def _rows(
    batch: pa.RecordBatch,
    mask: npt.NDArray[np.bool_],
    staged: Staging,
    id_of_code: npt.NDArray[np.int32],
    first: int,
) -> pa.RecordBatch:
    """The rows of a batch that `mask` selects, with sorted label ids.

    `first` is the row of the batch's first document in `staged`, which has the codes of the labels.
    """
    lengths = np.diff(staged.indptr[first : first + len(mask) + 1])
    owner = np.repeat(np.arange(len(mask)), lengths)
    ids = id_of_code[staged.codes[staged.indptr[first] : staged.indptr[first + len(mask)]]]
    pairs = mask[owner] & (ids >= 0)
    owner, ids = owner[pairs], ids[pairs]
    ids = ids[np.lexsort((ids, owner))]  # by document, then by id
    lengths = np.bincount(owner, minlength=len(mask))[mask]
    labels = pa.ListArray.from_arrays(pa.array(row_offsets(lengths), pa.int32()), pa.array(ids, pa.int32()))
    chosen = batch.filter(pa.array(mask))
    return pa.record_batch([chosen.column("id"), chosen.column("text"), labels], schema=RAW_DOCUMENTS)


def _write_filter(
    table: pa.Table,
    split: str,
    staged: Staging,
    decision: Decision,
    id_of_code: npt.NDArray[np.int32],
    num_labels: int,
    out: Path,
) -> int:
    """Write the filter pairs whose document and label stayed, renumbered; returns the number of pairs."""
    rows, labels = table["row"].to_numpy(), table["label"].to_numpy()
    staged_rows = np.flatnonzero(staged.split == SPLITS[split])
    if len(rows) and int(rows.max()) >= len(staged_rows):
        raise XmcpipeError(
            f"filter pairs of {split}: expected rows below {len(staged_rows):,}, got {int(rows.max()):,}",
            "check that the filter file and the documents belong to the same dataset",
        )
    # The new number of a kept row is the number of kept rows before it.
    new_row = np.cumsum(decision.keep[staged_rows]) - 1
    # A label of a filter pair may have no document. If no label table lists it either, it has no code.
    known = labels < len(id_of_code)
    rows, ids = rows[known], id_of_code[labels[known]]
    stays = decision.keep[staged_rows[rows]] & (ids >= 0)
    pairs = FilterPairs.of(new_row[rows[stays]], ids[stays], num_labels)
    pairs.write(out, split)
    return len(pairs)
