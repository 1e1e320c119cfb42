"""What a service accepts. It refuses a request beyond a limit at once: no client takes the turn of others."""

from dataclasses import dataclass

from xmcpipe.config import require_at_least
from xmcpipe.errors import XmcpipeError

BODY_SECONDS = 30.0  # in which a body must arrive: a slow client would hold its connection for ever
CONNECTIONS = 1000  # open at the same time; each may hold a body in memory while it arrives


@dataclass(frozen=True)
class Limits:
    """The limits of one request, and of all that wait. Raises XmcpipeError for limits that can't be met.

    body    bytes of a request's body
    texts   texts of a request
    text    characters of a text
    k       labels of a text
    queue   texts that wait at the same time, of all clients
    batch   texts that are scored at a time
    """

    body: int = 1 << 20
    texts: int = 256
    text: int = 20_000
    k: int = 100
    queue: int = 1024
    batch: int = 128

    def __post_init__(self) -> None:
        try:
            require_at_least(self, 1, *vars(self))
        except ValueError as error:
            raise XmcpipeError(str(error)) from error
        if self.queue < self.texts:
            raise XmcpipeError(
                f"expected a queue of at least the {self.texts:,} texts of one request, got {self.queue:,}",
                "raise --queue or lower --max-texts",
            )
