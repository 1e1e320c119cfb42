"""Ends a small whole pipeline in many ways; whoever goes on must end in the bytes of a run that nobody ended.

    python -m tests.bench.robust --out kills.json      # all parts, about half an hour
    python -m tests.bench.robust kills --tries 6 --seed 7                 # one part

Each part counts its tries, and lists every fault: an exit code or a traceback that is not expected, a file
that differs, a folder that is left behind. Any fault makes the exit code 1.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.robust import parts
from tests.bench.robust.world import World

PARTS: dict[str, Callable[[World, int, random.Random], dict[str, Any]]] = {
    "kills": parts.kills,
    "signals": parts.signals,
    "at-once": parts.at_once,
    "clock": parts.clock,
}
TRIES = {"kills": 60, "signals": 24, "at-once": 3, "clock": 6}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="Parts to run; by default all.")
    parser.add_argument("--tries", type=int, help="Number of tries of each part.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file to write.")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        world = World.make(Path(name))
        for part in options.part or PARTS:
            tries = options.tries or TRIES[part]
            results[part] = {"seed": options.seed, **PARTS[part](world, tries, random.Random(options.seed))}
            print(part, json.dumps(results[part]), flush=True)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(any(result["faults"] for result in results.values()))


if __name__ == "__main__":
    main()
