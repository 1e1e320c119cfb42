from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.artifacts.store import Artifact
from xmcpipe.cli.output import age, duration, headline, size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
    ],
)
def test_sizes_are_decimal(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (86_400 * 3, "3 d")]
)
def test_durations_have_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_headline_is_the_first_plain_figures() -> None:
    figures = {"P@1": 0.78123, "nested": {"P@3": 0.5}, "list": [1], "none": None, "n": 1234567, "kind": "ffi"}
    assert headline(figures) == "P@1 0.7812 · nested.P@3 0.5 · n 1,234,567 · kind ffi"
    assert headline({str(i): i for i in range(9)}).count("·") == 4


def test_an_age_counts_from_the_end() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    started = (now - timedelta(seconds=100)).isoformat()

    def artifact(made_by: dict[str, object]) -> Artifact:
        return Artifact(Path("x"), Manifest("s", "k", 1, "", {}, {}, {}, {}, made_by))

    assert age(artifact({"started": started, "seconds": 40.0}), now) == 60
    assert age(artifact({}), now) is None
