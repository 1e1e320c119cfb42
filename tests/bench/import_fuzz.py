"""Counts what an import makes of files with mistakes, by kind: read right, warned about, refused or misread.

    python -m tests.bench.import_fuzz --examples 2000 --out results/files/import-fuzz.json

The files are those of tests/unit/data/tables/fuzz_cases.py; the same number of examples gives the same files.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.unit.data.tables.fuzz_cases import KINDS, Case, outcome

OUTCOMES = ("right", "warned", "refused", "misread")


def count(cases: st.SearchStrategy[Case], examples: int) -> dict[str, int]:
    """The number of files of each outcome, among `examples` files."""
    counts: Counter[str] = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def run(case: Case) -> None:
        with tempfile.TemporaryDirectory() as folder:
            counts[outcome(case, Path(folder))] += 1

    run()
    return {name: counts[name] for name in OUTCOMES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--examples", type=int, default=1000, help="files of each kind")
    parser.add_argument("--out", type=Path, help="JSON file for the counts")
    arguments = parser.parse_args()
    found = {kind: count(cases, arguments.examples) for kind, cases in KINDS.items()}
    for kind, counts in found.items():
        print(f"{kind:<22}", *(f"{name} {number:>5}" for name, number in counts.items()))
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(
            json.dumps({"examples": arguments.examples, "counts": found}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
