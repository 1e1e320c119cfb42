"""`download` of a registered set: faults of mirrors, each reported in one line before the next mirror."""

import errno
import gzip
import io
import os
import re
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.small_sets import FILES, LABELS, tar_of, use_registry, zip_of
from tests.unit.stages.download.tiny_dataset import DROPBOX, GDRIVE, SHORT, https, require_whole, run
from tests.web_site import Site
from xmcpipe.data.fetch.archives import CachedArchive
from xmcpipe.data.registry import Mirror
from xmcpipe.data.sources.unpack import Limits

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


@pytest.mark.parametrize(("body", "message"), FAULTS)
def test_a_mirror_with_other_content_is_skipped(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
    message: str,
    log_lines: list[str],
) -> None:
    use_registry(tmp_path, monkeypatch, https(site, "/bad.tar.gz"), GDRIVE)
    site.put("/bad.tar.gz", body, length=False)
    site.put("/uc", zip_of())
    result = run(tmp_path)
    require_whole(tmp_path / "out-0")
    assert result.figures["mirror"] == "gdrive 1234567890"
    (line,) = log_lines
    assert re.search(f"^Tiny-5: mirror 1 of 2 failed: .*{message}", line), line
    saved = sorted((tmp_path / "cache/archives/tiny").glob("*.archive"))
    assert [path.name.partition("-")[0] for path in saved] == ["gdrive"]


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
    "full disk": ({"body": tar_of()}, "disk full: "),
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
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log_lines: list[str],
    kind: str,
    fault: str,
) -> None:
    answer, message = BROKEN[fault]
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
    (line,) = log_lines
    assert re.search(f"^Tiny-5: mirror 1 of 2 failed: .*{message}", line), line
    folder = tmp_path / "cache/archives/tiny"
    good = CachedArchive(folder, Mirror("https", https(site)["address"], "lines"))
    left = {path for path in folder.iterdir() if path not in (good.archive, good.record)}
    assert good.archive.read_bytes() == served.body
    # an interrupted download stays, to be resumed; nothing else does
    assert {"".join(path.suffixes) for path in left} <= ({".part", ".part.json"} if fault == CUT else set())
    assert not (tmp_path / "x").exists()  # where ../../x leads from the folder it is unpacked to


def full_once(patch: pytest.MonkeyPatch) -> None:
    """Let the disk be full when the first file is synced, and have space from then on."""
    sync, failures = os.fsync, [OSError(errno.ENOSPC, "No space left on device")]

    def fsync(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        sync(descriptor)

    patch.setattr(os, "fsync", fsync)
