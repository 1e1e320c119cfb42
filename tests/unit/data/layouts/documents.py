"""Reads a folder of a layout into plain Python, for the tests in this folder."""

from pathlib import Path

import polars as pl

from tests.layout_folders import NAMES, TEST, TRAIN
from xmcpipe.data.layouts import LayoutOptions, detect_layout, read_layout
from xmcpipe.data.raw.documents import DocumentSet

Rows = list[tuple[str, list[str]]]
GOLDEN = {
    split: [(text, [NAMES[label] for label in labels]) for text, labels in documents]
    for split, documents in (("train", TRAIN), ("test", TEST))
}


def read(folder: Path, options: LayoutOptions | None = None, layout: str = "") -> DocumentSet:
    return read_layout(folder, layout or detect_layout(folder), options or LayoutOptions())


def rows(documents: DocumentSet) -> dict[str, Rows]:
    """Text and label names of all documents."""
    found = {}
    for split, batches in documents.splits.items():
        frames = list(batches)
        for frame in frames:
            assert frame.schema == {"id": pl.String, "text": pl.String, "labels": pl.List(pl.Int32)}
            assert not frame.null_count().sum_horizontal()[0]
        table = documents.label_table
        found[split] = [
            (text, [str(label) if table is None else table["label"][label] for label in labels])
            for frame in frames
            for text, labels in frame.select("text", "labels").rows()
        ]
    return found
