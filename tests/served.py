"""A service in a thread of the test, and a client that keeps one connection open."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import uvicorn

from xmcpipe.serving.limits import Limits
from xmcpipe.serving.server import open_port
from xmcpipe.serving.service import Service

TIMEOUT = 150  # seconds: machines are busy, and no test may fail for being slow
JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    """The status of an answer, its JSON (or text), and its headers in lower case."""

    status: int
    value: Any
    headers: dict[str, str]


class Client:
    """Asks the service at `port`."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request. A body that is neither bytes nor an iterator is sent as JSON."""
        if isinstance(body, dict | list):
            body = json.dumps(body).encode()
        self._connection.request(method, path, body, JSON if headers is None else headers)
        response = self._connection.getresponse()
        content = response.read().decode()
        is_json = response.headers.get_content_type() == "application/json"
        value = json.loads(content) if is_json else content
        return Answer(response.status, value, {key.lower(): text for key, text in response.headers.items()})

    def get(self, path: str) -> Answer:
        """GET."""
        return self.request("GET", path)

    def predict(self, **body: Any) -> Answer:
        """POST /predict."""
        return self.request("POST", "/predict", body)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def predict(port: int, **body: Any) -> Answer:
    """POST /predict, on a connection of its own."""
    with Client(port) as client:
        return client.predict(**body)


def get(port: int, path: str) -> Answer:
    """GET, on a connection of its own."""
    with Client(port) as client:
        return client.get(path)


@contextmanager
def serving(model: Any, limits: Limits = Limits(), name: str = "small") -> Iterator[int]:  # noqa: B008
    """Serve `model`; yields the port. All that was accepted is answered at the end."""
    service = Service(model, name, limits)
    config = uvicorn.Config(service.application, log_config=None, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    with open_port("127.0.0.1", 0) as opened:
        port = opened.getsockname()[1]
        opened.listen()  # clients may connect before the server accepts
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            yield port
        finally:
            server.should_exit = True
            thread.join()
