"""One file over HTTP: complete whatever happens on the way, and never another file's bytes."""

import errno
import json
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.web_site import Site
from xmcpipe.data.fetch import transfer as module
from xmcpipe.data.fetch import web
from xmcpipe.data.fetch.transfer import Note, remove_partial, transfer
from xmcpipe.data.fetch.web import WebError
from xmcpipe.errors import XmcpipeError

BODY = random.Random(7).randbytes(5000)
OTHER = random.Random(8).randbytes(4000)
SIZES = st.integers(0, len(BODY))
# Function-scoped fixtures are shared by all examples on purpose: each example first clears what it uses.
FEW = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "archive.part"


def note(place: Path) -> dict[str, Any]:
    return dict(json.loads(place.with_name(f"{place.name}.json").read_text()))


def write_note(place: Path, address: str, validator: str, length: int) -> None:
    text = json.dumps({"address": address, "validator": validator, "length": length})
    place.with_name(f"{place.name}.json").write_text(text)


@FEW
@given(st.lists(SIZES, max_size=5), st.booleans(), st.booleans())
@example([0, 1, 4999], True, True)
def test_a_connection_cut_after_any_bytes_ends_with_the_right_ones(
    site: Site, place: Path, cuts: list[int], ranges: bool, length: bool
) -> None:
    remove_partial(place)
    site.put("/a", BODY, cuts=list(cuts), ranges=ranges, length=length)
    transfer(f"{site.address}/a", place)
    assert place.read_bytes() == BODY
    assert note(place)["length"] == len(BODY)


@FEW
@given(SIZES, st.sampled_from(["same", "none", "broken", "other file", "changed", "no validator", "weak"]))
def test_the_right_bytes_arrive_after_any_killed_attempt(
    site: Site, place: Path, kept: int, state: str
) -> None:
    remove_partial(place)
    site.requests.clear()
    served = site.put("/a", BODY, etag='W/"1"' if state == "weak" else None)
    address = f"{site.address}/a"
    place.write_bytes((OTHER + BODY if state in ("changed", "other file", "none") else BODY)[:kept])
    if state == "broken":
        place.with_name("archive.part.json").write_text('{"address": ')
    elif state != "none":
        tag = {"changed": '"old"', "no validator": "", "weak": ""}.get(state, served.tag)
        write_note(place, "elsewhere" if state == "other file" else address, tag, len(BODY))
    whole = kept == len(BODY)
    if state in ("changed", "no validator", "weak") and whole:
        return  # by its note it is complete, and this module doesn't know its sha256
    transfer(address, place)
    assert place.read_bytes() == BODY
    resumes = state == "same" and 0 < kept < len(BODY)
    ranges = [range_ for _, range_ in site.requests]
    if state == "same":
        assert ranges == ([] if whole else [f"bytes={kept}-" if resumes else ""])


