"""The layout of the XC repository's raw text: a JSON object per line, with title, content, target_ind."""

from xmcpipe.data.layouts.layout import FILTER_FILES, XC_LABEL_NAMES, Files, Layout, LayoutOptions
from xmcpipe.data.raw.documents import DocumentSet


def _read(files: Files, options: LayoutOptions) -> DocumentSet:
    # These import polars.
    from xmcpipe.data.layouts.readers.names import read_names
    from xmcpipe.data.layouts.readers.xc_json import read_xc_json

    table = read_names(files, None, options)
    splits = {split: read_xc_json(files[f"{split}_text"], table, options) for split in ("train", "test")}
    return DocumentSet(splits, table)


XC_RAW = Layout(
    "xc_raw",
    required={"train_text": ("trn.json", "trn.raw.json"), "test_text": ("tst.json", "tst.raw.json")},
    optional={"names": XC_LABEL_NAMES, **FILTER_FILES},
    read=_read,
    has_fields=True,
)
