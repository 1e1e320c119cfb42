"""Mirrors that are a public file on Google Drive.

Drive gives small files at once. For a large one it answers with a page ("can't scan this file for viruses")
whose form, or in older pages a link, leads to the file. Where there is neither, the page says why the file
isn't to be had: a quota that was used up, or that one must sign in.

gdown knows these pages too, but its address can't be changed, and its resume takes the validator of the
answer at hand instead of that of the bytes on disk, so that a file that changed would be spliced.
"""

import re
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from xmcpipe.data.fetch import web
from xmcpipe.data.fetch.web import WebError

BASE = "https://drive.google.com"


def locate(address: str) -> str:
    """The URL that gives the bytes of the file of this id. Raises WebError where the page leads to none."""
    url = f"{BASE}/uc?export=download&id={address}"
    with web.open_url(url) as answer:
        start = web.read(answer, url)
        if not web.is_page(start, answer.headers.get("Content-Type", "")):
            return url
        found = confirmed(start, answer.url)
    if found is None:
        raise WebError(f"Google Drive shows a page instead of file {address}: {_reason(start)}", _HINT)
    return found


def page(address: str) -> str:
    """Where a person fetches it."""
    return f"{BASE}/file/d/{address}/view"


def confirmed(page: bytes, url: str) -> str | None:
    """The URL that a confirmation page at `url` leads to; None where it isn't one."""
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
        """Note what is looked for."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._within = given.get("id") == "download-form"
            if self._within:
                self.action = given.get("action", "")
        elif tag == "input" and self._within and given.get("type") == "hidden":
            self.hidden[given.get("name", "")] = given.get("value", "")
        elif tag == "a" and "/uc?export=download" in given.get("href", ""):
            self.link = given["href"]

    def handle_endtag(self, tag: str) -> None:
        """Note the form's end."""
        if tag == "form":
            self._within = False


_HINT = "open it in a browser: a quota is free again after a day"


def _reason(page: bytes) -> str:
    found = re.search(rb'class="uc-error-(?:sub)?caption"[^>]*>(.*?)</p>', page, re.DOTALL)
    said = web.one_line(found[1]) if found else ""
    return f"{web.page_title(page)}{': ' if said else ''}{said}"
