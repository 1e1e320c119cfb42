"""Artifacts of every format version so far: a small one of each is committed and stays readable.

Whoever raises a version adds a folder to tests/formats, and leaves the others as they are.
"""

import json
from pathlib import Path

import pytest

from xmcpipe.artifacts.versions import PREDICTIONS_VERSION
from xmcpipe.data.label_lists.files import read_label_lists
from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.metrics_json import METRICS_VERSION, read_metrics
from xmcpipe.metrics.table import frequency_table, notes, table

FORMATS = Path(__file__).parents[2] / "formats"


@pytest.mark.parametrize("version", range(1, PREDICTIONS_VERSION + 1))
def test_predictions_stay_readable(version: int) -> None:
    lists = read_label_lists(FORMATS / f"predictions-v{version}", "predictions")
    assert lists.ids is not None
    assert lists.ids.to_pylist() == ["a", "b", "c"]
    assert lists.names is not None
    assert lists.names.to_pylist() == ["red", "green", "blue"]
    assert (lists.labels.tolist(), lists.indptr.tolist()) == ([2, 0, 1], [0, 2, 3, 3])
    assert lists.scores is not None
    assert lists.scores.tolist() == [0.75, 0.5, 0.25]


@pytest.mark.parametrize("version", range(1, METRICS_VERSION + 1))
def test_metrics_stay_readable_and_can_be_shown(version: int) -> None:
    metrics = read_metrics(FORMATS / f"metrics-v{version}")
    header, *rows = table(metrics)
    assert rows[0][0] == "precision"
    assert all(len(row) == len(header) for row in rows)
    assert notes(metrics)
    assert bool(frequency_table(metrics)) == (version > 1)
    assert (metrics["intervals"] is None) == (version == 1)


def test_metrics_of_a_later_version_and_no_metrics_are_refused(tmp_path: Path) -> None:
    for content, message in (
        (json.dumps({"version": METRICS_VERSION + 1}), "expected format version 1 to"),
        ("[]", "expected metrics in .*, but it can't be read"),
        ("{", "expected metrics in .*, but it can't be read"),
    ):
        (tmp_path / "metrics.json").write_text(content)
        with pytest.raises(XmcpipeError, match=message):
            read_metrics(tmp_path)
    with pytest.raises(XmcpipeError, match="does not exist"):
        read_metrics(tmp_path / "absent")
