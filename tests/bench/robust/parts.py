"""The ways to end a pipeline; each function counts its tries and lists the faults that it found."""

import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

from tests.bench.robust.world import KINDS, PATIENCE, RUN, World, finish, kill_at, moments
from tests.pipeline.forks import Fork
from tests.pipeline.places import Workplace
from xmcpipe.signals import SIGNALS

KILLS = 3  # of one pipeline, before it is left to finish
AT_ONCE = 8
OFTEN = ("--set", "train.checkpoint_minutes=0.0")

# What file systems do that have no locks, or don't show them to other machines.
LOCKS = {
    "locks": "",
    "locks that exclude nobody": "import fcntl\nfcntl.flock = lambda *_: None\n",
    "no locks": (
        "import errno, fcntl\n"
        "def flock(*_): raise OSError(errno.ENOLCK, 'No locks available')\n"
        "fcntl.flock = flock\n"
    ),
}
JUMPS = """
import random, time
rng, real, ns = random.Random({seed}), time.time, time.time_ns
time.time = lambda: real() + rng.choice((-3e8, 0.0, 3e8))
time.time_ns = lambda: ns() + rng.choice((-1, 0, 1)) * 3 * 10**17
"""


def kills(world: World, tries: int, rng: random.Random) -> dict[str, Any]:
    """kill -9 of the whole pipeline at random moments."""
    faults: list[str] = []
    done = 0
    while done < tries:
        place = world.place(f"kills-{done}")
        for moment in moments(rng, min(KILLS, tries - done), world.seconds):
            process = place.start(*RUN, *(OFTEN if rng.random() < 0.5 else ()))
            kill_at(process, moment)
            done += 1
        faults += finish(world, place)
    return {"tries": done, "faults": faults}


def signals(world: World, tries: int, rng: random.Random) -> dict[str, Any]:
    """Each signal in each stage, sent to the process alone or to its group."""
    faults: list[str] = []
    place = world.place("signals")
    cases = [(stage, number) for stage in KINDS for number in SIGNALS]
    met, late = 0, 0  # signals that met a running stage, and that came after its end
    place.start(*RUN).finish(PATIENCE)
    for stage, number in cases[:tries]:
        if stage == "train":  # goes on from the checkpoint that the last signal left
            shutil.rmtree(place.store / "model", ignore_errors=True)
            process = place.start("run", "small.toml", "--to", stage)
        else:
            process = place.start("run", "small.toml", "--from", stage, "--to", stage)
        assert _wait_for_building(place.store, KINDS[stage], process), process.finish(PATIENCE).stderr
        time.sleep(rng.uniform(0.0, 0.1))
        process.send(number, group=rng.random() < 0.5)
        ended = process.finish(PATIENCE)
        met, late = met + (ended.returncode != 0), late + (ended.returncode == 0)
        what = f"{number.name} in {stage}"
        if ended.returncode not in (0, 128 + number) or "Traceback" in ended.stderr:
            faults.append(f"{what}: exit {ended.returncode}: {ended.stderr[-500:]}")
        faults += [f"{what}: {path.name} is left" for path in place.store.glob(".building/*")]
    faults += finish(world, place)
    return {"tries": met, "after the end": late, "faults": faults}


def _wait_for_building(store: Path, kind: str, process: Fork) -> bool:
    """Wait until a stage runs that makes `kind`; False if the process ends before one does."""
    while process.is_running:
        if list(store.glob(f".building/{kind}.*")):
            return True
        time.sleep(0.002)
    return False


def at_once(world: World, tries: int, rng: random.Random) -> dict[str, Any]:
    """Many processes on one recipe and one store, one of which is killed, on file systems of all kinds."""
    faults: list[str] = []
    for number in range(tries):
        name, patch = list(LOCKS.items())[number % len(LOCKS)]
        place = world.place(f"at-once-{number}")
        processes = [place.start(*RUN, patch=patch) for _ in range(AT_ONCE)]
        kill_at(processes.pop(rng.randrange(AT_ONCE)), rng.uniform(0.0, world.seconds))
        for process in processes:
            ended = process.finish(PATIENCE)
            if ended.returncode != 0:
                faults.append(f"{name}: exit {ended.returncode}: {ended.stderr[-500:]}")
        faults += [f"{name}: {fault}" for fault in finish(world, place)]
    return {"tries": tries, "processes": AT_ONCE * tries, "faults": faults}


def clock(world: World, tries: int, rng: random.Random) -> dict[str, Any]:
    """Clocks that jump by ten years, also between an attempt that is killed and the next one."""
    faults: list[str] = []
    for number in range(tries):
        place = world.place(f"clock-{number}")
        patch = JUMPS.format(seed=rng.randrange(1000))
        kill_at(place.start(*RUN, *OFTEN, patch=patch), rng.uniform(0.0, world.seconds))
        _move_times(place, rng)
        done = place.start(*RUN, patch=patch).finish(PATIENCE)
        if done.returncode != 0:
            faults.append(f"exit {done.returncode}: {done.stderr[-500:]}")
        faults += finish(world, place)
    return {"tries": tries, "faults": faults}


def _move_times(place: Workplace, rng: random.Random) -> None:
    """Let every file look as if it were written years ago, or years ahead."""
    for path in sorted(place.store.rglob("*")):
        moved = time.time() + rng.choice((-3e8, 0.0, 3e8))
        os.utime(path, (moved, moved))
