"""DOWNLOAD by dataset: the generator, and a package index from a folder."""

import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from xmcpipe.config import from_table, to_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.download import DOWNLOAD, DownloadConfig
from xmcpipe.stages.stage import Result


def run(out: Path, **table: Any) -> Result:
    out.mkdir()
    scratch = out.with_suffix(".scratch")
    scratch.mkdir()
    return DOWNLOAD.run(from_table(DownloadConfig, table, "download"), {}, out, scratch)


def write_mirror(folder: Path, packages: int) -> str:
    """A mirror whose packages p0, p1, … each depend on lib0 and one of lib0 … lib4."""
    stanzas = [f"Package: lib{number}\nDescription: library {number}\n" for number in range(5)]
    stanzas += [
        f"Package: p{number}\nDepends: lib{number % 5}, lib0, virtual\nDescription: program {number}\n"
        for number in range(packages)
    ]
    data = "\n".join(stanzas).encode()
    path = folder / "dists/s/main/binary-amd64/Packages"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    listed = f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-amd64/Packages\n"
    (folder / "dists/s/Release").write_text("Suite: s\nMD5Sum:\n 0 0 main/none\nSHA256:\n" + listed)
    return folder.as_uri()


def test_debian(tmp_path: Path) -> None:
    mirror = write_mirror(tmp_path / "mirror", 100)
    debian = {"dataset": "debian", "mirror": mirror, "suite": "s", "via": "https"}
    result = run(tmp_path / "all", **debian)
    assert result.figures["documents_given"] == 105
    assert result.figures["no_labels"] == 5
    assert (result.figures["train"] + result.figures["test"], result.figures["labels"]) == (100, 5)
    labels = pl.read_parquet(tmp_path / "all/labels.parquet").rows()
    assert labels == [(f"lib{number}", f"lib{number}: library {number}") for number in range(5)]
    part = run(tmp_path / "part", **debian, documents=60)
    assert part.figures["documents_given"] == 60
    assert part.source == result.source is not None
    again = run(tmp_path / "again", **debian, documents=60)
    assert again == part
    assert (tmp_path / "again/train.parquet").read_bytes() == (tmp_path / "part/train.parquet").read_bytes()


def test_synthetic(tmp_path: Path) -> None:
    result = run(tmp_path / "out", dataset="synthetic", documents=500, labels=30)
    assert result.figures["documents_given"] == 500
    assert result.figures["labels"] == pl.read_parquet(tmp_path / "out/labels.parquet")["text"].len() <= 30
    other = run(tmp_path / "other", dataset="synthetic", documents=500, labels=30, data_seed=1)
    assert other.figures != result.figures


def test_a_dataset_is_always_named() -> None:
    with pytest.raises(XmcpipeError, match="the key 'dataset' is missing"):
        from_table(DownloadConfig, {}, "download")
    with pytest.raises(
        XmcpipeError, match=r"download\.dataset: there is no dataset 'wiki' \(did you mean 'wiki500k'"
    ):
        from_table(DownloadConfig, {"dataset": "wiki"}, "download")
    with pytest.raises(XmcpipeError, match="expected 0 <= documents <= 1,000,000,000, got documents = -1"):
        from_table(DownloadConfig, {"dataset": "debian", "documents": -1}, "download")


def test_the_source_is_not_part_of_the_identity() -> None:
    near, far = (
        to_table(from_table(DownloadConfig, {"dataset": "debian", **more}, "download"), keys="identity")
        for more in ({"mirror": "file:///mirror", "via": "https"}, {})
    )
    assert near == far


@pytest.mark.parametrize("key", ["documents", "labels", "data_seed"])
def test_synthetic_without_end_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"expected 0 <= {key} <= "):
        DownloadConfig(dataset="synthetic", **{key: 10**19})  # type: ignore[arg-type]
