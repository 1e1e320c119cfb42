"""DOWNLOAD of a registered set: from its mirrors or by hand, whole and counted."""

import errno
import gzip
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.small_sets import (
    COUNTS,
    FILES,
    LABELS,
    TEST,
    TRAIN,
    tar_of,
    use_lines_layout,
    use_registry,
    zip_of,
)
from tests.web_site import Site, running_site
from xmcpipe.config import from_table
from xmcpipe.data.fetch import dropbox, gdrive, transfer
from xmcpipe.data.fetch.archives import CachedArchive
from xmcpipe.data.registry import Mirror
from xmcpipe.data.sources.unpack import Limits
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.download import DOWNLOAD, DownloadConfig
from xmcpipe.stages.stage import Result

GDRIVE = {"kind": "gdrive", "address": "1234567890", "layout": "lines"}
DROPBOX = {"kind": "dropbox", "address": "abc/h?rlkey=key", "layout": "lines"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with running_site() as site:
        monkeypatch.setattr(gdrive, "BASE", site.address)
        monkeypatch.setattr(dropbox, "BASE", site.address)
        monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.0)
        monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "*")
        use_lines_layout(monkeypatch)
        yield site


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


def test_from_a_plain_url(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, https(site))
    served = site.put("/tiny.tar.gz", tar_of(), cuts=[100])
    result = run(tmp_path)
    require_whole(tmp_path / "out-0")
    assert {key: result.figures[key] for key in COUNTS} == COUNTS
    assert (result.figures["version"], result.figures["layout"]) == ("one", "lines")
    assert result.source == hashlib.sha256(served.body).hexdigest()
    assert run(tmp_path) == result
    assert len(site.asked) == 2  # once, in two pieces


def test_from_google_drive_after_its_page(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, GDRIVE)
    form = b'<html><form id="download-form" action="/get"><input type="hidden" name="uuid" value="1"></form>'
    site.put("/uc", form, kind="text/html")
    site.put("/get", zip_of(), cuts=[10])
    run(tmp_path)
    require_whole(tmp_path / "out-0")


def test_from_a_dropbox_folder(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, DROPBOX)
    site.put("/scl/fo/abc/h?rlkey=key&dl=1", zip_of(), length=False, ranges=False, etag="")
    run(tmp_path)
    require_whole(tmp_path / "out-0")


SHORT = {**FILES, "tiny/test.lines": TEST[0]}
FEWER = {**FILES, "tiny/labels.lines": LABELS.replace("none\n", "")}
UNREADABLE = {**FILES, "tiny/train.lines": "no tab\n"}
FAULTS = [
    (tar_of(SHORT), "expected 2 test documents, got 1"),
    (tar_of({**FILES, "tiny/train.lines": ""}), "has a line without a tab .utf-8"),
    (tar_of(FEWER), r"expected 6 \+ 2 documents, 5 labels, got 6 \+ 2 documents, 4 labels"),
    (tar_of(UNREADABLE), "has a line without a tab"),
    (tar_of({"tiny/X.trn.npz": "x"}), "holds bags of words and no text .text is needed: the PECOS mirrors"),
    (tar_of()[:-9], "was not unpacked: it is broken or truncated"),
    (tar_of({**FILES, "../x": "x"}), "was not unpacked: the path '../x'"),
    (b"<html><title>Quota</title>", "expected a file, got a web page: Quota"),
]


@pytest.mark.parametrize(("body", "says"), FAULTS)
def test_a_mirror_that_gives_something_else_is_passed_over(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
    says: str,
    told: list[str],
) -> None:
    use_registry(tmp_path, monkeypatch, https(site, "/bad.tar.gz"), GDRIVE)
    site.put("/bad.tar.gz", body, length=False)
    site.put("/uc", zip_of())
    result = run(tmp_path)
    require_whole(tmp_path / "out-0")
    assert result.figures["mirror"] == "gdrive 1234567890"
    (line,) = told
    assert re.search(f"^Tiny-5: mirror 1 of 2 failed: .*{says}", line), line
    kept = sorted((tmp_path / "cache/archives/tiny").glob("*.archive"))
    assert [path.name.partition("-")[0] for path in kept] == ["gdrive"]


