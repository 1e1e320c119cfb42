"""Mirrors that send for ever, send nothing, or lead elsewhere: a download of them ends."""

import lzma
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.web_site import Site
from xmcpipe.data.fetch import gdrive, web
from xmcpipe.data.fetch.archives import SLACK_BYTES, CachedArchive
from xmcpipe.data.fetch.transfer import transfer
from xmcpipe.data.fetch.web import WebError
from xmcpipe.data.registry import Mirror
from xmcpipe.data.sources import debian_release
from xmcpipe.data.sources.debian_release import IndexEntry, Release, fetch_release
from xmcpipe.errors import XmcpipeError


class Endless:
    """An answer that never ends, `size` bytes at a time; `told` is the Content-Length, if any."""

    def __init__(self, size: int, told: str = "") -> None:
        self.size, self.headers, self.url, self.sent = size, {"Content-Length": told}, "https://a/b", 0

    def read1(self, most: int) -> bytes:
        self.sent += self.size
        return b"x" * min(self.size, most)

    def __enter__(self) -> "Endless":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that web.py reads: a second for each look at it."""
    seconds = [0.0]

    def now() -> float:
        seconds[0] += 1.0
        return seconds[0]

    monkeypatch.setattr(web, "time", SimpleNamespace(monotonic=now))
    return seconds


@pytest.mark.parametrize("told", ["", "100"])
def test_an_endless_answer_ends_at_the_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str
) -> None:
    answer = Endless(1 << 16, told)
    monkeypatch.setattr(web, "open_url", lambda *_: answer)
    with pytest.raises(WebError, match="b: expected at most 1,000,000 bytes, got 1,"):
        transfer("https://a/b", tmp_path / "b", most_bytes=1_000_000)
    assert answer.sent < 2_000_000
    assert list(tmp_path.iterdir()) == []


def test_a_stated_length_beyond_the_limit_is_refused_at_once(site: Site, tmp_path: Path) -> None:
    site.put("/a", b"x" * 2000)
    with pytest.raises(WebError, match="a: expected at most 1,000 bytes, got 2,000 or more"):
        transfer(f"{site.address}/a", tmp_path / "a", most_bytes=1000)


def test_an_archive_may_have_some_more_bytes_than_the_registry_says(tmp_path: Path) -> None:
    mirror = Mirror("https", "https://a.org/b.zip", "xc_raw", bytes=10**9)
    assert CachedArchive(tmp_path, mirror)._most_bytes == 2 * 10**9 + SLACK_BYTES


def test_a_byte_a_second_is_given_up(clock: list[float]) -> None:
    answer = Endless(1)
    with pytest.raises(WebError, match=r"https://a/b: only 6\d bytes came in 60 seconds"):
        web.read_piece(answer, "https://a/b")
    assert answer.sent < 100


def test_a_slow_connection_is_read_on(clock: list[float]) -> None:
    assert len(web.read_piece(Endless(2000), "https://a/b")) >= web.SLOW_BYTES


@pytest.mark.parametrize(
    ("origin", "target", "fault"),
    [
        ("https://8.8.8.8/a", "http://8.8.4.4/b", "isn't https"),
        ("http://8.8.8.8/a", "http://8.8.4.4/b", "isn't https"),
        ("https://8.8.8.8/a", "file:///etc/passwd", "isn't https"),
        ("http://127.0.0.1/a", "file:///etc/passwd", "isn't https"),
        ("https://8.8.8.8/a", "ftp://8.8.4.4/b", "isn't https"),
        ("https://8.8.8.8/a", "https://127.0.0.1/b", "private address"),
        ("https://8.8.8.8/a", "https://localhost/b", "private address"),
        ("https://8.8.8.8/a", "https://169.254.169.254/latest", "private address"),
        ("https://8.8.8.8/a", "https://10.0.0.1/b", "private address"),
        ("https://8.8.8.8/a", "https://[::1]/b", "private address"),
        ("https://8.8.8.8/a", "https://[::ffff:10.0.0.1]/b", "private address"),
        ("https://8.8.8.8/a", "https://2130706433/b", "private address"),
    ],
)
def test_redirects_that_are_refused(origin: str, target: str, fault: str) -> None:
    with pytest.raises(OSError, match=fault):
        web.require_allowed(origin, target)


@pytest.mark.parametrize(
    ("origin", "target"),
    [
        ("https://8.8.8.8/a", "https://8.8.4.4/b"),
        ("http://8.8.8.8/a", "https://8.8.4.4/b"),
        ("http://127.0.0.1/a", "http://127.0.0.1:81/b"),
    ],
)
def test_redirects_that_are_followed(origin: str, target: str) -> None:
    web.require_allowed(origin, target)


def test_a_page_of_a_drive_leads_to_no_file_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    page = b'<html><form id="download-form" action="file:///etc/passwd"></form></html>'
    site.put("/uc", page, kind="text/html")
    monkeypatch.setattr(gdrive, "BASE", site.address)
    with pytest.raises(WebError, match=r"can't be followed: .*isn't https"):
        gdrive.locate("someid")


def test_an_endless_release_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_release, "MOST_RELEASE_BYTES", 1_000_000)
    monkeypatch.setattr(web, "open_url", lambda *_, **__: Endless(1 << 16))
    with pytest.raises(XmcpipeError, match="Release has more than 1,000,000 bytes"):
        fetch_release("https://a", "bookworm")


PACKED = lzma.compress(b"Package: a\n" * 100_000)


def with_dictionary(packed: bytes, size: int) -> bytes:
    """An .xz file whose header asks for a dictionary, of which `size` is the property of LZMA2."""
    data, begin = bytearray(packed), 12
    end = begin + 4 * (data[begin] + 1) - 4
    data[data.index(b"\x21\x01", begin) + 2] = size
    data[end : end + 4] = zlib.crc32(data[begin:end]).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "most", "fault"),
    [
        (PACKED, 1000, "more than it should"),
        (PACKED[:-20], 10**7, "truncated"),
        (with_dictionary(PACKED, 40), 10**7, "Memory usage limit exceeded"),  # 40: 4 GB
        (b"not xz", 10**7, "can't be unpacked"),
    ],
)
def test_an_index_that_unpacks_to_too_much(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, most: int, fault: str
) -> None:
    def download(url: str, listed: IndexEntry, path: Path) -> None:
        path.write_bytes(content)

    monkeypatch.setattr(debian_release, "_download", download)
    files = {"main/P.xz": IndexEntry("0" * 64, len(content)), "main/P": IndexEntry("0" * 64, most)}
    with pytest.raises(XmcpipeError, match=fault):
        Release("https://a", files).fetch("main/P", tmp_path)
