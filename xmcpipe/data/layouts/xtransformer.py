"""The layout of X-Transformer: a file with a text per line, and a CSR matrix with a row per text."""

from xmcpipe.data.layouts.layout import CSR_LABELS, FILTER_FILES, RAW_TEXTS, Files, Layout, LayoutOptions
from xmcpipe.data.raw.documents import DocumentSet


def _read(files: Files, options: LayoutOptions) -> DocumentSet:
    from xmcpipe.data.layouts.readers.text import read_texts_and_matrices  # imports polars

    return read_texts_and_matrices(files, options)


XTRANSFORMER = Layout(
    "xtransformer",
    required={**RAW_TEXTS, **CSR_LABELS},
    optional={"names": ("lbl.json", "label_map.txt", "output-items.txt"), **FILTER_FILES},
    read=_read,
)
