"""Mirrors that are public files on Google Drive.

Drive sends small files at once. For a large file, it answers with a page ("can't scan this file for viruses")
that has a form (older pages: a link) that leads to the file. A page with neither states why the file isn't
available: its quota is exceeded, or a login is required.

The package gdown can read these pages too, but it has two drawbacks. Its server address can't be changed, as
tests require. When it resumes, it compares with the validator of the current answer instead of that of the
bytes on disk, so a file that changed in between would be spliced from two versions.
"""

import re
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from xmcpipe.data.fetch import web
from xmcpipe.data.fetch.web import WebError

BASE = "https://drive.google.com"


def locate(address: str) -> str:
    """The URL of the bytes of the file with id `address`. Raises WebError if the page leads to no file."""
    url = f"{BASE}/uc?export=download&id={address}"
    with web.open_url(url) as answer:
        start = web.read_piece(answer, url)
        if not web.is_page(start, answer.headers.get("Content-Type", "")):
            return url
        target = confirmation_target(start, answer.url)
    if target is not None:
        try:
            web.require_allowed(url, target)
        except OSError as error:
            raise WebError(f"Google Drive's page can't be followed: {error}", _HINT) from error
    if target is None:
        raise WebError(f"Google Drive sent a page instead of file {address}: {_reason(start)}", _HINT)
    return target


def page(address: str) -> str:
    """The URL of the page where a person can download the file."""
    return f"{BASE}/file/d/{address}/view"


def confirmation_target(page: bytes, url: str) -> str | None:
    """The URL of the file that a confirmation page at `url` leads to; None for any other page."""
    reader = _Reader()
    reader.feed(page.decode(errors="replace"))
    if reader.action is None:
        return urljoin(url, reader.link) if reader.link else None
    parts = urlsplit(urljoin(url, reader.action))
    query = {**dict(parse_qsl(parts.query)), **reader.hidden}
    return urlunsplit(parts._replace(query=urlencode(query)))


class _Reader(HTMLParser):
    """Finds the form `download-form` with its hidden fields, or the link `uc?export=download…`."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.link: str | None = None
        self.hidden: dict[str, str] = {}
        self._within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the form's action, its hidden fields and the link."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._within = values.get("id") == "download-form"
            if self._within:
                self.action = values.get("action", "")
        elif tag == "input" and self._within and values.get("type") == "hidden":
            self.hidden[values.get("name", "")] = values.get("value", "")
        elif tag == "a" and "/uc?export=download" in values.get("href", ""):
            self.link = values["href"]

    def handle_endtag(self, tag: str) -> None:
        """Record the end of the form."""
        if tag == "form":
            self._within = False


_HINT = "open it in a browser; an exceeded quota is usually restored after a day"


def _reason(page: bytes) -> str:
    """The page's title and its error message, if there is one."""
    found = re.search(rb'class="uc-error-(?:sub)?caption"[^>]*>(.*?)</p>', page, re.DOTALL)
    caption = web.one_line(found[1]) if found else ""
    return f"{web.page_title(page)}{': ' if caption else ''}{caption}"
