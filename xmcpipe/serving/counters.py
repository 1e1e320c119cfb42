"""What a service counts, for Prometheus."""

from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TEXTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Counters:
    """The counters of one service, and `gauges`: by name, what they are and their values of any moment.

    Any thread may count.
    """

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when each counter was first counted
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            "xmcpipe_requests", "Answers by path and HTTP status.", ["path", "status"], registry=own
        )
        self._seconds, self._batches, self._batch_seconds = (
            Histogram(name, what, registry=own, buckets=bounds)
            for name, what, bounds in (
                ("xmcpipe_predict_seconds", "Seconds of answered predictions.", SECONDS),
                ("xmcpipe_batch_texts", "Texts that were scored together.", TEXTS),
                ("xmcpipe_batch_seconds", "Seconds to score a batch.", SECONDS),
            )
        )
        for name, (what, value) in gauges.items():
            Gauge(name, what, registry=own).set_function(value)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answer to `path`, which must be one of few."""
        self._requests.labels(path, str(status)).inc()
        if path == "/predict" and status == 200:
            self._seconds.observe(seconds)

    def batch(self, texts: int, seconds: float) -> None:
        """Count a batch that was scored."""
        self._batches.observe(texts)
        self._batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """All counters and gauges, in the text format that Prometheus reads."""
        return generate_latest(self._registry)
