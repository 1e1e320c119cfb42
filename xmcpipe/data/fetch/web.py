"""Opens and reads URLs with the standard library. Every failure raises the same error, WebError."""

import functools
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from html import unescape
from http.cookiejar import CookieJar
from typing import IO, Any

import xmcpipe
from xmcpipe.errors import XmcpipeError

TIMEOUT_SECONDS = 30
PIECE_BYTES = 1 << 18  # read at a time: at most this much is lost if a connection breaks
# Status codes of a server that is overloaded or restarting: the same request may succeed later.
TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
_PAGE = re.compile(rb"\s*<(!doctype html|html|head|body|\?xml)\b", re.IGNORECASE)


class WebError(XmcpipeError):
    """The error for a URL that can't be fetched.

    `status` is the HTTP status, or 0 if there is none. `retryable` means that the same request may succeed
    later.
    """

    def __init__(self, message: str, hint: str = "", status: int = 0, retryable: bool = False) -> None:
        super().__init__(message, hint)
        self.status, self.retryable = status, retryable


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to http: without TLS, nothing would authenticate the bytes."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise urllib.error.URLError(f"it redirects to {newurl}, which isn't https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, headers: Mapping[str, str] | None = None, hint: str = "check the network") -> Any:
    """Request `url` with GET; returns the answer.

    It is a context manager with `read`, `headers`, `url` and, for HTTP, `status`.

    Raises WebError for every failure, including any status of 400 and above.
    """
    agent = {"User-Agent": f"xmcpipe/{xmcpipe.__version__}"}
    try:
        request = urllib.request.Request(url, headers={**agent, **(headers or {})})
        return _opener().open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()  # the error is also an open answer
        fault = f"{url} can't be fetched: {error.code} {error.reason}"
        raise WebError(fault, hint, error.code, error.code in TRANSIENT_STATUS) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, error, hint) from error


def read_piece(answer: IO[bytes], url: str, hint: str = "check the network") -> bytes:
    """The next PIECE_BYTES of an answer, or fewer at its end. Raises WebError if the connection breaks."""
    try:
        return answer.read(PIECE_BYTES)
    except http.client.IncompleteRead as error:
        raise WebError(f"{url}: the connection broke", hint, retryable=True) from error
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, error, hint) from error


def is_page(start: bytes, content_type: str) -> bool:
    """Whether an answer is a web page, judged by its content type and its first bytes."""
    return content_type.lower().startswith("text/html") or _PAGE.match(start) is not None


def page_title(page: bytes) -> str:
    """The title of a web page, in one line of at most 120 characters."""
    found = re.search(rb"<title[^>]*>(.*?)</title", page, re.IGNORECASE | re.DOTALL)
    return one_line(found[1] if found else b"") or "without a title"


def one_line(fragment: bytes) -> str:
    """The text of a fragment of HTML, in one line of at most 120 characters."""
    text = unescape(re.sub(r"<[^>]*>", " ", fragment.decode(errors="replace")))
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:120]


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    # Created at first use, so that it gets the proxies of the environment at that time. The cookies are those
    # that confirmation pages set (see gdrive.py).
    cookies = urllib.request.HTTPCookieProcessor(CookieJar())
    return urllib.request.build_opener(_NoDowngrade, cookies)


def _unreachable(url: str, error: Exception, hint: str) -> WebError:
    reason = getattr(error, "reason", None) or error or type(error).__name__
    return WebError(f"{url} can't be fetched: {reason}", hint, retryable=not isinstance(error, ValueError))
