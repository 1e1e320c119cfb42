"""A registry of one small dataset, its archives, and a made-up layout that its files are in."""

import io
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from xmcpipe.data import registry
from xmcpipe.data.layouts import Layout, LayoutOptions, catalog
from xmcpipe.data.layouts.layout import Files
from xmcpipe.data.raw.documents import DocumentSet
from xmcpipe.errors import XmcpipeError

# Repeated, blank, unlabelled and leaked documents: in a published dataset, none of them is dropped.
TRAIN = ["one\ta b", "two\tb", "two\tb", "\ta", "three\t", "four\tc a"]
TEST = ["four\ta d", "five\tb"]
LABELS = "b\na\nnone\nd\nc\n"
COUNTS = {"train": 6, "test": 2, "labels": 5}
FILES = {
    "tiny/train.lines": "\n".join(TRAIN),
    "tiny/test.lines": "\n".join(TEST),
    "tiny/labels.lines": LABELS,
}
REGISTRY = """
[tiny]
title = "Tiny-5"
labels_per_document = 1.5
text_fields = {fields}
filter_files = {filters}
page = "https://page.example/xc"
licence = "none"
citation = "us 2026"
propensity = [{{ a = 0.5, b = 0.4, source = "us" }}]
versions = [{versions}]
mirrors = [{mirrors}]
"""


def tar_of(files: dict[str, str] = FILES) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(text.encode())
            tar.addfile(header, io.BytesIO(text.encode()))
    return buffer.getvalue()


def zip_of(files: dict[str, str] = FILES) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, text in files.items():
            zipped.writestr(name, text)
    return buffer.getvalue()


def use_registry(
    folder: Path,
    patch: pytest.MonkeyPatch,
    *mirrors: dict[str, Any],
    versions: list[dict[str, Any]] | None = None,
    fields: Sequence[str] = ("title",),
    filters: Sequence[str] = (),
) -> None:
    """Make `tiny`, with these mirrors and text fields, the only registered dataset."""

    def inline_table(facts: dict[str, Any]) -> str:
        return "{" + ", ".join(f"{key} = {value!r}" for key, value in facts.items()) + "}"

    counts = versions or [{"name": "one", **COUNTS, "source": "us"}]
    path = folder / f"registry-{len(list(folder.iterdir()))}.toml"
    path.write_text(
        REGISTRY.format(
            versions=", ".join(map(inline_table, counts)),
            mirrors=", ".join(map(inline_table, mirrors)),
            fields=list(fields),
            filters=list(filters),
        )
    )
    patch.setattr(registry, "FILE", path)


def _read_lines(files: Files, options: LayoutOptions) -> DocumentSet:
    def batches(path: Path) -> Iterator[pl.DataFrame]:
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")):
            text, tab, labels = line.partition("\t")
            if not tab:
                raise XmcpipeError(f"{path.name} has a line without a tab", options.encoding)
            yield pl.DataFrame(
                {"id": [f"{path.stem}-{number}"], "text": [text], "labels": [labels.split()]},
                schema={"id": pl.String, "text": pl.String, "labels": pl.List(pl.String)},
            )

    names = files["names"].read_text().split()
    table = pl.DataFrame({"label": names, "text": [f"text of {name}" for name in names]})
    return DocumentSet({split: batches(files[f"{split}_text"]) for split in ("train", "test")}, table)


LINES = Layout(
    "lines",
    required={"train_text": ("train.lines",), "test_text": ("test.lines",), "names": ("labels.lines",)},
    read=_read_lines,
)


def use_lines_layout(patch: pytest.MonkeyPatch) -> None:
    """Add the made-up layout LINES to the table: a text, a tab and labels per line, and a list of labels."""
    patch.setattr(catalog, "LAYOUTS", (*catalog.LAYOUTS, LINES))
