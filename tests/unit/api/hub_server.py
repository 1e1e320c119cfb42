"""A server with the part of the Hugging Face hub's protocol that uploads and downloads a model's files."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class Hub(ThreadingHTTPServer):
    """`files`: repository -> path -> bytes. `created`: what was asked for when a repository was made."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.created: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serve() -> Iterator[Hub]:
    """A hub in a thread of its own."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path).removeprefix("/api/")
        if path == "repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.server.created.append(asked)
            self.server.files.setdefault(name, {})
            self._json({"url": f"{self.server.address}/{name}", "name": name})
        elif "/preupload/" in path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self._json({"files": files})
        elif "/commit/" in path:
            name = "/".join(path.split("/")[1:3])
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.files[name][line["value"]["path"]] = content
            sha = self._sha(name)
            self._json({"commitUrl": f"{self.server.address}/{name}/commit/{sha}", "commitOid": sha})
        else:  # validate-yaml
            self._json({"errors": [], "warnings": []})

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).removeprefix("/")
        is_api = path.startswith("api/models/")
        first, second, *rest = path.removeprefix("api/models/").split("/")
        name = f"{first}/{second}"
        files = self.server.files.get(name)
        if files is None:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif is_api and rest[:1] == ["tree"]:
            self._json(
                [
                    {"type": "file", "path": file, "size": len(content), "oid": _etag(content)}
                    for file, content in files.items()
                ]
            )
        elif is_api:
            siblings = [{"rfilename": file} for file in files]
            self._json(
                {"id": name, "sha": self._sha(name), "siblings": siblings, "private": False, "tags": []}
            )
        else:
            content = files["/".join(rest[2:])]
            self._send(200, content, {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": self._sha(name)})

    do_HEAD = do_GET

    def _sha(self, name: str) -> str:
        return hashlib.sha1(repr(sorted(self.server.files[name].items())).encode()).hexdigest()

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the output of a test is its own."""


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
