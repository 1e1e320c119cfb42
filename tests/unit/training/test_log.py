"""The log after a kill: lines after the checkpoint and incomplete lines are removed."""

import json
from pathlib import Path

from xmcpipe.training.log import MetricsLog


def test_lines_after_the_checkpoint_are_removed(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0)
    for step in (10, 20, 30):
        log.write("train", step, loss=1.0 / step)
    log.close()
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"kind": "train", "st')
    log = MetricsLog(tmp_path, 20)
    log.write("train", 25, loss=0.5)
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 25]
    assert list((tmp_path / "tensorboard").glob("events*"))
