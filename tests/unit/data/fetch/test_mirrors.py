"""The mirrors of a set in order: each failure a line, nothing kept that isn't good, one download for many."""

import gzip
import hashlib
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.web_site import Site
from xmcpipe.data.fetch import gdrive, mirrors
from xmcpipe.data.fetch.kept import Kept, downloading, folder_of, in_cache, remove
from xmcpipe.data.fetch.mirrors import BadArchiveError, UnexpectedContentError, first_good
from xmcpipe.data.registry import Counts, Dataset, Mirror, Propensity
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


def taken(archive: Path, sha256: str, _: Mirror) -> tuple[bytes, str]:
    return archive.read_bytes(), sha256


def kept_files(of: Dataset) -> list[str]:
    folder = folder_of(of)
    return sorted(path.suffix for path in folder.iterdir()) if folder.is_dir() else []


def test_the_first_that_gives_it_counts_and_is_kept(site: Site) -> None:
    site.put("/b.gz", BODY)
    site.put("/c.gz", BODY)
    tiny = dataset(*(mirror(site, f"/{name}.gz") for name in "abc"))
    assert first_good(tiny, taken) == (BODY, SHA)
    assert [path for path, _ in site.asked] == ["/a.gz", "/b.gz"]
    assert kept_files(tiny) == [".archive", ".json"]
    assert first_good(tiny, taken) == (BODY, SHA)  # kept, so nobody is asked, the first one neither
    assert len(site.asked) == 2
    assert sorted(path.name for path in folder_of(tiny).parent.iterdir()) == ["tiny"]


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"body": b"<html><title>Sign in</title>", "kind": "text/html"}, "a web page came .*: Sign in"),
    ({"body": b'{"error": "quota"}'}, "begins with b'{\"error\"', and is no tar.gz, zip or gz"),
    ({"body": b""}, "begins with b'', and is no tar.gz"),
    ({"body": BODY, "cuts": [20] * 99, "ranges": False}, "broke off after 20 of"),
    ({"body": BODY, "before": [503] * 99}, "503 Service Unavailable"),
    ({"body": BODY, "sha256": "0" * 64}, f"sha256 {SHA[:12]}…, 000000000000… was wanted"),
]


@pytest.mark.parametrize(("fault", "says"), FAULTS)
def test_a_fault_is_a_line_and_then_the_next(
    site: Site, fault: dict[str, Any], says: str, log_lines: list[str]
) -> None:
    sha256 = fault.get("sha256")
    site.put("/a.gz", **{key: value for key, value in fault.items() if key != "sha256"})
    site.put("/b.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz", sha256=sha256), mirror(site, "/b.gz", sha256=SHA))
    assert first_good(tiny, taken) == (BODY, SHA)
    (line,) = log_lines
    assert line.startswith("Tiny-1: mirror 1 of 2 failed: ")
    assert re.search(says, line), line
    bad = Kept(folder_of(tiny), tiny.mirrors[0])
    assert not bad.archive.exists()
    assert not bad.record.exists()


def test_an_archive_that_proves_bad_is_thrown_away(site: Site) -> None:
    site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"))

    def bad(*_: Any) -> None:
        raise BadArchiveError("it holds nothing")

    with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
        first_good(tiny, bad)
    assert kept_files(tiny) == []


def test_one_that_is_not_understood_is_kept_and_proved_anew(site: Site, log_lines: list[str]) -> None:
    site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"))

    def odd(*_: Any) -> None:
        raise UnexpectedContentError("it holds 3 documents")

    for _ in range(2):
        with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
            first_good(tiny, odd)
        part = Kept(folder_of(tiny), tiny.mirrors[0]).part
        assert log_lines.pop().endswith(f"failed: it holds 3 documents; to take it as it is: --from {part}")
        assert part.read_bytes() == BODY
        assert kept_files(tiny) == [".json", ".part"]
    assert first_good(tiny, taken) == (BODY, SHA)
    assert len(site.asked) == 1


