"""Damages files that strangers could send, at random, and reads them with the command that takes them.

    python -m tests.bench.damage.fuzzed_inputs [--tries 10000] [--seed 0] [--kind model] [--details]

A good file of each kind is changed in one to four places: bits flipped, bytes cut out, repeated, overwritten
or inserted, numbers made huge or negative, brackets nested. Manifests are made to match, as a stranger's
would.
It counts what each command came to:

- same: it succeeded (the change was harmless, or the file means something else now);
- error: it ended in one line and exit code 2;
- traceback, crash, hung (600 s) and large (more than 2 GB beyond a good file's): none may occur.
"""

import argparse
import dataclasses
import json
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.bench.damage.disk_errors import outcome_of, print_counts, with_progress
from tests.bench.damage.forked import Done, Forks
from tests.bench.damage.world import World
from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.artifacts.manifest import Manifest, Output
from xmcpipe.artifacts.store import Artifact

MOST_BYTES = 2 * 10**9
HUGE = [
    b"99999999999999999999",
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b'"x"',
    b"[" * 5000,
    b'{"a":' * 5000,
    b"\x00" * 8,
]
TEXT = ["predict", "--text", "some words", "--json", "--model"]


class Kind:
    """A kind of input: `files(folder)` returns those to damage, `command(path)` what reads one of them.

    `sealed`: whether the manifest of its artifact is made to match the damaged file.
    """

    def __init__(
        self, files: Callable[[Path], list[Path]], command: Callable[[Path], list[str]], sealed: bool = False
    ) -> None:
        self.files, self.command, self.sealed = files, command, sealed


def _of(pattern: str) -> Callable[[Path], list[Path]]:
    return lambda folder: sorted(path for path in folder.glob(pattern) if path.is_file())


def _place(path: Path) -> Path:
    """The folder of the artifact that holds `path`, in a store called "artifacts"."""
    parts = path.parts
    return Path(*parts[: parts.index("artifacts") + 3])


def _model_of(path: Path) -> str:
    return str(next((_place(path).parents[1] / "model").glob("*")))


KINDS = {
    "import": Kind(_of("inputs/documents.*"), lambda path: ["import", "--train", str(path)]),
    "recipe": Kind(_of("paper.toml"), lambda path: ["status", str(path)]),
    "manifest": Kind(_of("artifacts/*/*/manifest.json"), lambda path: ["status", "paper.toml", "--verify"]),
    "shards": Kind(
        _of("artifacts/shards/*/*.*"),
        lambda path: ["predict", "--shards", str(_place(path)), "--model", _model_of(path)],
        sealed=True,
    ),
    "predictions": Kind(
        _of("inputs/predictions.*"),
        lambda path: ["eval", "--predictions", str(path), "--truth", str(path.with_name("truth.jsonl"))],
    ),
    "model": Kind(_of("artifacts/model/*/**/*.*"), lambda path: [*TEXT, str(_place(path))], sealed=True),
    "archive": Kind(
        _of("inputs/*.tar.gz"),
        lambda path: ["download", "eurlex-4k", "--from", str(path)],
    ),
}


