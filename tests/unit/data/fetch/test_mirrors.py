"""Mirrors in order: one log line per failure, only valid archives in the cache, parallel runs share one."""

import gzip
import hashlib
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.web_site import Site
from xmcpipe.data.fetch import gdrive
from xmcpipe.data.fetch.archives import (
    KINDS,
    CachedArchive,
    cached_archives,
    download_lock,
    folder_of,
    remove,
)
from xmcpipe.data.fetch.mirrors import BadArchiveError, UnexpectedContentError, from_first_valid
from xmcpipe.data.registry import ADDRESSES, Counts, Dataset, Mirror, Propensity
from xmcpipe.errors import XmcpipeError

BODY = gzip.compress(bytes(range(256)) * 20, mtime=0)
SHA = hashlib.sha256(BODY).hexdigest()


def dataset(*every: Mirror) -> Dataset:
    return Dataset(
        "tiny", "Tiny-1", (Counts("one", 1, 1, 1),), every, (Propensity(0.5, 1.5, "us"),), ("title",), 1.0,
        "https://page.example/xc", "none", "us 2026", folders=("https://folder.example/f",),
    )  # fmt: skip


def mirror(site: Site, path: str, **more: Any) -> Mirror:
    return Mirror("https", f"{site.address}{path}", "pecos", **more)


def content_of(archive: Path, sha256: str, _: Mirror) -> tuple[bytes, str]:
    return archive.read_bytes(), sha256


def cached_files(of: Dataset) -> list[str]:
    folder = folder_of(of)
    return sorted(path.suffix for path in folder.iterdir()) if folder.is_dir() else []


def test_the_first_valid_archive_counts_and_is_cached(site: Site) -> None:
    site.put("/b.gz", BODY)
    site.put("/c.gz", BODY)
    tiny = dataset(*(mirror(site, f"/{name}.gz") for name in "abc"))
    assert from_first_valid(tiny, content_of) == (BODY, SHA)
    assert [path for path, _ in site.requests] == ["/a.gz", "/b.gz"]
    assert cached_files(tiny) == [".archive", ".json"]
    assert from_first_valid(tiny, content_of) == (
        BODY,
        SHA,
    )  # cached: no request to a mirror
    assert len(site.requests) == 2
    assert sorted(path.name for path in folder_of(tiny).parent.iterdir()) == ["tiny"]


