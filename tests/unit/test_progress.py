"""Progress without a terminal: lines in the log, with the same facts in JSON types."""

import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe import progress as module
from xmcpipe.cli.output import LogLines, log_as_json
from xmcpipe.progress import progress


class Kept(logging.Handler):
    """Keeps the records in a list."""

    def __init__(self, found: list[logging.LogRecord]) -> None:
        super().__init__(logging.INFO)
        self.found = found

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """What is logged, at level INFO and above."""
    found: list[logging.LogRecord] = []
    handler = Kept(found)
    logger = logging.getLogger("xmcpipe")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets. Only progress sees it: servers of other tests wait by the real one."""
    now = [100.0]
    monkeypatch.setattr("xmcpipe.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_lines_come_after_two_seconds_and_then_every_half_minute(
    records: list[logging.LogRecord], clock: list[float]
) -> None:
    with progress("split", 100, "levels") as bar:
        for _ in range(100):
            clock[0] += 1.0
            bar.update()
    assert [record.getMessage() for record in records] == [
        "split: levels 2 of 100 · 2 min left",
        "split: levels 32 of 100 · 1 min left",
        "split: levels 62 of 100 · 38 s left",
        "split: levels 92 of 100 · 8 s left",
    ]


def test_short_work_says_nothing(records: list[logging.LogRecord], clock: list[float]) -> None:
    with progress("split", 3, "levels") as bar:
        for _ in range(3):
            clock[0] += 0.5
            bar.update()
    assert records == []


def test_figures_are_text_and_facts(records: list[logging.LogRecord], clock: list[float]) -> None:
    figures = {"loss": (0.123456, "loss 0.1235"), "validation": ({"P@1": 0.5}, "P@1 50.00")}
    with progress("train", 270, "step", initial=65, figures=lambda: figures) as bar:
        clock[0] += 10
        bar.update(5)
    first, second = records
    assert first.getMessage() == "train: resuming at step 65 of 270"
    assert second.getMessage() == "train: step 70 of 270 · loss 0.1235 · P@1 50.00 · 7 min left"
    assert second.__dict__["facts"] == {
        "progress": "train", "done": 70, "total": 270, "unit": "step", "seconds": 10.0,
        "seconds_left": 400.0, "loss": 0.123456, "validation": {"P@1": 0.5},
    }  # fmt: skip


def test_an_unknown_total_has_no_time_left(records: list[logging.LogRecord], clock: list[float]) -> None:
    with progress("Unpacking", None, "B") as bar:
        clock[0] += 3
        bar.update(12_300_000)
    assert records[0].getMessage() == "Unpacking: 12.3 MB"
    assert records[0].__dict__["facts"]["seconds_left"] is None


@given(st.integers(1, 10**12), st.integers(0, 10**6), st.floats(2, 1e6))
def test_the_time_left_is_that_of_the_same_speed(total: int, done: int, seconds: float) -> None:
    bar = module.LogProgress("x", total + done, "rows")
    found: list[logging.LogRecord] = []
    bar.n, handler = done + 1, Kept(found)
    logger = logging.getLogger("xmcpipe.progress")
    logger.addHandler(handler)
    level, logger.level = logger.level, logging.INFO
    bar._write(seconds)
    logger.removeHandler(handler)
    logger.setLevel(level)
    left = found[0].__dict__["facts"]["seconds_left"]
    assert left == pytest.approx((total - 1) * seconds / (done + 1), abs=0.06, rel=1e-9)


def test_with_json_every_line_of_the_log_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("xmcpipe")
    handler = LogLines()
    logger.addHandler(handler)
    try:
        log_as_json(True)
        handler.emit(logging.makeLogRecord({"msg": "train: running", "levelname": "INFO"}))
        handler.emit(logging.makeLogRecord({"msg": "…", "levelname": "INFO", "facts": {"done": 3}}))
        log_as_json(False)
        handler.emit(logging.makeLogRecord({"msg": "plain"}))
    finally:
        logger.removeHandler(handler)
    first, second, third = capsys.readouterr().err.splitlines()
    assert json.loads(first) == {"level": "info", "message": "train: running"}
    assert json.loads(second) == {"level": "info", "done": 3}
    assert third == "plain"