def make_inputs(folder: Path) -> None:
    """Write good tables, predictions and an archive into `folder`/inputs."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    (inputs := folder / "inputs").mkdir()
    lines = (folder / "documents.jsonl").read_text().splitlines()[:60]
    rows = [json.loads(line) for line in lines]
    (inputs / "documents.jsonl").write_text("\n".join(lines) + "\n")
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, inputs / "documents.parquet")
    joined = [{**row, "labels": " ".join(row["labels"])} for row in rows]
    pa.csv.write_csv(pa.Table.from_pylist(joined), inputs / "documents.csv")
    scored = [
        {
            "id": row["id"],
            "labels": row["labels"],
            "scores": [1.0 / (1 + n) for n in range(len(row["labels"]))],
        }
        for row in rows
    ]
    (inputs / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scored))
    pq.write_table(pa.Table.from_pylist(scored), inputs / "predictions.parquet")
    truth = "".join(json.dumps({"id": row["id"], "labels": row["labels"]}) + "\n" for row in rows)
    (inputs / "truth.jsonl").write_text(truth)
    with tarfile.open(inputs / "data.tar.gz", "w:gz") as archive:
        archive.add(inputs / "documents.jsonl", "data/train.txt")
        archive.add(inputs / "truth.jsonl", "data/test.txt")


def damage(content: bytes, random: np.random.Generator) -> bytes:
    """The content with one to four random changes."""
    data = bytearray(content)
    for _ in range(int(random.integers(1, 5))):
        at, length = int(random.integers(len(data) + 1)), int(random.integers(1, 40))
        match int(random.integers(6)):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << int(random.integers(8))
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at : at + length] = random.bytes(length)
            case 4:
                del data[at:]
            case _:
                data[at : at + length * int(random.integers(2))] = HUGE[int(random.integers(len(HUGE)))]
    return bytes(data)


def seal(path: Path) -> None:
    """Let the manifest of the artifact that holds `path` say what the file is now."""
    artifact = Artifact.at(_place(path))
    name = path.relative_to(artifact.path).as_posix()
    if name in artifact.manifest.outputs:
        changed = Output(path.stat().st_size, sha256_of_file(path))
        outputs = {**artifact.manifest.outputs, name: changed}
        Manifest.write(dataclasses.replace(artifact.manifest, outputs=outputs), artifact.path)


def tries(
    world: World, forks: Forks, folder: Path, count: int, seed: int, kinds: tuple[str, ...]
) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, outcome, what was printed) for `count` damaged files."""
    random = np.random.default_rng(seed)
    make_inputs(world.folder)
    world.copy(folder)
    good = {
        kind: max(_run(forks, folder, kind, path).most_bytes for path in KINDS[kind].files(folder)[:2])
        for kind in kinds
    }
    for number in range(count):
        kind = kinds[number % len(kinds)]
        files = KINDS[kind].files(folder)
        path = files[int(random.integers(len(files)))]
        before, manifest = path.read_bytes(), _manifest(path)
        path.write_bytes(damage(before, random))
        if KINDS[kind].sealed and path.name != "manifest.json":
            seal(path)
        done = _run(forks, folder, kind, path)
        outcome = "large" if done.most_bytes > good[kind] + MOST_BYTES else outcome_of(done)
        yield kind, outcome, f"{path.relative_to(folder)}, number {number}\n{done.stderr}"
        path.write_bytes(before)
        for place, content in manifest.items():
            place.write_bytes(content)


def _run(forks: Forks, folder: Path, kind: str, path: Path) -> Done:
    store = folder.with_name("made")
    shutil.rmtree(store, ignore_errors=True)
    # What a command makes goes to a store of its own, so that each runs.
    own = ["--store", str(store)] if kind in ("import", "shards", "archive") else []
    return forks.run([*KINDS[kind].command(path), *own], folder)


def _manifest(path: Path) -> dict[Path, bytes]:
    """The manifest of the artifact that holds `path`, if there is one."""
    if "artifacts" not in path.parts:
        return {}
    place = _place(path) / "manifest.json"
    return {place: place.read_bytes()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="Only this kind.")
    parser.add_argument("--details", action="store_true", help="Print what the bad tries printed.")
    options = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as name, Forks() as forks:
        (base := Path(name) / "base").mkdir()
        world = World.make(base, forks, names=("paper",))
        kinds = tuple(options.kind or KINDS)
        done = tries(world, forks, Path(name) / "copy", options.tries, options.seed, kinds)
        for kind, outcome, printed in with_progress("fuzz", done, options.tries):
            counts[kind, outcome] += 1
            if outcome not in ("same", "error"):
                print(outcome, kind, printed if options.details else printed.splitlines()[0], flush=True)
    return print_counts(counts, kinds)


if __name__ == "__main__":
    raise SystemExit(main())
