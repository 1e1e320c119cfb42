"""The layout of AttentionXML: a file with a text per line, and one with its label names per line."""

from xmcpipe.data.layouts.layout import RAW_TEXTS, Files, Layout, LayoutOptions
from xmcpipe.data.raw.documents import DocumentSet


def _read(files: Files, options: LayoutOptions) -> DocumentSet:
    from xmcpipe.data.layouts.readers.text import read_texts_and_label_names  # imports polars

    return read_texts_and_label_names(files, options)


ATTENTIONXML = Layout(
    "attentionxml",
    required={**RAW_TEXTS, "train_labels": ("train_labels.txt",), "test_labels": ("test_labels.txt",)},
    read=_read,
)
