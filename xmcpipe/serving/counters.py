"""What a service counts, in the text format that Prometheus reads.

https://prometheus.io/docs/instrumenting/exposition_formats describes the format. A histogram is a counter for
each upper bound, of all values up to it, with the sum and the number of values.
"""

import threading
from collections import Counter
from collections.abc import Mapping

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TEXTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Histogram:
    """Counts values by upper bounds, which are in ascending order."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts, self._sum, self._count = bounds, [0] * len(bounds), 0.0, 0

    def add(self, value: float) -> None:
        """Count one value."""
        self._sum += value
        self._count += 1
        for place, bound in enumerate(self._bounds):
            self._counts[place] += value <= bound

    def lines(self, name: str) -> list[str]:
        """The lines of the histogram `name`."""
        counted = [(f"{bound:g}", count) for bound, count in zip(self._bounds, self._counts, strict=True)]
        return [
            *(f'{name}_bucket{{le="{bound}"}} {count}' for bound, count in [*counted, ("+Inf", self._count)]),
            f"{name}_sum {self._sum:.6f}",
            f"{name}_count {self._count}",
        ]


class Counters:
    """The counters of one service. Any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds, self._batches, self._batch_seconds = map(Histogram, (SECONDS, TEXTS, SECONDS))

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answer to `path`, which must be one of few."""
        with self._lock:
            self._requests[path, status] += 1
            if path == "/predict" and status == 200:
                self._seconds.add(seconds)

    def batch(self, texts: int, seconds: float) -> None:
        """Count a batch that was scored."""
        with self._lock:
            self._batches.add(texts)
            self._batch_seconds.add(seconds)

    def text(self, gauges: Mapping[str, tuple[float, str]]) -> str:
        """All counters, and `gauges`: by name, values of this moment and what they are."""
        with self._lock:
            requests = [
                f'xmcpipe_requests_total{{path="{path}",status="{status}"}} {count}'
                for (path, status), count in sorted(self._requests.items())
            ]
            parts = [
                _part("xmcpipe_requests_total", "counter", "Answers by path and HTTP status.", requests),
                *(
                    _part(name, "histogram", what, histogram.lines(name))
                    for name, what, histogram in (
                        ("xmcpipe_predict_seconds", "Seconds of answered predictions.", self._seconds),
                        ("xmcpipe_batch_texts", "Texts that were scored together.", self._batches),
                        ("xmcpipe_batch_seconds", "Seconds to score a batch.", self._batch_seconds),
                    )
                ),
                *(
                    _part(name, "gauge", what, [f"{name} {value:g}"])
                    for name, (value, what) in gauges.items()
                ),
            ]
        return "".join(parts)


def _part(name: str, kind: str, what: str, lines: list[str]) -> str:
    return "\n".join([f"# HELP {name} {what}", f"# TYPE {name} {kind}", *lines, ""])
