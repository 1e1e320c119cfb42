"""A server with the part of the Hugging Face hub's protocol that uploads and downloads a model's files.

Its repositories are folders: what was uploaded lies in FOLDER/USER/MODEL.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


class Hub(ThreadingHTTPServer):
    """A hub over a folder. `created`: what was asked for when a repository was made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.created: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files(self, name: str) -> dict[str, bytes] | None:
        """Path -> bytes of a repository's files; None if there is no such repository."""
        root = self.folder / name
        if not root.is_dir():
            return None
        found = sorted(path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}

    def environment(self, cache: Path) -> dict[str, str]:
        """The variables with which a process uses this hub, with its downloads in `cache`."""
        return {
            "HF_ENDPOINT": self.address,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(cache),
            "HF_TOKEN": "hf_of_a_test",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }


@contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    """A hub over `folder`, in a thread of its own."""
    with Hub(folder) as hub:
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
            (self.server.folder / name).mkdir(parents=True, exist_ok=True)
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
                    file = self.server.folder / name / line["value"]["path"]
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(base64.b64decode(line["value"]["content"]))
            sha = self._sha(name)
            self._json({"commitUrl": f"{self.server.address}/{name}/commit/{sha}", "commitOid": sha})
        else:  # validate-yaml
            self._json({"errors": [], "warnings": []})

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).removeprefix("/")
        is_api = path.startswith("api/models/")
        first, second, *rest = path.removeprefix("api/models/").split("/")
        name = f"{first}/{second}"
        files = self.server.files(name)
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
        return hashlib.sha1(repr(self.server.files(name)).encode()).hexdigest()

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
