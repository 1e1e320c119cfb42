"""The log after a kill, what a training shows while it runs, and how far one is that was killed."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.runs import fit_until, make
from xmcpipe import progress
from xmcpipe.training.log import MetricsLog, how_far


def test_lines_after_the_checkpoint_are_removed(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    path = tmp_path / "metrics.jsonl"
    for step in (10, 20, 30):
        log.write("train", step, loss=1.0 / step)
        if step == 20:
            lines_of_checkpoint = path.read_bytes()
    log.close()
    path.write_text(path.read_text() + '{"kind": "train", "st')
    log = MetricsLog(tmp_path, lines_of_checkpoint, 20)
    log.write("train", 25, loss=0.5)
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 25]
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """The records of progress; a line is written after every step."""
    found: list[logging.LogRecord] = []
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(progress.logger, "info", lambda text, *values, **more: found.append(
        logging.makeLogRecord({"msg": text, "args": values, **more.get("extra", {})})
    ))  # fmt: skip
    return found


def test_a_killed_training_says_where_it_resumes(
    shards: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    records: list[logging.LogRecord],
) -> None:  # fmt: skip
    changes: dict[str, Any] = {"checkpoint_minutes": 0.0, "validation": 0.2, "log_every": 1}
    scratch = tmp_path / "scratch"
    assert how_far(scratch) == {"step": 0}
    fit_until(make(shards, tiny_encoder, scratch, **changes), 7, monkeypatch)
    total = make(shards, tiny_encoder, tmp_path / "other", **changes).total_steps
    assert how_far(scratch) == {"step": 7, "steps": total, "checkpoint": 7}
    first = records[0].__dict__["facts"]
    assert (first["progress"], first["done"], first["total"]) == ("train", 1, total)
    assert set(first) == {
        "progress", "done", "total", "unit", "seconds", "seconds_left",
        "loss", "documents_per_second", "memory_bytes",
    }  # fmt: skip
    records.clear()
    make(shards, tiny_encoder, scratch, **changes).fit()
    lines = [record.getMessage() for record in records]
    assert lines[0] == f"train: resuming at step 7 of {total}"
    assert lines[1].startswith(f"train: step 8 of {total} · loss ")
    assert " · P@1 " in lines[1]
    assert records[-1].__dict__["facts"]["done"] == total
    assert 0 <= records[-1].__dict__["facts"]["validation"]["P@1"] <= 1


def test_half_a_line_of_the_log_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/metrics.jsonl").write_text(
        '{"kind": "settings", "step": 0, "steps": 9}\n{"kind": "train", "step": 4}\n{"kind": "tra'
    )
    assert how_far(tmp_path) == {"step": 4, "steps": 9}


@pytest.mark.parametrize(("name", "folder"), [("my run", "my run"), ("a/b", "a-b"), ("..", ""), ("", "")])
def test_tensorboard_files_are_in_a_folder_called_like_the_run(
    tmp_path: Path, name: str, folder: str
) -> None:
    log = MetricsLog(tmp_path, run_name=name)
    log.write("train", 1, loss=1.0)
    log.close()
    assert list((tmp_path / "tensorboard" / folder).glob("events*"))
