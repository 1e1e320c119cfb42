"""The URLs of each kind of mirror: Google Drive's pages, Dropbox's zips without a length."""

import io
import random
import zipfile
from pathlib import Path

import pytest

from tests.web_site import Site
from xmcpipe.data.fetch import dropbox, gdrive, https
from xmcpipe.data.fetch.transfer import transfer
from xmcpipe.errors import XmcpipeError

ID = "1Xd4BPFy1RPmE7MEXMu77E2"
BODY = random.Random(1).randbytes(3000)
FORM = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<form id="other" action="/no"><input type="hidden" name="bad" value="1"></form>
<p class="uc-warning-subcaption">big.zip (1.2G) is too large for Google to scan for viruses.</p>
<form id="download-form" action="{action}" method="get"><input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="{id}"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t&amp;u"><input type="hidden" name="uuid" value="123">
</form></html>"""
LINK = '<html><title>Google Drive</title><a href="/uc?export=download&amp;confirm=t&amp;id=X">Download</a>'
QUOTA = """<html><head><title>Google Drive - Quota exceeded</title></head><body>
<p class="uc-error-caption">Sorry, you can&#39;t view or download this file at this time.</p>
<p class="uc-error-subcaption">Too many users have viewed or downloaded this file.</p></body></html>"""
SIGN_IN = "<!doctype html><html><head><title>Sign in -\n Google Accounts</title></head></html>"
HTML = "text/html; charset=utf-8"


@pytest.fixture
def drive(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(gdrive, "BASE", site.address)
    return site


def fetch(folder: Path, address: str = ID) -> bytes:
    transfer(address, folder / "x.part", locate=gdrive.locate)
    return (folder / "x.part").read_bytes()


def test_a_small_file_is_sent_at_once(drive: Site, tmp_path: Path) -> None:
    drive.put("/uc", BODY, cuts=[None, 700])
    assert fetch(tmp_path) == BODY
    download = f"/uc?export=download&id={ID}"
    # every attempt asks Drive for the URL again
    assert drive.requests == [(download, ""), (download, ""), (download, ""), (download, "bytes=700-")]


@pytest.mark.parametrize("absolute", [True, False])
def test_a_large_file_is_behind_a_form(drive: Site, tmp_path: Path, absolute: bool) -> None:
    action = f"{drive.address}/download" if absolute else "/download?authuser=0"
    drive.put("/uc", FORM.format(action=action, id=ID).encode(), kind=HTML)
    drive.put("/download", BODY, cuts=[1, 2998])
    assert fetch(tmp_path) == BODY
    more = "" if absolute else "authuser=0&"
    path, last = drive.requests[-1]
    assert path == f"/download?{more}id={ID}&export=download&confirm=t%26u&uuid=123"
    assert last == "bytes=2999-"


def test_an_older_page_has_a_link(drive: Site, tmp_path: Path) -> None:
    drive.put(f"/uc?export=download&id={ID}", LINK.encode(), kind=HTML)
    drive.put("/uc?export=download&confirm=t&id=X", BODY)
    assert fetch(tmp_path) == BODY


def test_a_quota_page_states_the_reason(drive: Site, tmp_path: Path) -> None:
    drive.put("/uc", QUOTA.encode(), kind=HTML)
    says = f"sent a page instead of file {ID}: Google Drive - Quota exceeded: Sorry, you can't view"
    with pytest.raises(XmcpipeError, match=says):
        fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_quota_page_behind_the_form(drive: Site, tmp_path: Path) -> None:
    drive.put("/uc", FORM.format(action="/download", id=ID).encode(), kind=HTML)
    drive.put("/download", QUOTA.encode(), kind=HTML)
    with pytest.raises(XmcpipeError, match="expected a file, got a web page: Google Drive - Quota exceeded"):
        fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_that_requires_a_sign_in(drive: Site, tmp_path: Path) -> None:
    drive.put("/uc", b"", location="/ServiceLogin")
    drive.put("/ServiceLogin", SIGN_IN.encode(), kind=HTML)
    with pytest.raises(XmcpipeError, match="Sign in - Google Accounts"):
        fetch(tmp_path)


def test_a_deleted_file(drive: Site, tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match="404 Not Found"):
        fetch(tmp_path)


def test_a_dropbox_folder_comes_as_a_zip_without_length_or_ranges(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropbox, "BASE", site.address)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("train_labels.txt", "1 2\n")
    body = buffer.getvalue()
    site.put("/scl/fo/abc/h?rlkey=key&dl=1", body, length=False, ranges=False, etag="", cuts=[50])
    transfer("abc/h?rlkey=key", tmp_path / "x.part", locate=dropbox.locate)
    assert (tmp_path / "x.part").read_bytes() == body
    assert site.requests == [("/scl/fo/abc/h?rlkey=key&dl=1", "")] * 2


def test_pages_for_a_person() -> None:
    assert https.page("https://a/b.tar.gz") == "https://a/b.tar.gz" == https.locate("https://a/b.tar.gz")
    assert gdrive.page(ID) == f"https://drive.google.com/file/d/{ID}/view"
    assert dropbox.page("abc/h?rlkey=key") == "https://www.dropbox.com/scl/fo/abc/h?rlkey=key"
