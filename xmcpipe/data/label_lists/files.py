"""Reads `LabelLists` from users' files and from artifacts. The suffix of a file determines its format.

    .parquet                     columns labels and, optionally, id and scores; row group by row group
    .jsonl .ndjson .json (.gz)   the same keys, an object per line or one array; or PECOS' text2text output
    .csv .tsv (also .gz)         the same columns, or one row per label of a document (csv_table.py)
    .npz                         a SciPy matrix, one row per document, as PECOS writes it too (npz.py)
    .npy                         a dense array (dense.py)
    .txt .svm (also .gz)         lines of labels, as many systems write them (text_form.py)
    a folder                     an artifact of predictions, raw data or shards, with its vocabulary

Labels are integers or strings. Without ids, rows are joined by their number. Nothing is ever unpickled.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from xmcpipe.artifacts.versions import PREDICTIONS_VERSION
from xmcpipe.data.filter_pairs import FilterPairs
from xmcpipe.data.label_lists.builder import ListsBuilder
from xmcpipe.data.label_lists.dense import read_dense
from xmcpipe.data.label_lists.endings import COMPRESSED, kind_of
from xmcpipe.data.label_lists.json_lines import read_json_lines, require_labels
from xmcpipe.data.label_lists.lists import Int64s, Ints, LabelLists, Scores
from xmcpipe.data.label_lists.numbering import with_numbers
from xmcpipe.data.label_lists.table.column_names import named_columns
from xmcpipe.data.list_views import without_views
from xmcpipe.data.npz import CsrMatrix, read_csr
from xmcpipe.data.shards.files import Shards, shard_path
from xmcpipe.data.tables.checks.foreign import head_of, require_own_kind
from xmcpipe.data.tables.checks.opening import unpacked_name
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.lookalikes.inputs import require_upright

Role = Literal["predictions", "truth", "train", "filter"]
ROWS = 1 << 16  # maximum number of rows of a batch
BUFFER_BYTES = 1 << 20


def read_label_lists(path: Path, role: Role, top: int | None = None) -> LabelLists:
    """Read the label lists in `path`, a file or the folder of an artifact.

    In the role `predictions`, they have scores, and only labels that can be among the `top` best of their
    document. In the role `filter`, they are pairs that count neither as hits nor as misses. Raises
    XmcpipeError for a missing file, an unknown format, content of another format than the name states, a
    missing column and a column of a wrong type.
    """
    if path.is_dir():
        return _read_artifact(path, role, top)
    require_file(path, role)
    kind = kind_of(path, role)
    if kind not in COMPRESSED:
        own = kind if kind == "parquet" else f".{kind}"
        require_own_kind(path, head_of(path), own, by_format=False)
    builder = ListsBuilder(str(path), role == "predictions", top)
    if kind in READERS:
        return READERS[kind](path, role, builder)
    for batch in _parquet_batches(path, role) if kind == "parquet" else read_json_lines(path, role):
        builder.add(batch)
    # In a table inside an artifact, integer labels are ids in the vocabulary of that artifact.
    names = read_label_names(path.parent) if _in_artifact(path) else None
    if kind == "parquet" and names is None:
        names = _class_names(path)
    return builder.finish(names, None if names is None else len(names))


def _in_artifact(path: Path) -> bool:
    return (path.parent / "manifest.json").is_file() and (path.parent / "labels.parquet").is_file()


def _class_names(path: Path) -> pa.Array | None:
    """The names of the classes that labels number, string [L], if the file holds those of Hugging Face."""
    if b"huggingface" not in (pq.read_schema(path).metadata or {}):
        return None
    from xmcpipe.data.tables.arrow import class_names  # loads polars

    names = class_names(path, "parquet", "labels")
    return None if names is None or len(set(names)) < len(names) else pa.array(names, pa.string())


def _read_sparse(path: Path, role: Role, builder: ListsBuilder) -> LabelLists:
    matrix = read_csr(path)
    if role == "predictions":
        require_upright(str(path), matrix.indptr, matrix.indices, matrix.width)
    pieces = _matrix_pieces(matrix, role == "predictions")
    return _appended(pieces, role, builder).finish(width=matrix.width)


def _read_array(path: Path, role: Role, builder: ListsBuilder) -> LabelLists:
    pieces, width = read_dense(path, role)
    return _appended(pieces, role, builder).finish(width=width)


def _read_text(path: Path, role: Role, builder: ListsBuilder) -> LabelLists:
    """Read a text file in any of the forms of text_form.py."""
    # Imported here because they load polars, which few formats use.
    from xmcpipe.data.label_lists.text.forms import NAMED_FORMS
    from xmcpipe.data.label_lists.text.named_text import read_named_text
    from xmcpipe.data.label_lists.text.tab_text import TAB_FORMS, read_tab_text
    from xmcpipe.data.label_lists.text.text_form import open_text
    from xmcpipe.data.label_lists.text.xc_text import read_xc_text

    file = open_text(path, role)
    if file.form in NAMED_FORMS or file.form in TAB_FORMS:
        tabs = file.form in TAB_FORMS
        batches = read_tab_text(path, file.blocks, file.form) if tabs else read_named_text(file, role)
        for batch in batches:
            builder.add(batch)
        lists = with_numbers(builder.finish())
        return replace(lists, notes=(*lists.notes, file.note) if file.note else lists.notes)
    lists = _appended(read_xc_text(file, role), role, builder).finish(width=file.width)
    return replace(lists, untyped=file.width is None)


def _read_table(path: Path, role: Role, builder: ListsBuilder) -> LabelLists:
    """Read CSV or TSV."""
    from xmcpipe.data.label_lists.table.csv_table import has_columns, read_csv_table  # loads polars

    if unpacked_name(path).endswith(".tsv") and not has_columns(path):
        return _read_text(path, role, builder)  # LibMultiLabel and Annif end their files so too
    table = read_csv_table(path, role == "predictions")
    builder.add(table.batch)
    lists = builder.finish()
    order = (table.order,) if table.order and role != "train" else ()  # training labels are only counted
    return replace(lists, notes=(*lists.notes, *table.notes, *order), untyped=table.cells.untyped)


def _appended(
    pieces: Iterable[tuple[Int64s, Ints, Scores | None]], role: Role, builder: ListsBuilder
) -> ListsBuilder:
    """The builder with pieces appended; the values of true labels are noted."""
    for lengths, labels, values in pieces:
        if role in ("truth", "train") and values is not None:
            builder.note_grades(values)
        builder.append(lengths, builder.narrow(labels), values if role == "predictions" else None)
    return builder


def _matrix_pieces(matrix: CsrMatrix, scored: bool) -> Iterator[tuple[Int64s, Ints, Scores]]:
    """Yield (lengths, labels, values), some rows at a time.

    A stored zero is a valid score of a prediction, but in a label matrix it is not a label.
    """
    matrix = matrix if scored else matrix.without_zeros()
    for first in range(0, len(matrix), ROWS):
        indptr = matrix.indptr[first : first + ROWS + 1]
        pairs = slice(int(indptr[0]), int(indptr[-1]))
        yield np.diff(indptr), matrix.indices[pairs], matrix.values[pairs]


READERS: dict[str, Callable[[Path, Role, ListsBuilder], LabelLists]] = {
    "npz": _read_sparse,
    "npy": _read_array,
    "text": _read_text,
    "table": _read_table,
}


def filter_of_artifact(path: Path, truth: LabelLists) -> LabelLists | None:
    """The filter pairs of the test split in an artifact of raw data or shards, with a row per document.

    `path` is the folder of the artifact or its test.parquet, and `truth` the labels that were read from it.
    Returns None if there are no pairs.
    """
    folder = path.parent if path.name == "test.parquet" and _in_artifact(path) else path
    if not folder.is_dir() or truth.width is None:
        return None
    pairs = FilterPairs.read(folder, "test", truth.width)
    if not len(pairs):
        return None
    rows, labels = np.divmod(pairs.keys, truth.width)
    # Keys are sorted, so the pairs of row n are from the first row >= n to the first row >= n + 1.
    indptr = np.searchsorted(rows, np.arange(len(truth) + 1)).astype(np.int64)
    return LabelLists(f"{folder}, its filter", None, indptr, labels, None, truth.names, truth.width)


def read_training_lists(path: Path, propensity: str) -> LabelLists:
    """Read the training labels in `path`; with propensity `paper`, each label text is one more document.

    Such a document has that one label. Raises the errors of `read_label_lists`, and XmcpipeError if label
    texts must be counted but `path` has none.
    """
    if propensity == "standard":
        return read_label_lists(path, "train")
    if not shard_path(path, "label", 0).is_file():
        raise XmcpipeError(
            f"propensity 'paper' counts label texts as documents, and {path} has none",
            "name the artifact of shards as --train, or --set eval.propensity=standard",
        )
    names = read_label_names(path)
    indptr, labels = Shards(path, "train", "label").label_csr()
    return LabelLists(str(path), None, indptr, labels, None, names, len(names))


def read_label_names(folder: Path) -> pa.Array:
    """The label names of an artifact, string [L]: element i is the name of label id i."""
    path = require_file(folder / "labels.parquet", "vocabulary")
    return _names(path, path.stat().st_mtime_ns)


# Truth and training labels mostly have the same vocabulary, and millions of names are large: read them once.
# `modified_ns` is part of the key of the cache, so a file that changes is read again.
@lru_cache(maxsize=1)
def _names(path: Path, modified_ns: int) -> pa.Array:
    try:
        return pq.read_table(path, columns=["label"]).column("label").cast(pa.string()).combine_chunks()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise XmcpipeError(f"{path} can't be read as a vocabulary: {error}", "run the stage again") from error


def _read_artifact(folder: Path, role: Role, top: int | None) -> LabelLists:
    """Read the predictions of an artifact, or the labels of one of its splits."""
    split = "train" if role == "train" else "test"
    table = folder / ("predictions.parquet" if role == "predictions" else f"{split}.parquet")
    names = read_label_names(folder) if (folder / "labels.parquet").is_file() else None
    width = None if names is None else len(names)
    if table.is_file():
        builder = ListsBuilder(str(folder), role == "predictions", top)
        for batch in _parquet_batches(table, role):
            builder.add(batch)
        return builder.finish(names, width)
    if role != "predictions" and (folder / f"{split}-00000.arrow").is_file():
        shards = Shards(folder, split)
        indptr, labels = shards.label_csr()
        return LabelLists(str(folder), shards.ids(), indptr, labels, None, names, width)
    expected = "predictions" if role == "predictions" else "raw data or shards"
    raise XmcpipeError(
        f"{role}: expected an artifact of {expected}, got the folder {folder}",
        "name a file, or the folder that a stage wrote",
    )


def _is_list(kind: pa.DataType) -> bool:
    is_view = types.is_list_view(kind) or types.is_large_list_view(kind)
    return bool(is_view or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _parquet_batches(path: Path, role: Role) -> Iterator[pa.RecordBatch]:
    """Yield the known columns of a Parquet file in batches, after checking its version and columns."""
    try:
        # These settings make Arrow stream; by default, it holds all data that it has read until the end.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES) as file:
            version = (file.schema_arrow.metadata or {}).get(b"xmcpipe.predictions", b"1").decode()
            if version not in map(str, range(1, PREDICTIONS_VERSION + 1)):
                raise XmcpipeError(
                    f"{path}: expected predictions format 1 to {PREDICTIONS_VERSION}, got {version}",
                    "install a newer xmcpipe, or run `xmcpipe predict` again",
                )
            present = file.schema_arrow.names
            require_labels(path, present)
            lists = [field.name for field in file.schema_arrow if _is_list(field.type)]
            floats = [
                name for name in lists if types.is_floating(file.schema_arrow.field(name).type.value_type)
            ]
            named = named_columns(path, present, lists, role, floats)
            for batch in file.iter_batches(ROWS, columns=list(named)):
                names = [named[each] for each in batch.schema.names]
                yield pa.record_batch(list(map(without_views, batch.columns)), names=names)
    except (pa.ArrowException, OSError) as error:
        raise XmcpipeError(f"{path} can't be read as Parquet: {error}", "check the file") from error