def test_an_attempt_resumes_the_one_before_it(
    site: Site, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRIES", 0)
    site.put("/a", BODY, cuts=[1234])
    with pytest.raises(WebError, match="a: connection broke after 1,234 of 5,000 bytes"):
        transfer(f"{site.address}/a", place)
    assert place.read_bytes() == BODY[:1234]
    transfer(f"{site.address}/a", place)
    assert place.read_bytes() == BODY
    assert site.requests == [("/a", ""), ("/a", "bytes=1234-")]
    transfer(f"{site.address}/a", place)  # it is complete
    assert len(site.requests) == 2


def test_the_next_process_resumes_after_a_kill(site: Site, place: Path) -> None:
    """SIGKILL ends the first process in the middle of the second piece."""
    body = random.Random(9).randbytes(3 << 18)
    site.put("/a", body)
    program = (
        "import os, signal, sys; from pathlib import Path; from xmcpipe.data.fetch import transfer, web\n"
        "read, pieces = web.read_piece, []\n"
        "def kill(*arguments):\n"
        "    pieces.append(read(*arguments))\n"
        "    if len(pieces) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return pieces[-1]\n"
        "web.read_piece = kill; transfer.transfer(sys.argv[1], Path(sys.argv[2]))"
    )
    finished = subprocess.run([sys.executable, "-c", program, f"{site.address}/a", str(place)], check=False)
    assert finished.returncode == -9
    left = place.stat().st_size
    assert 0 < left < len(body)
    transfer(f"{site.address}/a", place)
    assert place.read_bytes() == body
    assert site.requests[-1] == ("/a", f"bytes={left}-")


@pytest.mark.parametrize("conditions", [True, False])
@pytest.mark.parametrize("body", [OTHER, OTHER[:100], BODY[::-1]])
def test_a_file_that_changed_is_fetched_from_its_beginning(
    site: Site, place: Path, body: bytes, conditions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRIES", 0)
    site.put("/a", BODY, cuts=[2000])
    with pytest.raises(WebError):
        transfer(f"{site.address}/a", place)
    site.put("/a", body, conditions=conditions)
    transfer(f"{site.address}/a", place)
    assert place.read_bytes() == body
    assert len(site.requests) == (2 if conditions else 3)


def test_a_length_that_is_stated_later_counts_too(site: Site, place: Path) -> None:
    served = site.put("/a", BODY, cuts=[1000, 500])
    place.write_bytes(BODY[:10])
    write_note(place, f"{site.address}/a", served.tag, -1)
    transfer(f"{site.address}/a", place)
    assert place.read_bytes() == BODY
    assert [range_ for _, range_ in site.requests] == ["bytes=10-", "bytes=1010-", "bytes=1510-"]


def test_last_modified_serves_without_an_etag(site: Site, place: Path) -> None:
    site.put("/a", BODY, etag="", modified="Sat, 11 Jul 2026 10:16:37 GMT", cuts=[3000])
    transfer(f"{site.address}/a", place)
    assert (place.read_bytes(), site.requests[-1]) == (BODY, ("/a", "bytes=3000-"))
    for tag in ("", 'W/"weak"'):  # without a strong validator, nothing is resumed
        remove_partial(place)
        site.put("/a", BODY, etag=tag, cuts=[3000])
        transfer(f"{site.address}/a", place)
        assert (place.read_bytes(), site.requests[-1]) == (BODY, ("/a", ""))


def test_a_quota_page_does_not_replace_the_bytes_on_disk(site: Site, place: Path) -> None:
    served = site.put(
        "/a", b"<!DOCTYPE html><title>Too many\n downloads</title>", kind="text/html; charset=utf-8"
    )
    place.write_bytes(BODY[:2000])
    write_note(place, f"{site.address}/a", '"tag"', len(BODY))
    with pytest.raises(WebError, match="expected a file, got a web page: Too many downloads"):
        transfer(f"{site.address}/a", place)
    assert place.read_bytes() == BODY[:2000]
    served.body, served.kind, served.etag = BODY, "application/zip", '"tag"'
    transfer(f"{site.address}/a", place)
    assert place.read_bytes() == BODY
    assert site.requests[-1] == ("/a", "bytes=2000-")


def test_a_page_is_known_by_its_first_bytes_too(site: Site, place: Path) -> None:
    site.put("/a", b"\n <HTML lang=en><body>no")
    with pytest.raises(WebError, match="expected a file, got a web page: without a title"):
        transfer(f"{site.address}/a", place)
    assert not place.exists()


def test_a_server_that_is_overloaded_in_between(site: Site, place: Path) -> None:
    served = site.put("/a", BODY, cuts=[1000])
    original = web.open_url

    def overloaded(*arguments: Any) -> Any:
        if len(site.requests) == 1:
            served.before = [503, 429]
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "open_url", overloaded)
        transfer(f"{site.address}/a", place)
    assert place.read_bytes() == BODY
    assert len(site.requests) == 4


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_a_refusal_is_not_waited_for(site: Site, place: Path, status: int) -> None:
    site.put("/a", BODY, before=[status] * 9)
    with pytest.raises(WebError, match=f"/a can't be fetched: {status} ") as caught:
        transfer(f"{site.address}/a", place)
    assert (len(site.requests), caught.value.status) == (1, status)
    assert not place.exists()


def test_retries_end_if_the_connection_keeps_breaking(site: Site, place: Path) -> None:
    site.put("/a", BODY, cuts=[10] * 50)
    with pytest.raises(WebError, match="connection broke after 60 of 5,000 bytes"):
        transfer(f"{site.address}/a", place)
    assert len(site.requests) == module.RETRIES + 1


def test_progress_allows_more_retries(site: Site, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROGRESS_BYTES", 300)
    site.put("/a", BODY, cuts=[300] * 16)
    transfer(f"{site.address}/a", place)
    assert place.read_bytes() == BODY
    # without ranges, every attempt starts again: that is no progress
    remove_partial(place)
    site.put("/a", BODY, cuts=[400] * 50, ranges=False)
    with pytest.raises(WebError, match="connection broke after 400"):
        transfer(f"{site.address}/a", place)


def test_more_bytes_than_were_promised(site: Site, place: Path) -> None:
    place.write_bytes(BODY[:1000])
    write_note(place, f"{site.address}/a", '"tag"', 3000)
    headers = {"Content-Range": "bytes 1000-2999/3000"}
    answer = SimpleNamespace(
        status=206, headers=headers, read1=lambda _, pieces=[BODY, b"", b""]: pieces.pop(0)
    )
    with pytest.raises(WebError, match="a: expected 3,000 bytes, got more"):
        module._Transfer(f"{site.address}/a", place, module.refuse_web_page, str, "")._receive(
            answer, "/a", Note(f"{site.address}/a", '"tag"', 3000)
        )
    assert not place.exists()


def test_a_disk_without_space_is_noticed_before_the_download(
    site: Site, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put("/a", BODY)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=4999))
    with pytest.raises(WebError, match=r"disk full: a has 0 MB, but only 0 MB are free in .*XMCPIPE_CACHE"):
        transfer(f"{site.address}/a", place)
    assert not place.exists()


def test_a_disk_that_fills_up_gets_its_space_back(
    site: Site, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    site.put("/a", BODY)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WebError, match="disk full: no space left for a in "):
        transfer(f"{site.address}/a", place)
    assert list(place.parent.glob("archive*")) == []


def test_a_redirect_is_followed_but_not_from_https_to_http(site: Site, place: Path) -> None:
    site.put("/a", b"", location="/b")
    site.put("/b", BODY, cuts=[77])
    transfer(f"{site.address}/a", place)
    assert place.read_bytes() == BODY
    assert site.requests[-2:] == [("/a", "bytes=77-"), ("/b", "bytes=77-")]
    handler, request = web._Redirects(), SimpleNamespace(full_url="https://a/b")
    with pytest.raises(OSError, match="redirects to http://a/c, which isn't https"):
        handler.redirect_request(request, None, 302, "", {}, "http://a/c")


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/a", "http://[bad", "none://a", "http://127.0.0.1/ä b"]
)
def test_an_address_that_leads_nowhere(place: Path, address: str) -> None:
    with pytest.raises(XmcpipeError, match=r"can't be fetched: \S"):
        transfer(address, place)
    assert not place.exists()


def test_a_check_sees_the_first_bytes(site: Site, place: Path) -> None:
    def check(start: bytes, kind: str) -> None:
        raise XmcpipeError(f"{start[:3]!r} of {kind}")

    site.put("/a", b"abcdef", kind="text/plain")
    with pytest.raises(XmcpipeError, match="b'abc' of text/plain"):
        transfer(f"{site.address}/a", place, check)
    assert not place.exists()
