"""Several processes make the same at the same time, also where the file system has no locks."""

import shutil
import signal

import pytest

from tests.pipeline.kills.stores import SHORT, contents, leftovers, wait_for_step
from tests.pipeline.places import TIMEOUT, Workplace, settings

TRAIN = ["train", "--recipe", "tiny.toml", *settings(SHORT)]
FLOCKS = {
    "excludes nobody": "lambda *_: None",
    "fails": "lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, 'No locks available'))",
}


@pytest.mark.parametrize("flock", list(FLOCKS))
@pytest.mark.slow
def test_runs_without_file_locks_do_not_share_a_folder(workplace: Workplace, flock: str) -> None:
    """The last one takes over from a process that was killed; the others are waited for."""
    shutil.rmtree(workplace.store / "model")
    workplace.call(*TRAIN)
    reference = contents(workplace.store)
    shutil.rmtree(workplace.store / "model")
    patch = f"import errno, fcntl\nfcntl.flock = {FLOCKS[flock]}\n"
    killed = workplace.start(*TRAIN, "--set", "train.checkpoint_minutes=0.0", patch=patch)
    wait_for_step(workplace.store, 3, killed)
    others = [workplace.start(*TRAIN, patch=patch) for _ in range(3)]
    killed.send(signal.SIGKILL)
    killed.finish(TIMEOUT)
    ended = [process.finish(TIMEOUT) for process in others]
    assert [done.returncode for done in ended] == [0, 0, 0], [done.stderr for done in ended]
    assert sum("resuming at step" in done.stderr for done in ended) == 1
    assert contents(workplace.store) == reference
    assert leftovers(workplace.store) == []
