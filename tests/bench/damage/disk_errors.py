"""Lets calls to the disk fail in every stage: EIO or ENOSPC at a call of each kind, once or from then on.

    python -m tests.bench.damage.disk_errors [--tries 300] [--seed 0] [--stage train] [--details]

For each try it draws a stage of a finished store, removes the stage's artifact, and runs the stage while a
library for LD_PRELOAD (failing_disk.c) lets some calls on files of the store fail. Then it runs the stage
again on a good disk. It counts what the first run came to:

- same: it succeeded, with the right bytes;
- error: it ended in one line and exit code 2;
- traceback, crash, hung: it did neither;
- wrong: an artifact of the store verifies, but holds other bytes than it must;
- stuck: the second run did not end in the right bytes, or left something behind.

It exits with 1 if there is any of the last three rows. It needs a C compiler.
"""

import argparse
import errno
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from tests.bench.damage.forked import HUNG, KINDS, Done, Fault, Forks, compile_failing_disk
from tests.bench.damage.world import STAGES, World
from xmcpipe.progress import progress

T = TypeVar("T")

GOOD = ("same", "error")
ERRORS = (errno.EIO, errno.ENOSPC)
# (stage, recipe): a stage that works in another way in the other recipe counts twice.
RUNS = [
    ("download", "paper"), ("import", "light"), ("tokenize", "paper"), ("cluster", "paper"),
    ("embed", "light"), ("train", "paper"), ("train", "light"), ("predict", "light"), ("eval", "paper"),
]  # fmt: skip


@dataclass(frozen=True)
class Try:
    """One try: the stage, its recipe, the fault, what it came to, and the end of its standard error."""

    stage: str
    recipe: str
    fault: Fault
    outcome: str
    stderr: str


def tries(
    world: World, forks: Forks, folder: Path, count: int, seed: int, stages: tuple[str, ...]
) -> Iterator[Try]:
    """Yield `count` tries, which go through all stages and kinds of calls in turn."""
    random = np.random.default_rng(seed)
    runs = [run for run in RUNS if run[0] in stages]
    calls = {run: _calls(world, forks, folder, *run) for run in runs}
    places = [(run, kind) for kind in KINDS for run in runs if calls[run][kind]]
    for number in range(count):
        (stage, recipe), kind = places[number % len(places)]
        first = int(random.integers(1, calls[stage, recipe][kind] + 1))
        fault = Fault(kind, first, int(random.integers(2)), int(random.choice(ERRORS)))
        yield Try(stage, recipe, fault, *_outcome(world, forks, folder, stage, recipe, fault))


def _calls(world: World, forks: Forks, folder: Path, stage: str, recipe: str) -> dict[str, int]:
    """The number of calls of each kind in an undisturbed run of the stage."""
    world.copy(folder, without=STAGES[stage])
    done = forks.run([stage, "--recipe", f"{recipe}.toml"], folder)
    assert done.code == 0, done.stderr
    assert not world.wrong(folder), "an undisturbed run is always the same"
    return done.calls


def _outcome(
    world: World, forks: Forks, folder: Path, stage: str, recipe: str, fault: Fault
) -> tuple[str, str]:
    command = [stage, "--recipe", f"{recipe}.toml"]
    world.copy(folder, without=STAGES[stage])
    done = forks.run(command, folder, fault)
    outcome = outcome_of(done)
    if wrong := world.wrong(folder):
        return "wrong", f"{wrong}\n{done.stderr}"
    if outcome not in GOOD:
        return outcome, done.stderr
    again = forks.run(command, folder)
    swept = forks.run(["gc", "--yes"], folder)
    # Of .building and .scratch; the file of a lock that nobody holds excludes nobody.
    left = [path.name for path in (folder / "artifacts").glob(".[bs]*/*") if path.suffix != ".lock"]
    if again.code or swept.code or world.wrong(folder) or left:
        return "stuck", f"{done.stderr}\n-- again:\n{again.stderr}\n{swept.stderr}\nleft: {left}"
    return outcome, done.stderr


def outcome_of(done: Done) -> str:
    """same, error, hung, crash or traceback."""
    if done.code == 0:
        return "same"
    if done.is_clean:
        return "error"
    return "hung" if done.code == HUNG else "crash" if done.code < 0 else "traceback"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stage", choices=list(STAGES), action="append", help="Only this stage.")
    parser.add_argument("--details", action="store_true", help="Print what the bad tries printed.")
    options = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (base := place / "base").mkdir()
        with Forks(compile_failing_disk(place)) as forks:
            world = World.make(base, forks)
            stages = tuple(options.stage or STAGES)
            done = tries(world, forks, place / "copy", options.tries, options.seed, stages)
            for each in with_progress("disk errors", done, options.tries):
                counts[each.fault.kind, each.outcome] += 1
                if each.outcome not in GOOD:
                    print(each.outcome, each.stage, each.recipe, each.fault, flush=True)
                    if options.details:
                        print(each.stderr, flush=True)
    return print_counts(counts, KINDS)


def with_progress(description: str, tries: Iterator[T], total: int) -> Iterator[T]:
    """Yield the tries, and show how many are done: a bar on a terminal, lines elsewhere."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("xmcpipe.progress").setLevel(logging.INFO)
    with progress(description, total, "tries") as bar:
        for each in tries:
            yield each
            bar.update()


def print_counts(counts: "Counter[tuple[str, str]]", rows: tuple[str, ...]) -> int:
    """Print a table in Markdown of the outcomes of each row; returns 1 if any outcome isn't good."""
    outcomes = [*GOOD, *sorted({outcome for _, outcome in counts} - {*GOOD})]
    print("| | " + " | ".join(outcomes) + " |\n|---|" + "---:|" * len(outcomes))
    for row in rows:
        print(f"| {row} | " + " | ".join(str(counts[row, outcome]) for outcome in outcomes) + " |")
    totals = [sum(counts[row, outcome] for row in rows) for outcome in outcomes]
    print("| all | " + " | ".join(map(str, totals)) + " |")
    return int(any(outcome not in GOOD for _, outcome in counts))


if __name__ == "__main__":
    raise SystemExit(main())
