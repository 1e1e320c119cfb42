"""A registry of one small set, its archives, and a stand-in for the readers of layouts."""

import io
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from xmcpipe.data import registry
from xmcpipe.data.layouts import NoTextError
from xmcpipe.errors import XmcpipeError

# Repeated, blank, unlabelled and leaked documents: of a published set none of them goes.
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
    """Make `tiny`, with these mirrors and text fields, the one registered set."""

    def table(facts: dict[str, Any]) -> str:
        return "{" + ", ".join(f"{key} = {value!r}" for key, value in facts.items()) + "}"

    tables = versions or [{"name": "one", **COUNTS, "source": "us"}]
    path = folder / f"registry-{len(list(folder.iterdir()))}.toml"
    path.write_text(
        REGISTRY.format(
            versions=", ".join(map(table, tables)),
            mirrors=", ".join(map(table, mirrors)),
            fields=list(fields),
            filters=list(filters),
        )
    )
    patch.setattr(registry, "FILE", path)


@dataclass(frozen=True)
class _Options:
    text_fields: tuple[str, ...]
    text_separator: str
    encoding: str
    titles_only: bool = False


@dataclass(frozen=True)
class _Sources:
    splits: dict[str, Any]
    label_table: pl.DataFrame | None
    filters: dict[str, Any]


def stand_in() -> ModuleType:
    """What xmcpipe.data.layouts promises, for a layout of lines: text, tab, labels; and a list of labels."""
    module: Any = ModuleType("xmcpipe.data.layouts")

    def layout_files(folder: Path, layout: str) -> dict[str, Path]:
        if layout != "pecos" or not list(folder.rglob("train.lines")):
            raise XmcpipeError(f"{folder.name} has no train.lines")
        return {path.stem: path for path in sorted(folder.rglob("*.lines"))}

    def detect_layout(folder: Path) -> str:
        if not list(folder.rglob("train.lines")):
            raise NoTextError(f"{folder.name} holds bags of words and no text", "the PECOS mirror has it")
        return "pecos"

    def batches(path: Path, encoding: str) -> Any:
        for line in path.read_text(encoding="utf-8").split("\n"):
            text, tab, labels = line.partition("\t")
            if not tab:
                raise XmcpipeError(f"{path.name} has a line without a tab", encoding)
            number = len(seen := ids.setdefault(path.stem, []))
            seen.append(number)
            yield pl.DataFrame(
                {"id": [f"{path.stem}-{number}"], "text": [text], "labels": [labels.split()]},
                schema={"id": pl.String, "text": pl.String, "labels": pl.List(pl.String)},
            )

    def read_layout(folder: Path, layout: str, options: _Options) -> _Sources:
        ids.clear()
        files = layout_files(folder, layout)
        splits = {split: batches(files[split], options.encoding) for split in ("train", "test")}
        names = files["labels"].read_text().split()
        table = pl.DataFrame({"label": names, "text": [f"text of {name}" for name in names]})
        return _Sources(splits, table, {})

    ids: dict[str, list[int]] = {}
    module.LayoutOptions, module.Sources, module.NoTextError = _Options, _Sources, NoTextError
    module.detect_layout, module.layout_files, module.read_layout = detect_layout, layout_files, read_layout
    return module


def use_stand_in(patch: pytest.MonkeyPatch) -> None:
    """Let the readers of layouts be the stand-in."""
    patch.setattr("xmcpipe.data.sources.registered.layouts", stand_in())
