"""Trains a recipe in many variants, and compares them on the validation split.

    python -m tests.bench.ablation RECIPE VARIANTS.toml OUT.json [--set KEY=VALUE]... [--seeds 1]

VARIANTS.toml maps the name of each variant to the settings that it changes:

    [variants]
    "no words" = ["train.head.word_fan_in=0"]

The recipe itself is the first row, "as it is". OUT.json is written after every training, and what it has
already is not trained again. Prints the table in Markdown: means over the seeds, in per cent.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.bench.ablation import AS_IT_IS

FIGURES = ("P@1", "P@3", "P@5", "PSP@1", "PSP@3", "PSP@5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("variants", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    variants = {AS_IT_IS: [], **tomllib.loads(options.variants.read_text(encoding="utf-8"))["variants"]}
    table: dict[str, Any] = {"recipe": options.recipe, "made_by": {}, "rows": []}
    if options.out.is_file():
        table = json.loads(options.out.read_text(encoding="utf-8"))
    done = {(row["name"], row["seed"]) for row in table["rows"]}
    for seed in range(options.seeds):
        for name, settings in variants.items():
            if (name, seed) not in done:
                manifest = trained(options.recipe, [*options.set, *settings], seed)
                made_by = manifest["made_by"]
                table["made_by"] = {key: made_by[key] for key in ("xmcpipe", "python", "libraries", "cpus")}
                table["rows"].append({"name": name, "seed": seed, "set": settings, **figures(manifest)})
                options.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(markdown(table["rows"], list(variants)))


def trained(recipe: str, settings: list[str], seed: int) -> dict[str, Any]:
    """The manifest of the model of a variant."""
    changes = [word for line in [*settings, f"train.seed={seed}"] for word in ("--set", line)]
    command = [sys.executable, "-m", "xmcpipe", "run", recipe, "--to", "train", "--json", *changes]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ)
    (made,) = (stage for stage in json.loads(done.stdout)["stages"] if stage["stage"] == "train")
    path = Path(made["path"])
    manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    return manifest


def figures(manifest: dict[str, Any]) -> dict[str, Any]:
    """What a row keeps of a training."""
    found = manifest["figures"]
    values = {name: found["validation"][name] for name in FIGURES}
    return {**values, "head_bytes": found["head_bytes"], "seconds": found["seconds"]}


def markdown(rows: list[dict[str, Any]], order: list[str]) -> str:
    """A table with a line for each variant; with several seeds also the standard deviation."""
    lines = [f"| variant | {' | '.join(FIGURES)} | bytes | seconds |", "|---" * (len(FIGURES) + 3) + "|"]
    for name in order:
        of_name = [row for row in rows if row["name"] == name]
        if of_name:
            cells = [shown([100 * row[figure] for row in of_name]) for figure in FIGURES]
            size = f"{of_name[0]['head_bytes'] / 1e6:.1f} MB"
            seconds = f"{statistics.median(row['seconds'] for row in of_name):.0f}"
            lines.append(f"| {name} | {' | '.join(cells)} | {size} | {seconds} |")
    return "\n".join(lines)


def shown(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


if __name__ == "__main__":
    main()
