"""What a training gains that starts from a model of half of its documents, on the test split.

    python -m tests.bench.warm_start pipelines/frozen/tate-frozen.toml --folder growth --epochs 1 2 \\
        --set import.train=tate.jsonl.gz --set import.label_table=tate.labels.tsv

A model is trained on half of the training documents, drawn by a seed, with the recipe's settings. Then all
documents are trained on for a few epochs: from that model (`train.start_from`), and anew. The encoder of the
recipe must be frozen (see `growth_of_labels`, which also explains the folder).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tests.bench.growth_of_labels import COPIED, World, copy_embeddings, figures
from xmcpipe.api.chains import open_chain
from xmcpipe.recipe import load
from xmcpipe.stages.runner import Runner

SEED = 11


def train_on_half(world: World, folder: Path, recipe: Path) -> Path:
    """The model of the recipe, trained on half of the documents."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        table = pq.read_table(world.folder("raw") / f"{split}.parquet")
        total = len(table)
        rows = np.sort(
            np.random.default_rng(SEED).permutation(total)[: total // 2 if split == "train" else 64]
        )
        names = world.documents(split)[1]
        labelled = pa.array([names[row] for row in rows], pa.list_(pa.string()))
        part = table.take(pa.array(rows))
        pq.write_table(
            pa.table({"id": part["id"], "text": part["text"], "labels": labelled}),
            folder / f"{split}.parquet",
        )
    pq.write_table(world.labels, folder / "labels.parquet")
    text = COPIED.format(recipe=recipe.resolve()).replace("min_label_count = 0", "min_label_count = 1")
    (folder / "half.toml").write_text(text)
    chain = open_chain(load(str(folder / "half.toml")), world.store)
    list(Runner(chain).run(stop="tokenize"))
    copy_embeddings(world, chain)
    *_, last = Runner(chain).run(stop="train")
    return last.artifact.path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="for tables, artifacts and the result")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    world = World(load(str(options.recipe), options.settings), options.folder / "artifacts", "test")
    half = train_on_half(world, options.folder / "half", options.recipe)
    result = {}
    for epochs in options.epochs:
        for name, begin in (("anew", []), ("from half", [f"train.start_from={half}"])):
            settings = [*options.settings, f"train.epochs={epochs}", *begin]
            chain = open_chain(load(str(options.recipe), settings), world.store)
            *_, last = Runner(chain).run(stop="train")
            result[f"{name}, {epochs}"] = figures(world, last.artifact.path, [""])["all"]
            print(name, epochs, json.dumps(result[f"{name}, {epochs}"]), flush=True)
    result["half alone"] = figures(world, half, [""])["all"]
    result["recipe"] = figures(world, world.folder("model"), [""])["all"]
    text = json.dumps({"recipe_name": options.recipe.name, "epochs": options.epochs, **result}, indent=1)
    (options.folder / "warm-start.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