FAULTS: list[tuple[dict[str, Any], str]] = [
    (
        {"body": b"<html><title>Sign in</title>", "kind": "text/html"},
        "expected a file, got a web page: Sign in",
    ),
    (
        {"body": b'{"error": "quota"}'},
        "expected a tar.gz, zip or gz file, got one that begins with b'{\"error\"'",
    ),
    ({"body": b""}, "expected a tar.gz, zip or gz file, got one that begins with b''"),
    ({"body": BODY, "cuts": [20] * 99, "ranges": False}, "connection broke after 20 of"),
    ({"body": BODY, "before": [503] * 99}, "503 Service Unavailable"),
    ({"body": BODY, "sha256": "0" * 64}, f"expected sha256 000000000000…, got {SHA[:12]}…"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_a_fault_is_one_log_line_and_then_the_next_mirror_is_tried(
    site: Site, fault: dict[str, Any], message: str, log_lines: list[str]
) -> None:
    sha256 = fault.get("sha256")
    site.put("/a.gz", **{key: value for key, value in fault.items() if key != "sha256"})
    site.put("/b.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz", sha256=sha256), mirror(site, "/b.gz", sha256=SHA))
    assert from_first_valid(tiny, content_of) == (BODY, SHA)
    (line,) = log_lines
    assert line.startswith("Tiny-1: mirror 1 of 2 failed: ")
    assert re.search(message, line), line
    bad = CachedArchive(folder_of(tiny), tiny.mirrors[0])
    assert not bad.archive.exists()
    assert not bad.record.exists()


def test_a_bad_archive_is_deleted(site: Site) -> None:
    site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"))

    def bad(*_: Any) -> None:
        raise BadArchiveError("it holds nothing")

    with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
        from_first_valid(tiny, bad)
    assert cached_files(tiny) == []


def test_an_archive_with_unexpected_content_is_kept_and_checked_again(
    site: Site, log_lines: list[str]
) -> None:
    site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"))

    def odd(*_: Any) -> None:
        raise UnexpectedContentError("it holds 3 documents")

    for _ in range(2):
        with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
            from_first_valid(tiny, odd)
        part = CachedArchive(folder_of(tiny), tiny.mirrors[0]).part
        assert log_lines.pop().endswith(f"failed: it holds 3 documents; to use it as it is: --from {part}")
        assert part.read_bytes() == BODY
        assert cached_files(tiny) == [".json", ".part"]
    assert from_first_valid(tiny, content_of) == (BODY, SHA)
    assert len(site.requests) == 1


def test_the_download_is_kept_after_an_error_that_is_not_in_the_archive(site: Site) -> None:
    site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"), mirror(site, "/b.gz"))

    def refused(*_: Any) -> None:
        raise XmcpipeError("3 documents repeat")

    with pytest.raises(XmcpipeError, match="3 documents repeat"):
        from_first_valid(tiny, refused)
    assert cached_files(tiny) == [".json", ".part"]
    assert from_first_valid(tiny, content_of) == (BODY, SHA)
    assert len(site.requests) == 1
    assert cached_files(tiny) == [".archive", ".json"]


def test_the_first_valid_hash_is_recorded_and_required(site: Site, log_lines: list[str]) -> None:
    served = site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"))
    from_first_valid(tiny, content_of)
    cached = CachedArchive(folder_of(tiny), tiny.mirrors[0])
    cached.archive.write_bytes(BODY[:-1])
    assert from_first_valid(tiny, content_of) == (BODY, SHA)
    assert "has changed since its download" in "".join(log_lines)
    cached.archive.unlink()
    served.body = gzip.compress(b"another")
    with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
        from_first_valid(tiny, content_of)
    assert f"to accept the new file, delete {cached.record}" in "".join(log_lines)
    assert cached_files(tiny) == [".json"]
    cached.record.unlink()
    assert from_first_valid(tiny, content_of)[0] == served.body


def test_a_broken_record_is_reported(site: Site, log_lines: list[str]) -> None:
    site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"))
    from_first_valid(tiny, content_of)
    record = CachedArchive(folder_of(tiny), tiny.mirrors[0]).record
    record.write_text("{")
    with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
        from_first_valid(tiny, content_of)
    assert f"{record} can't be read" in "".join(log_lines)


def test_when_all_fail_one_error_has_a_hint(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gdrive, "BASE", site.address)
    tiny = dataset(mirror(site, "/a.gz"), Mirror("gdrive", "0123456789", "pecos"))
    with pytest.raises(XmcpipeError) as caught:
        from_first_valid(tiny, content_of)
    assert caught.value.message == "Tiny-1: none of its 2 mirrors has a valid archive"
    for part in (
        "https://page.example/xc",
        f"{site.address}/a.gz",
        f"{site.address}/file/d/0123456789/view",
        "https://folder.example/f",
        "`xmcpipe download tiny --from PATH`",
        "`xmcpipe run RECIPE --from PATH`",
    ):
        assert part in caught.value.hint


def test_parallel_runs_share_one_download(site: Site) -> None:
    site.put("/a.gz", BODY)
    tiny, found = dataset(mirror(site, "/a.gz")), []
    start = threading.Barrier(6)

    def run() -> None:
        start.wait()
        found.append(from_first_valid(tiny, content_of))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(BODY, SHA)] * 6
    assert len(site.requests) == 1


def test_only_the_caches_own_files_are_removed(site: Site) -> None:
    site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"))
    from_first_valid(tiny, content_of)
    cached = CachedArchive(folder_of(tiny), tiny.mirrors[0])
    partial = CachedArchive(folder_of(tiny), mirror(site, "/b.gz")).part
    for path in (partial, partial.with_name(f"{partial.name}.json"), partial.with_name("mine.archive")):
        path.write_bytes(b"x")
    assert set(cached_archives()) == {cached.archive, partial}
    with download_lock(tiny):
        assert cached_archives() == []
    for path in cached_archives():
        remove(path)
    assert sorted(folder_of(tiny).iterdir()) == sorted([cached.record, partial.with_name("mine.archive")])
    served = site.put("/a.gz", gzip.compress(b"another"))
    with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
        from_first_valid(tiny, content_of)  # the hash is still recorded
    served.body = BODY
    assert from_first_valid(tiny, content_of) == (BODY, SHA)


def test_a_cache_that_cannot_be_written(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(XmcpipeError, match=r"the cache can't be written: .*XMCPIPE_CACHE"):
        from_first_valid(dataset(mirror(site, "/a.gz")), content_of)


def test_every_kind_of_address_has_a_module() -> None:
    assert KINDS.keys() == ADDRESSES.keys()
