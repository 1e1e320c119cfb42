"""A process that a signal ends in a stage leaves no artifact, no lock, and no unfinished folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.fake_stages import World
from tests.unit.stages.test_runner import left_in, run
from xmcpipe.artifacts.store import Store
from xmcpipe.signals import SIGNALS

KILLED = """
import signal, sys, time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tests.unit.fake_stages import FetchConfig, make_world
from xmcpipe.artifacts.store import Store
from xmcpipe import signals
from xmcpipe.stages.chain import Chain
from xmcpipe.stages.provenance import Meter
from xmcpipe.stages.runner import Runner
def run(config, inputs, out, scratch):
    (out / "half").write_text("half")
    print("running", flush=True)
    time.sleep(60)
for number in signals.SIGNALS:  # a shell, or nohup, may have had some of them ignored
    signal.signal(number, signal.SIG_DFL)
signals.install()
stage = replace(make_world().catalog[0], run=run)
Runner(Chain(Store(Path(sys.argv[1])), {"download": FetchConfig()}, catalog=(stage,))).run_one("download")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, *SIGNALS])
def test_a_killed_process_leaves_no_artifact_and_no_lock(world: World, tmp_path: Path, number: int) -> None:
    path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout
    assert process.stdout.readline() == "running\n"
    assert len(left_in(tmp_path)) == 1
    assert Store(tmp_path).leftovers(0) == []
    process.send_signal(number)
    process.communicate()
    assert process.returncode != 0
    assert list(Store(tmp_path).all()) == []
    left = left_in(tmp_path)
    assert len(left) == (1 if number == signal.SIGKILL else 0)
    assert [path.name for path in Store(tmp_path).leftovers(60)] == left
    assert run(world, tmp_path, stop="download") == ["download"]
