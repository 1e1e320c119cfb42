"""The facts of a training and of a layer: curves of the log, topology."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.report_store import FAN_IN, FEATURES, NAMES
from xmcpipe.report.facts.curves import Points, rates, read_curves, thinned
from xmcpipe.report.facts.topology import Topology, read_topology


def assert_points(found: Points, expected: Points) -> None:
    assert np.array(found) == pytest.approx(np.array(expected))


def test_curves_are_over_epochs(finished_shelf: Any) -> None:
    curves = read_curves(finished_shelf.runs()[0].folder("model"))
    assert curves.of("loss")[0] == pytest.approx((5 / 30, 8.5))
    assert_points(curves.of("P@1"), [(1.0, 0.375), (2.0, 0.75)])
    assert_points(curves.of("rewired"), [(step / 30, 0.2) for step in (20, 40, 60)])
    assert len(curves.of("gradient main")) == 12
    assert len(curves.of("gradient auxiliary")) == 6  # null once the branch is dropped
    assert curves.of("nothing") == []
    assert read_curves(None).points == {}


def test_a_log_without_gradients_and_with_half_a_line_is_read(tmp_path: Path, log_lines: list[str]) -> None:
    (tmp_path / "log").mkdir()
    line = {"kind": "train", "step": 4, "epoch": 2.0, "loss": 1.0, "auxiliary_weight": 0.0}
    (tmp_path / "log" / "metrics.jsonl").write_text(json.dumps(line) + '\n{"kind": "tr')
    curves = read_curves(tmp_path)
    assert curves.points == {"loss": [(2.0, 1.0)]}  # a weight that is always 0 is no curve
    assert "line 2" in log_lines[0]


BAD_LINES = [
    b'{"kind": "train", "step": 4, "epoch": 2.0, "loss": 1.0}',
    b'{"kind": "train", "step": 6, "epoch": 3.0, "loss": NaN, "rate_factor": 1e400}',
    b'{"kind": "gradient", "step": 6, "main": Infinity, "auxiliary": -Infinity}',
    b'{"kind": "train", "step": 8, "loss": 0.5, "auxiliary_weight": true}',
    b'{"kind": "rewire", "step": 8}',
    b'{"kind": "rewire", "step": 8, "share": 0.25}',
    b'{"kind": "validation", "step": 8, "P@1": "half"}',
    b'{"kind": "train", "step": 0, "epoch": 9.0, "loss": 9.0}',
    b'{"kind": "train", "step": 1e400, "epoch": 9.0}',
    b'{"kind": "train", "step": 1' + 200 * b"0" + b', "epoch": 9.0}',
    b'{"kind": ["train"], "step": 9, "epoch": 9.0}',
    b'{"kind": "train"}',
    b"[1, 2]",
    b"\xff\xfe\x00",
    100_000 * b"[",
]


def test_a_damaged_log_loses_only_its_damaged_lines(tmp_path: Path, log_lines: list[str]) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "metrics.jsonl").write_bytes(b"\n".join(BAD_LINES))
    curves = read_curves(tmp_path)
    assert curves.points == {"loss": [(2.0, 1.0), (4.0, 0.5)], "rewired": [(4.0, 0.25)]}
    assert len(log_lines) == 1
    assert "line 9, and 6 more" in log_lines[0]
    assert curves.rewirings == [0.25]


def test_a_log_without_an_epoch_has_no_curves(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "metrics.jsonl").write_text('{"kind": "train", "step": 4, "loss": 1.0}\n')
    assert read_curves(tmp_path).points == {}


def test_speed_between_lines_is_derived_from_means_since_the_start() -> None:
    # 100 documents an epoch: the first in 10 s (10 a second), the second in 5 s, 200 in 15 s on average
    assert_points(rates([(1.0, 10.0), (2.0, 200 / 15)]), [(1.0, 10.0), (2.0, 20.0)])
    assert rates([(1.0, 0.0)]) == []


def test_long_curves_are_thinned_to_means() -> None:
    points = [(float(at), float(at % 2)) for at in range(1000)]
    few = thinned(points, 100)
    assert len(few) == 100
    assert all(value == 0.5 for _, value in few)
    assert few[0][0] == 4.5
    assert thinned(points[:7], 7) == points[:7]


def test_topology_counts_every_connection(finished_shelf: Any) -> None:
    sparse, dense = finished_shelf.runs()
    layer = read_topology(sparse.folder("model"))
    assert layer
    assert layer.uses.sum() == len(NAMES) * FAN_IN
    assert (layer.features, layer.labels, layer.fan_in) == (FEATURES, len(NAMES), FAN_IN)
    assert layer.even == len(NAMES) * FAN_IN / FEATURES
    assert read_curves(sparse.folder("model")).rewirings == [0.2, 0.2, 0.2]
    assert read_topology(dense.folder("model")) is None
    assert read_topology(None) is None


def test_topology_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcpipe.report.facts.topology.PIECE_ROWS", 3)
    index = np.array([[0, 1], [1, 2], [0, 2], [0, 3], [0, 1], [0, 3], [5, 0]], np.uint16)
    save_file({"head.index": index}, tmp_path / "model.safetensors")
    (tmp_path / "model.json").write_text(json.dumps({"head": {"in_features": 6}}))
    layer = read_topology(tmp_path)
    assert layer
    assert layer.uses.tolist() == [6, 3, 2, 2, 0, 1]


@pytest.mark.parametrize(
    ("index", "head", "length"),
    [
        ([[0, 1]], '{"head": {"in_features": 6}}', -1),  # weights that are cut off
        ([[0, 9]], '{"head": {"in_features": 6}}', None),  # a feature that isn't
        ([[0, 1]], '{"head": {}}', None),
        ([[0, 1]], '{"head"', None),
    ],
)
def test_a_damaged_model_has_no_topology(
    tmp_path: Path, log_lines: list[str], index: list[list[int]], head: str, length: int | None
) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"head.index": np.array(index, np.uint16)}, path)
    path.write_bytes(path.read_bytes()[:length])
    (tmp_path / "model.json").write_text(head)
    assert read_topology(tmp_path) is None
    assert "the topology can't be read" in log_lines[0]


def test_gini_and_entropy_at_their_ends() -> None:
    even, one = (Topology(np.array(uses), 4, 2) for uses in ([2, 2, 2, 2], [8, 0, 0, 0]))
    assert (even.gini, even.entropy) == pytest.approx((0, 1))
    assert (one.gini, one.entropy) == pytest.approx((3 / 4, 0))
