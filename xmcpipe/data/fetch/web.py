"""Opening and reading what a URL names, with the standard library, and one error for all that fails."""

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
PIECE_BYTES = 1 << 18  # read at a time: what a broken connection may lose
# What a server says when it is overloaded or being restarted: later it may well say something else.
PASSING = {408, 429, 500, 502, 503, 504}
_PAGE = re.compile(rb"\s*<(!doctype html|html|head|body|\?xml)\b", re.IGNORECASE)


class WebError(XmcpipeError):
    """A URL that can't be had. `status` is HTTP's, else 0; `again`: the same may succeed in a moment."""

    def __init__(self, message: str, hint: str = "", status: int = 0, again: bool = False) -> None:
        super().__init__(message, hint)
        self.status, self.again = status, again


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Redirects are followed, but not from a connection that vouches for the bytes to one that doesn't."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise urllib.error.URLError(f"it redirects to {newurl}, which isn't https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, headers: Mapping[str, str] | None = None, hint: str = "check the network") -> Any:
    """The answer to a GET of `url`: a context manager with `read`, `headers`, `url`, and `status` over HTTP.

    Raises WebError for whatever goes wrong, any status of 400 and above among it.
    """
    agent = {"User-Agent": f"xmcpipe/{xmcpipe.__version__}"}
    try:
        request = urllib.request.Request(url, headers={**agent, **(headers or {})})
        return _opener().open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        fault = f"{url} can't be fetched: {error.code} {error.reason}"
        raise WebError(fault, hint, error.code, error.code in PASSING) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, error, hint) from error


def read(answer: IO[bytes], url: str, hint: str = "check the network") -> bytes:
    """The next bytes of an answer, PIECE_BYTES but at its end. Raises WebError where it breaks off."""
    try:
        return answer.read(PIECE_BYTES)
    except http.client.IncompleteRead as error:
        raise WebError(f"{url} broke off", hint, again=True) from error
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, error, hint) from error


def is_page(start: bytes, content_type: str) -> bool:
    """Whether an answer is a web page, by its type or its first bytes."""
    return content_type.lower().startswith("text/html") or _PAGE.match(start) is not None


def page_title(page: bytes) -> str:
    """What a web page calls itself, in one line of at most 120 characters."""
    found = re.search(rb"<title[^>]*>(.*?)</title", page, re.IGNORECASE | re.DOTALL)
    return one_line(found[1] if found else b"") or "without a title"


def one_line(fragment: bytes) -> str:
    """The text of a fragment of HTML, in one line of at most 120 characters."""
    text = unescape(re.sub(r"<[^>]*>", " ", fragment.decode(errors="replace")))
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:120]


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    # Made at first use, with the environment's proxies; the cookies are those that a confirmation page sets.
    cookies = urllib.request.HTTPCookieProcessor(CookieJar())
    return urllib.request.build_opener(_NoDowngrade, cookies)


def _unreachable(url: str, error: Exception, hint: str) -> WebError:
    reason = getattr(error, "reason", None) or error or type(error).__name__
    return WebError(f"{url} can't be fetched: {reason}", hint, again=not isinstance(error, ValueError))
