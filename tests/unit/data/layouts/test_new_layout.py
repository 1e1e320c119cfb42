"""A new layout is one object and one line in the table, and the import and the registry know it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.layout_folders import lines, write
from xmcpipe.config import from_table
from xmcpipe.data.layouts import Layout, LayoutOptions, catalog
from xmcpipe.data.layouts.layout import Files
from xmcpipe.data.raw.documents import DocumentSet
from xmcpipe.data.registry import Mirror
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.importing import IMPORT, ImportConfig, source
from xmcpipe.stages.stage import Result


def read(files: Files, options: LayoutOptions) -> DocumentSet:
    """Lines `label|text`."""

    def batches(path: Path) -> list[pl.DataFrame]:
        rows = [line.split("|", 1) for line in path.read_text(options.encoding).splitlines()]
        columns = {"text": [text for _, text in rows], "labels": [[label] for label, _ in rows]}
        return [pl.DataFrame({"id": [str(number) for number in range(len(rows))], **columns})]

    return DocumentSet({split: batches(files[f"{split}_text"]) for split in ("train", "test")})


FASTTEXT = Layout(
    "fasttext", required={"train_text": ("ft.train",), "test_text": ("ft.test",)}, read=read
)  # the one object


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(catalog, "LAYOUTS", (*catalog.LAYOUTS, FASTTEXT))  # the one line
    write(tmp_path / "given/below/ft.train", lines(["red|a fox", "blue|a bird"]))
    write(tmp_path / "given/below/ft.test", lines(["blue|a fish"]))
    return tmp_path / "given"


def config(folder: Path, **keys: Any) -> ImportConfig:
    return from_table(ImportConfig, {"folder": str(folder), **keys}, "import")


def run(config: ImportConfig, folder: Path) -> Result:
    out = folder / "out"
    out.mkdir(parents=True)
    return IMPORT.run(config, {}, out, folder)


def test_it_is_imported_by_detection_and_by_name(folder: Path, tmp_path: Path) -> None:
    for name in ("auto", "fasttext"):
        result = run(config(folder, layout=name), tmp_path / name)
        assert result.rows == {"train.parquet": 2, "test.parquet": 1, "labels.parquet": 2}
        assert pl.read_parquet(tmp_path / name / "out/labels.parquet")["label"].to_list() == ["blue", "red"]
    assert source(config(folder)) == source(config(folder, layout="fasttext"))


def test_a_name_like_it_gets_a_hint(folder: Path) -> None:
    with pytest.raises(XmcpipeError, match=r"layout: unknown layout 'fastext' .did you mean 'fasttext'"):
        config(folder, layout="fastext")


def test_a_layout_can_be_named_without_loading_polars() -> None:
    """`xmcpipe --help` and a recipe's check name layouts, and polars takes a while to load."""
    program = (
        "import sys; from xmcpipe.stages.importing import ImportConfig\n"
        "ImportConfig(folder='x', layout='pecos'); sys.exit('polars' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_mirrors_of_the_registry_may_have_it(folder: Path) -> None:
    assert Mirror("https", "https://a.example/b.tar.gz", "fasttext").layout == "fasttext"


def test_titles_of_it_are_refused_because_it_has_no_fields(folder: Path) -> None:
    from xmcpipe.data.layouts import read_layout

    with pytest.raises(XmcpipeError, match="expected documents with titles, got layout fasttext"):
        read_layout(folder, "fasttext", LayoutOptions(titles_only=True))
