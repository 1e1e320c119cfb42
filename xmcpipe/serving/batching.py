"""Dynamic batching: the texts of clients that wait at the same time are scored together.

One thread predicts. While it does, requests wait; then it takes the oldest, and with it all others that ask
the same of their texts, up to a batch. So a single client never waits for a batch to fill, and many clients
share one. The queue is bounded: what finds it full is refused at once.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from xmcpipe.errors import XmcpipeError

Rows = list[Any]
"""What was predicted for each text of a request, in their order."""


@dataclass(frozen=True)
class Question:
    """What is asked about texts: the parameters of `xmcpipe.Model.predict`."""

    k: int = 5
    threshold: float | str | None = None
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] | None = None


class QueueFullError(Exception):
    """There is no room in the queue for the texts of a request."""


class StoppedError(Exception):
    """The batcher was closed."""


@dataclass
class _Waiting:
    texts: Sequence[str]
    question: Question
    future: "Future[Rows]" = field(default_factory=Future)


class Batcher:
    """Answers questions about texts, in batches, in a thread of its own.

    `predict(texts, question)` returns a row for each of at most `batch` texts, or of one larger request.
    `queue` is the number of texts that may wait. `observe(texts, seconds)` is called for each batch.
    """

    def __init__(
        self,
        predict: Callable[[list[str], Question], Rows],
        batch: int,
        queue: int,
        observe: Callable[[int, float], None] = lambda texts, seconds: None,
    ) -> None:
        self._predict, self._batch, self._queue, self._observe = predict, batch, queue, observe
        self._line: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many texts wait now, without those that are being scored."""
        with self._changed:
            return self._num_waiting()

    @property
    def closed(self) -> bool:
        """Whether new questions are refused."""
        return self._closed

    def submit(self, texts: Sequence[str], question: Question) -> "Future[Rows]":
        """A future of the rows of `texts`. Raises QueueFullError, and StoppedError after `close`.

        A future that is cancelled before its turn takes no time.
        """
        with self._changed:
            if self._closed:
                raise StoppedError
            if self._num_waiting() + len(texts) > self._queue:
                raise QueueFullError
            waiting = _Waiting(texts, question)
            self._line.append(waiting)
            self._changed.notify()
            return waiting.future

    def close(self) -> None:
        """Refuse new questions, answer those that wait, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _num_waiting(self) -> int:
        return sum(len(each.texts) for each in self._line)

    def _work(self) -> None:
        while batch := self._next():
            self._answer(batch)

    def _next(self) -> list[_Waiting]:
        """The next batch, once there is one; empty after `close`, when nobody waits any more."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._line or self._closed)
                if not self._line:
                    return []
                taken = [each for each in self._take() if each.future.set_running_or_notify_cancel()]
                if taken:
                    return taken

    def _take(self) -> list[_Waiting]:
        """The oldest request, and those that fit into its batch; they leave the line."""
        first = self._line.popleft()
        taken, kept, room = [first], deque[_Waiting](), self._batch - len(first.texts)
        for each in self._line:
            if each.question == first.question and len(each.texts) <= room:
                taken.append(each)
                room -= len(each.texts)
            else:
                kept.append(each)
        self._line = kept
        return taken

    def _answer(self, batch: list[_Waiting]) -> None:
        started = time.monotonic()
        try:
            rows = iter(self._rows([text for each in batch for text in each.texts], batch[0].question))
        except Exception as error:
            self._refuse(batch, error, started)
            return
        self._count(batch, started)
        for each in batch:
            each.future.set_result(list(islice(rows, len(each.texts))))

    def _count(self, batch: list[_Waiting], started: float) -> None:
        """Called before the answers: whoever has one finds it counted."""
        self._observe(sum(len(each.texts) for each in batch), time.monotonic() - started)

    def _refuse(self, batch: list[_Waiting], error: Exception, started: float) -> None:
        """A fault in the question concerns all requests; any other one those alone that cause it."""
        if len(batch) > 1 and not isinstance(error, XmcpipeError):
            for each in batch:
                self._answer([each])
            return
        self._count(batch, started)
        for each in batch:
            each.future.set_exception(error)

    def _rows(self, texts: list[str], question: Question) -> Rows:
        rows = self._predict(texts, question)
        if len(rows) != len(texts):
            raise RuntimeError(f"expected a row for each of {len(texts)} texts, got {len(rows)}")
        return rows
