"""Opens and reads URLs with the standard library. Every failure raises the same error, WebError."""

import functools
import http.client
import ipaddress
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from html import unescape
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlsplit

import xmcpipe
from xmcpipe.errors import XmcpipeError

TIMEOUT_SECONDS = 30
SLOW_SECONDS, SLOW_BYTES = 60, 60_000  # a connection of less than 1 kB/s is given up
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


def require_allowed(origin: str, target: str) -> None:
    """Raise URLError unless the URL `origin` may lead to the URL `target`.

    Only https is followed, and never to a private address: a mirror must not reach into the user's network.
    An origin that is itself private, such as a mirror on this machine, may lead to private ones, and from
    http to http.
    """
    source, parts = urlsplit(origin), urlsplit(target)
    local = _is_private(source.hostname)
    if parts.scheme != "https" and not (local and source.scheme == parts.scheme == "http"):
        raise urllib.error.URLError(f"it redirects to {target}, which isn't https")
    if not local and _is_private(parts.hostname):
        raise urllib.error.URLError(f"it redirects to {target}, which is a private address")


def _is_private(host: str | None) -> bool:
    """Whether a host has an address that isn't public. A name that can't be resolved isn't private."""
    try:
        found = socket.getaddrinfo(host or "", None)
    except (OSError, UnicodeError):
        return False
    addresses = (ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found)
    return any(not address.is_global for address in addresses)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows the redirects that `require_allowed` allows: without TLS, nothing authenticates the bytes."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        require_allowed(req.full_url, newurl)
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


def read_piece(answer: Any, url: str, hint: str = "check the network") -> bytes:
    """The next PIECE_BYTES of an answer, or fewer at its end or if they come slowly.

    Raises WebError if the connection breaks, and if fewer than SLOW_BYTES come within SLOW_SECONDS.
    """
    parts, size, started = list[bytes](), 0, time.monotonic()
    try:
        # Not `read`, which waits for all bytes, however slowly they come.
        while size < PIECE_BYTES and (part := answer.read1(PIECE_BYTES - size)):
            parts.append(part)
            size += len(part)
            if time.monotonic() - started > SLOW_SECONDS:
                if size < SLOW_BYTES:
                    fault = f"{url}: only {size:,} bytes came in {SLOW_SECONDS} seconds"
                    raise WebError(fault, hint, retryable=True)
                break
    except http.client.IncompleteRead as error:
        raise WebError(f"{url}: the connection broke", hint, retryable=True) from error
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, error, hint) from error
    return b"".join(parts)


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
    return urllib.request.build_opener(_Redirects, cookies)


def _unreachable(url: str, error: Exception, hint: str) -> WebError:
    reason = getattr(error, "reason", None) or error or type(error).__name__
    return WebError(f"{url} can't be fetched: {reason}", hint, retryable=not isinstance(error, ValueError))