def member(**fields: Any) -> bytes:
    """An archive with the set and one more member, of these fields of a tar header."""
    buffer = io.BytesIO(gzip.decompress(tar_of()))
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        header = tarfile.TarInfo(fields.pop("name", "tiny/more"))
        for key, value in fields.items():
            setattr(header, key, value)
        tar.addfile(header, io.BytesIO(bytes(header.size)))
    return gzip.compress(buffer.getvalue())


BOMB, CUT = 1 << 20, "cut connection"
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "page": (
        {"body": b"<html><title>Sign in</title>", "kind": "text/html"},
        "page.*: Sign in",
    ),
    "truncated": ({"body": tar_of()[:-20]}, "was not unpacked: it is broken or truncated"),
    CUT: ({"body": tar_of(), "cuts": [30] * 99, "ranges": False}, "connection broke"),
    "wrong hash": ({"body": tar_of()}, "expected sha256 000000000000…"),
    "full disk": ({"body": tar_of()}, "disk full: no space left"),
    "bomb": ({"body": member(size=BOMB)}, "unpack to more than 1.0 MB"),
    "traversal": ({"body": member(name="../../x")}, "the path '../../x' is not a valid path below a folder"),
    "absolute": ({"body": member(name="/tmp/x")}, "the path '/tmp/x' is not a valid path below a folder"),
    "link": ({"body": member(type=tarfile.SYMTYPE, linkname="/etc")}, "is a link or a device"),
    "hard link": ({"body": member(type=tarfile.LNKTYPE, linkname="/etc/passwd")}, "is a link or a device"),
    "device": ({"body": member(type=tarfile.CHRTYPE)}, "is a link or a device"),
}


@pytest.mark.parametrize("kind", ["https", "gdrive", "dropbox"])
@pytest.mark.parametrize("fault", sorted(BROKEN))
def test_every_fault_of_every_kind_of_mirror_is_a_line_and_then_the_next(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str], kind: str, fault: str
) -> None:
    answer, says = BROKEN[fault]
    first = {"https": https(site, "/bad"), "gdrive": GDRIVE, "dropbox": DROPBOX}[kind]
    path = {"https": "/bad", "gdrive": "/uc", "dropbox": "/scl/fo/abc/h"}[kind]
    use_registry(
        tmp_path,
        monkeypatch,
        {**first, **({"sha256": "0" * 64} if fault == "wrong hash" else {})},
        https(site),
    )
    site.put(path, **{**answer, "cuts": list(answer.get("cuts", []))}, length=kind != "dropbox")
    served = site.put("/tiny.tar.gz", tar_of())
    monkeypatch.setattr("xmcpipe.data.sources.unpack.Limits", partial(Limits, free=BOMB - 1))
    if fault == "full disk":
        full_once(monkeypatch)
    result = run(tmp_path)
    require_whole(tmp_path / "out-0")
    assert result.figures["mirror"].startswith(f"https {site.address}/tiny")
    (line,) = told
    assert re.search(f"^Tiny-5: mirror 1 of 2 failed: .*{says}", line), line
    folder = tmp_path / "cache/archives/tiny"
    good = CachedArchive(folder, Mirror("https", https(site)["address"], "lines"))
    left = {path for path in folder.iterdir() if path not in (good.archive, good.record)}
    assert good.archive.read_bytes() == served.body
    # what broke off stays to be gone on from; nothing else does
    assert {"".join(path.suffixes) for path in left} <= ({".part", ".part.json"} if fault == CUT else set())
    assert not (tmp_path / "x").exists()  # where ../../x leads from the folder it is unpacked to


