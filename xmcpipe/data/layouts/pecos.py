"""The layout of PECOS: a file with a text per line, and a CSR matrix with a row of labels per text."""

from xmcpipe.data.layouts.layout import CSR_LABELS, FILTER_FILES, Files, Layout, LayoutOptions
from xmcpipe.data.raw.documents import DocumentSet


def _read(files: Files, options: LayoutOptions) -> DocumentSet:
    from xmcpipe.data.layouts.readers.text import read_texts_and_matrices  # imports polars

    return read_texts_and_matrices(files, options)


PECOS = Layout(
    "pecos",
    required={"train_text": ("X.trn.txt",), "test_text": ("X.tst.txt",), **CSR_LABELS},
    optional={"names": ("lbl.json", "output-items.txt"), **FILTER_FILES},
    read=_read,
)
