"""Opens the port of a service and runs it until a signal ends it, then answers what it accepted."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from xmcpipe.errors import XmcpipeError
from xmcpipe.signals import SIGNALS

PACKAGES = ("fastapi", "uvicorn", "pydantic", "prometheus_client")
STOP_SECONDS = 30  # then what is still being answered is given up


def require_packages() -> None:
    """Raise XmcpipeError unless all packages of the extra `serve` are installed."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        raise XmcpipeError(
            f"a service needs {', '.join(absent)}, which isn't installed", "run pip install 'xmcpipe[serve]'"
        )


def open_port(host: str, port: int) -> socket.socket:
    """A socket that has the port, and accepts no connection yet; port 0 takes a free one.

    Raises XmcpipeError for a port that is taken or not allowed, and for a host that isn't this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise XmcpipeError(f"expected --host, an address of this machine, got {host}", "127.0.0.1") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except OSError as error:
        opened.close()
        reason = error.strerror.lower() if error.strerror else str(error)
        raise XmcpipeError(
            f"port {port} of {host} can't be opened: {reason}", "choose another --port or --host"
        ) from error
    return opened


def address_of(opened: socket.socket) -> str:
    """The address of the service, for a browser on this machine."""
    host, port = opened.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run(application: object, opened: socket.socket, connections: int) -> None:
    """Answer requests until a signal to stop; then until all that were accepted are answered.

    A second signal stops at once.
    """
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """As uvicorn does it, but the signal is not raised again: a stop is a success."""
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            # Those that end any command, except for one that is ignored, for example by `nohup`.
            numbers = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            before = {number: signal.signal(number, self.handle_exit) for number in numbers}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    config = uvicorn.Config(
        application,  # type: ignore[arg-type]
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="on",
        server_header=False,
        limit_concurrency=connections,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    Server(config).run(sockets=[opened])
