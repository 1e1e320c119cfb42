"""The layout of the XC repository's tools: a text per line; labels are in X_Y text files or CSR matrices."""

from xmcpipe.data.layouts.layout import FILTER_FILES, XC_LABEL_NAMES, Files, Layout, LayoutOptions
from xmcpipe.data.raw.documents import DocumentSet


def _read(files: Files, options: LayoutOptions) -> DocumentSet:
    from xmcpipe.data.layouts.readers.text import read_texts_and_matrices  # imports polars

    return read_texts_and_matrices(files, options)


X_Y = Layout(
    "x_y",
    required={
        "train_text": ("trn_X.txt", "train.raw.txt", "trn.raw.txt"),
        "test_text": ("tst_X.txt", "test.raw.txt", "tst.raw.txt"),
        "train_labels": ("trn_X_Y.txt", "trn_X_Y.npz"),
        "test_labels": ("tst_X_Y.txt", "tst_X_Y.npz"),
    },
    optional={"names": XC_LABEL_NAMES, **FILTER_FILES},
    read=_read,
)