def full_once(patch: pytest.MonkeyPatch) -> None:
    """Let the disk be full when the first file is to be on it, and have room from then on."""
    sync, failures = os.fsync, [OSError(errno.ENOSPC, "No space left on device")]

    def fsync(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        sync(descriptor)

    patch.setattr(transfer.os, "fsync", fsync)


def test_when_no_mirror_gives_it_what_came_can_be_taken_as_it_is(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, https(site), DROPBOX)
    site.put("/tiny.tar.gz", tar_of(SHORT))
    with pytest.raises(
        XmcpipeError, match=r"Tiny-5: none of its 2 mirrors has a valid archive \(download .*page\.example/xc"
    ):
        run(tmp_path)
    assert list((tmp_path / "out-0").iterdir()) == []
    assert not list((tmp_path / "cache/archives/tiny").glob("*.archive"))
    (part,) = (tmp_path / "cache/archives/tiny").glob("*.part")
    assert run(tmp_path, archive=str(part)).figures["test"] == 1


TWO = [{"name": "one", **COUNTS, "source": "us"}, {"name": "two", **COUNTS, "labels": 9, "source": "them"}]


def test_a_version_that_is_not_known_is_told_and_not_required(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    use_registry(tmp_path, monkeypatch, https(site), versions=TWO)
    site.put("/tiny.tar.gz", tar_of())
    assert run(tmp_path).figures["version"] == "one"
    use_registry(tmp_path, monkeypatch, https(site, "/short"), versions=TWO)
    site.put("/short", tar_of(SHORT))
    assert run(tmp_path).figures["version"] == "unknown"
    assert told == [
        "Tiny-5 has 6 + 1 documents, 5 labels, which match no published version: "
        "6 + 2 documents, 5 labels (us); 6 + 2 documents, 9 labels (them)"
    ]
    use_registry(tmp_path, monkeypatch, https(site, version="two"), versions=TWO)
    with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
        run(tmp_path)


def test_a_label_that_only_the_test_has_counts_or_not(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, https(site), versions=[{"name": "one", **COUNTS, "labels": 4}])
    site.put("/tiny.tar.gz", tar_of())
    assert run(tmp_path).figures["labels"] == 5  # d is unseen: four labels without it


def test_by_hand(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    use_registry(tmp_path, monkeypatch, https(site))
    archive, folder = tmp_path / "mine.tgz", tmp_path / "mine"
    archive.write_bytes(tar_of(SHORT))
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    result = run(tmp_path, archive=str(archive))
    assert result.source == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert "which match no published version" in "".join(told)  # a miniature is as good as any
    assert run(tmp_path, archive=str(folder)).figures["version"] == "one"
    require_whole(tmp_path / "out-1")
    assert site.asked == []
    source = DOWNLOAD.source
    assert source is not None
    config = from_table(DownloadConfig, {"dataset": "tiny", "archive": str(folder)}, "download")
    before = source(config)
    (folder / "README").write_text("not read")
    assert source(config) == before
    (folder / "tiny/labels.lines").write_text(LABELS[::-1])
    assert source(config) != before


def test_by_hand_and_wrong(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, https(site))
    (tmp_path / "page.zip").write_text("<html>")
    (tmp_path / "empty").mkdir()
    for name, says in {
        "none.zip": "expected an archive or a folder, but .*none.zip does not exist",
        "page.zip": "page.zip was not unpacked: expected tar.gz, zip or gz, got a file that begins with b'<h",
        "empty": "empty holds no dataset of a known layout",
    }.items():
        with pytest.raises(XmcpipeError, match=says):
            run(tmp_path, archive=str(tmp_path / name))


def test_policies_keep_all_unless_one_says_otherwise(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(tmp_path, monkeypatch, https(site))
    site.put("/tiny.tar.gz", tar_of())
    result = run(tmp_path, repeated="drop", no_labels="drop", min_label_count=1)
    assert (result.figures["train"], result.figures["test"], result.figures["labels"]) == (4, 2, 4)
    assert result.figures["repeated_texts"] == 1
    with pytest.raises(XmcpipeError, match="1 documents repeat an earlier text"):
        run(tmp_path, repeated="refuse")
    assert len(site.asked) == 1  # the archive is not at fault, and stays


def test_keys_of_other_datasets(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_registry(tmp_path, monkeypatch, https(site))
    for table, says in (
        ({"dataset": "tiny", "documents": 5}, "documents was given, tiny has no such key"),
        ({"dataset": "debian", "archive": "x"}, "archive was given, debian has no such key"),
        ({"dataset": "tyni"}, r"there is no 'tyni' \(did you mean 'tiny'"),
        ({"dataset": ["tiny"]}, "a string was wanted"),
    ):
        with pytest.raises(XmcpipeError, match=says):
            from_table(DownloadConfig, table, "download")
