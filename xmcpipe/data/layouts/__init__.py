"""Public datasets in a folder: texts in one file, labels in another, label names in a third.

    layout         texts                 labels                    label names and texts
    attentionxml   *_raw_texts.txt       *_labels.txt, names       the names
    xtransformer   *_raw_texts.txt       Y.*.npz, CSR              label_map.txt
    pecos          X.*.txt               Y.*.npz, CSR              lbl.json, else output-items.txt
    xc_raw         trn.json, tst.json    target_ind, in them       lbl.json, else Y.txt or Yf.txt
    x_y            *_X.txt, *.raw.txt    *_X_Y.txt, *_X_Y.npz      lbl.json, else label.raw.txt, Y.txt, Yf.txt

Text and JSON may be compressed (.gz), and all files may be in subfolders. trn.raw.json is another name for
trn.json, and lines of *.raw.txt may be `id->text`. In a layout with a file of label names, a label is a row
of that file, and documents and filter pairs refer to it by the row number: labels keep the repository's
order, whatever their names.

Each layout is one module, which describes its files and how to read them, and one line in `catalog`. Nothing
here imports polars before documents are read.
"""

from dataclasses import replace
from pathlib import Path

from xmcpipe.data.layouts.catalog import find_layout, layout_names
from xmcpipe.data.layouts.detect import NoTextError, detect_layout, layout_files
from xmcpipe.data.layouts.layout import Layout, LayoutOptions
from xmcpipe.data.raw.documents import DocumentSet
from xmcpipe.errors import XmcpipeError

__all__ = [
    "Layout",
    "LayoutOptions",
    "NoTextError",
    "detect_layout",
    "find_layout",
    "layout_files",
    "layout_names",
    "read_layout",
]


def read_layout(folder: Path, name: str, options: LayoutOptions) -> DocumentSet:
    """The documents, label names and filter pairs of a dataset in `folder`, in the layout called `name`.

    Label files are read at once, texts when the batches are iterated. Raises XmcpipeError, with the file and,
    if there is one, the line: at once for missing files, labels out of range, label files that don't fit each
    other and `titles_only` in a layout without titles; while reading for bytes that aren't in
    `options.encoding`, broken JSON, and files with more or fewer texts than labels.
    """
    layout, files = find_layout(name), layout_files(folder, name)
    if options.titles_only and not layout.has_fields:
        raise XmcpipeError(
            f"expected documents with titles, got layout {name}, where each line is a whole text",
            "remove titles_only, or use the raw JSON of the dataset",
        )
    documents = layout.read(files, options)
    filters = {split: files[f"filter_{split}"] for split in ("train", "test") if f"filter_{split}" in files}
    if not filters:
        return documents
    from xmcpipe.data.layouts.readers.pairs import read_pairs  # imports polars

    table = documents.label_table
    return replace(
        documents, filters={split: read_pairs(path, table, options) for split, path in filters.items()}
    )
