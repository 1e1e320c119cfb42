"""Reads folders of public datasets: texts are in one file, labels in another, and label names in a third.

    layout         texts                 labels                    label names and texts
    attentionxml   *_raw_texts.txt       *_labels.txt, names       the names
    xtransformer   *_raw_texts.txt       Y.*.npz, CSR              label_map.txt
    pecos          X.*.txt               Y.*.npz, CSR              lbl.json, else output-items.txt
    xc_raw         trn.json, tst.json    their key target_ind      lbl.json, else Y.txt or Yf.txt
    x_y            *_X.txt, *.raw.txt    *_X_Y.txt, *_X_Y.npz      lbl.json, else label.raw.txt, Y.txt, Yf.txt

Text and JSON files may be gzipped (.gz), and all files may be in subfolders. trn.raw.json is another name for
trn.json, and lines of *.raw.txt may be `id->text`. If a layout has a file of label names, documents and
filter pairs refer to a label by its row in that file. Labels therefore keep the order of the repository,
whatever their names are.

A layout is one module, which describes its files and how to read them, and one line in `table`. These modules
import polars only when documents are read.
"""

from dataclasses import replace
from pathlib import Path

from xmcpipe.data.layouts.detect import NoTextError, detect_layout, layout_files
from xmcpipe.data.layouts.layout import Layout, LayoutOptions
from xmcpipe.data.layouts.table import find_layout, layout_names
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
    """Read the documents, label names and filter pairs of a dataset in `folder`, in the layout called `name`.

    Label files are read by this call, and texts while the batches are iterated. Raises XmcpipeError, with the
    file and, if known, the line. The call raises it for missing files, labels out of range, label files that
    don't fit together, and `titles_only` in a layout without titles. The iteration raises it for bytes that
    aren't valid in `options.encoding`, broken JSON, and more or fewer texts than label rows.
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
