"""A web server in a thread with answers that a test sets: with or without ranges, redirects, faults."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    """The answer for one path.

    cuts: one entry per request, until they are used up: the number of bytes after which the connection ends,
    or None for all of the body. ranges: whether Range is honoured; conditions: whether If-Range is. length:
    whether Content-Length is sent; else the body comes in chunks. before: status codes of the first requests.
    etag: None for the hash of the body.
    """

    body: bytes = b""
    kind: str = "application/octet-stream"
    ranges: bool = True
    conditions: bool = True
    length: bool = True
    etag: str | None = None
    modified: str = ""
    location: str = ""
    cuts: list[int | None] = field(default_factory=list)
    before: list[int] = field(default_factory=list)

    @property
    def tag(self) -> str:
        return f'"{hashlib.md5(self.body).hexdigest()}"' if self.etag is None else self.etag


class Site:
    """`paths` maps a path, with or without its query, to its answer; `requests` lists (path, Range)."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.paths: dict[str, Served] = {}
        self.requests: list[tuple[str, str]] = []

    def put(self, path: str, body: bytes, **more: Any) -> Served:
        self.paths[path] = Served(body, **more)
        return self.paths[path]


@contextmanager
def running_site() -> Iterator[Site]:
    """A site on its own port, while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    site = Site(f"http://127.0.0.1:{server.server_port}")
    server.site = site  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.requests.append((self.path, self.headers.get("Range", "")))
        served = site.paths.get(self.path) or site.paths.get(self.path.partition("?")[0])
        self.close_connection = True
        if served is None or served.before:
            self._head(served.before.pop(0) if served else 404, 0)
        elif served.location:
            self._head(302, 0, Location=served.location)
        else:
            self._send(served)

    def _send(self, served: Served) -> None:
        body, status, more = served.body, 200, {}
        range_ = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, served.tag, served.modified)
        if range_ and served.ranges and (same or not served.conditions):
            first = int(range_[1])
            if first >= len(body):
                return self._head(416, 0)
            more["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
            body, status = body[first:], 206
        if served.tag:
            more["ETag"] = served.tag
        if served.modified:
            more["Last-Modified"] = served.modified
        self._head(status, len(body) if served.length else None, **{"Content-Type": served.kind, **more})
        cut = served.cuts.pop(0) if served.cuts else None
        part = body if cut is None else body[:cut]
        if served.length:
            self.wfile.write(part)
        elif part:
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        if not served.length and cut is None:
            self.wfile.write(b"0\r\n\r\n")
        return None

    def _head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
