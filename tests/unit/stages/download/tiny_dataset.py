"""The registered set `tiny` and a web site that serves it, for the tests of `download`."""

from pathlib import Path
from typing import Any

import polars as pl

from tests.small_sets import FILES, LABELS, TEST, TRAIN
from tests.web_site import Site
from xmcpipe.config import from_table
from xmcpipe.stages.download import DOWNLOAD, DownloadConfig
from xmcpipe.stages.stage import Result

GDRIVE = {"kind": "gdrive", "address": "1234567890", "layout": "lines"}
DROPBOX = {"kind": "dropbox", "address": "abc/h?rlkey=key", "layout": "lines"}
SHORT = {**FILES, "tiny/test.lines": TEST[0]}


def https(site: Site, path: str = "/tiny.tar.gz", **more: Any) -> dict[str, Any]:
    return {"kind": "https", "address": f"{site.address}{path}", "layout": "lines", **more}


def run(folder: Path, **more: Any) -> Result:
    number = len(list(folder.glob("out-*")))
    out, scratch = folder / f"out-{number}", folder / f"scratch-{number}"
    out.mkdir()
    scratch.mkdir()
    config = from_table(DownloadConfig, {"dataset": "tiny", **more}, "download")
    try:
        result = DOWNLOAD.run(config, {}, out, scratch)
    finally:
        assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in out.iterdir()) == ["labels.parquet", "test.parquet", "train.parquet"]
    return result


def require_whole(out: Path) -> None:
    """The set as it was published."""
    names, texts = pl.read_parquet(out / "labels.parquet").get_columns()
    assert (names.to_list(), texts[0]) == (LABELS.split(), "text of b")
    for split, lines in {"train": TRAIN, "test": TEST}.items():
        frame = pl.read_parquet(out / f"{split}.parquet")
        assert frame["text"].to_list() == [line.partition("\t")[0] for line in lines]
        found = [sorted(names[each] for each in row) for row in frame["labels"].to_list()]
        assert found == [sorted(line.partition("\t")[2].split()) for line in lines]