def test_what_came_is_kept_where_it_is_not_at_fault(site: Site) -> None:
    site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"), mirror(site, "/b.gz"))

    def refused(*_: Any) -> None:
        raise XmcpipeError("3 documents repeat")

    with pytest.raises(XmcpipeError, match="3 documents repeat"):
        first_good(tiny, refused)
    assert kept_files(tiny) == [".json", ".part"]
    assert first_good(tiny, taken) == (BODY, SHA)
    assert len(site.asked) == 1
    assert kept_files(tiny) == [".archive", ".json"]


def test_the_first_good_hash_is_the_one_that_counts(site: Site, log_lines: list[str]) -> None:
    served = site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"))
    first_good(tiny, taken)
    kept = Kept(folder_of(tiny), tiny.mirrors[0])
    kept.archive.write_bytes(BODY[:-1])
    assert first_good(tiny, taken) == (BODY, SHA)
    assert "was changed since it was fetched" in "".join(log_lines)
    kept.archive.unlink()
    served.body = gzip.compress(b"another")
    with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
        first_good(tiny, taken)
    assert f"to accept it, remove {kept.record}" in "".join(log_lines)
    assert kept_files(tiny) == [".json"]
    kept.record.unlink()
    assert first_good(tiny, taken)[0] == served.body


def test_a_record_that_is_broken_is_said(site: Site, log_lines: list[str]) -> None:
    site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"))
    first_good(tiny, taken)
    record = Kept(folder_of(tiny), tiny.mirrors[0]).record
    record.write_text("{")
    with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
        first_good(tiny, taken)
    assert f"{record} can't be read" in "".join(log_lines)


def test_when_all_fail_one_message_says_what_to_do(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gdrive, "BASE", site.address)
    tiny = dataset(mirror(site, "/a.gz"), Mirror("gdrive", "0123456789", "pecos"))
    with pytest.raises(XmcpipeError) as caught:
        first_good(tiny, taken)
    assert caught.value.message == "Tiny-1: none of its 2 mirrors gave it"
    for part in (
        "https://page.example/xc",
        f"{site.address}/a.gz",
        f"{site.address}/file/d/0123456789/view",
        "https://folder.example/f",
        "`xmcpipe download tiny --from PATH`",
        "`xmcpipe run RECIPE --from PATH`",
    ):
        assert part in caught.value.hint


def test_runs_at_once_share_one_download(site: Site) -> None:
    site.put("/a.gz", BODY)
    tiny, found = dataset(mirror(site, "/a.gz")), []
    start = threading.Barrier(6)

    def run() -> None:
        start.wait()
        found.append(first_good(tiny, taken))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(BODY, SHA)] * 6
    assert len(site.asked) == 1


def test_what_is_in_the_cache_can_be_removed_and_no_file_of_anybody_else(site: Site) -> None:
    site.put("/a.gz", BODY)
    tiny = dataset(mirror(site, "/a.gz"))
    first_good(tiny, taken)
    kept = Kept(folder_of(tiny), tiny.mirrors[0])
    begun = Kept(folder_of(tiny), mirror(site, "/b.gz")).part
    for path in (begun, begun.with_name(f"{begun.name}.json"), begun.with_name("mine.archive")):
        path.write_bytes(b"x")
    assert set(in_cache()) == {kept.archive, begun}
    with downloading(tiny):
        assert in_cache() == []
    for path in in_cache():
        remove(path)
    assert sorted(folder_of(tiny).iterdir()) == sorted([kept.record, begun.with_name("mine.archive")])
    served = site.put("/a.gz", gzip.compress(b"another"))
    with pytest.raises(XmcpipeError, match="none of its 1 mirrors"):
        first_good(tiny, taken)  # the hash is still known
    served.body = BODY
    assert first_good(tiny, taken) == (BODY, SHA)


def test_a_cache_that_cannot_be_written(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(XmcpipeError, match=r"the cache can't be written: .*XMCPIPE_CACHE"):
        first_good(dataset(mirror(site, "/a.gz")), taken)
    assert mirrors.KINDS.keys() == {"https", "gdrive", "dropbox"}
