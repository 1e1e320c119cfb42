"""Flips one bit in a file of an artifact or a checkpoint, and runs a stage that reads it.

    python -m tests.bench.damage.flipped_bits [--flips 300] [--seed 0] [--details]

The flips go through every file of every artifact of a small store, and of the checkpoints of a training that
was killed, in turn; which bit is drawn. For a file of an artifact, a stage that reads it is run, and `status
--verify`; for one of a checkpoint, the training is resumed. It counts what became of it:

- error: the stage ended in one line that names the file or its artifact, and `status --verify` named it too;
- same: the file is not read, or the training recovered: the bytes are those of an undisturbed run;
- traceback, crash, hung, wrong (an artifact that verifies but holds other bytes) and unnamed: none may occur.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.bench.damage.disk_errors import outcome_of, print_counts, with_progress
from tests.bench.damage.forked import Fault, Forks, compile_failing_disk
from tests.bench.damage.world import STAGES, World

# Kind of artifact -> a stage that reads it, and the recipe whose stage that is.
READERS = {
    "raw": "tokenize",
    "shards": "train",
    "clusters": "train",
    "embeddings": "train",
    "model": "predict",
    "predictions": "eval",
    "metrics": "eval",
}
CHECKPOINT = "checkpoint"


def flips(world: World, forks: Forks, folder: Path, count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, outcome, what was printed) for `count` flips."""
    random = np.random.default_rng(seed)
    stopped = folder.with_name("stopped")
    stop_training(world, forks, stopped)
    files = [path.relative_to(world.folder) for path in sorted(world.folder.glob("artifacts/[!.]*/*/**/*"))]
    files += [path.relative_to(stopped) for path in sorted(stopped.glob("artifacts/.scratch/*/**/*"))]
    files = [path for path in files if (stopped / path).is_file() or (world.folder / path).is_file()]
    order = random.permutation(len(files))  # a few flips are of several kinds, many are of all files
    for number in range(count):
        path = files[order[number % len(files)]]
        if path.parts[1] == ".scratch":
            yield CHECKPOINT, *flip_in_checkpoint(world, forks, folder, stopped, path, random)
        else:
            yield path.parts[1], *flip_in_artifact(world, forks, folder, path, random)


def flip(path: Path, random: np.random.Generator) -> None:
    """Flip one bit; an empty file gets one byte."""
    content = bytearray(path.read_bytes() or b"\x00")
    content[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
    path.write_bytes(content)


def stop_training(world: World, forks: Forks, folder: Path) -> None:
    """Copy the world to `folder`, and leave the training of its recipe "paper" unfinished there."""
    world.copy(folder, without="model")
    # The disk fails for good after some checkpoints, so the training stops between them.
    done = forks.run(["train", "--recipe", "paper.toml"], folder, Fault("mkdir", 16, 0, 5))
    assert done.code == 2, done.stderr
    assert list(folder.glob("artifacts/.scratch/*/checkpoint-*")), "it stopped after a checkpoint"


def flip_in_checkpoint(
    world: World, forks: Forks, folder: Path, stopped: Path, path: Path, random: np.random.Generator
) -> tuple[str, str]:
    """Flip a bit of the unfinished training, and resume it: it must end in the bytes of the others."""
    World(stopped, {}).copy(folder)
    flip(folder / path, random)
    done = forks.run(["train", "--recipe", "paper.toml"], folder)
    if wrong := world.wrong(folder):
        return "wrong", f"{path}: {wrong}\n{done.stderr}"
    return outcome_of(done), f"{path}\n{done.stderr}"


def flip_in_artifact(
    world: World, forks: Forks, folder: Path, path: Path, random: np.random.Generator
) -> tuple[str, str]:
    """Flip a bit of an artifact, and run a stage that reads it, and `status --verify`."""
    kind, name = path.parts[1], path.parts[2]
    recipe = world.recipe_of(f"{kind}/{name}")
    stage = READERS[kind]
    made = STAGES[stage]
    world.copy(folder, without=made if made != kind else "")
    flip(folder / path, random)
    done = forks.run([stage, "--recipe", f"{recipe}.toml"], folder)
    shown = forks.run(["status", f"{recipe}.toml", "--verify"], folder)
    printed = f"{path}\n{done.stderr}\n-- status:\n{shown.stderr}"
    if wrong := world.wrong(folder):
        return "wrong", f"{wrong}\n{printed}"
    outcome = outcome_of(done)
    # A stage whose own artifact was damaged may have made it again, and a damaged manifest is no input.
    if outcome == "same":
        return outcome, printed
    named = any(each in done.stderr for each in (path.name, name))
    if outcome == "error" and not (named and shown.code == 2):
        return "unnamed", printed
    return outcome, printed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flips", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--details", action="store_true", help="Print what the bad tries printed.")
    options = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (base := place / "base").mkdir()
        with Forks(compile_failing_disk(place)) as forks:
            world = World.make(base, forks)
            done = flips(world, forks, place / "copy", options.flips, options.seed)
            for kind, outcome, printed in with_progress("flips", done, options.flips):
                counts[kind, outcome] += 1
                if outcome not in ("same", "error"):
                    print(outcome, kind, printed if options.details else printed.splitlines()[0], flush=True)
    return print_counts(counts, (*READERS, CHECKPOINT))


if __name__ == "__main__":
    raise SystemExit(main())
