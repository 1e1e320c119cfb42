"""How good labels are that are added to a trained model, against a training with all labels.

    python -m tests.bench.growth_of_labels pipelines/frozen/tate-frozen.toml --folder growth \\
        --set import.train=tate.jsonl.gz --set import.label_table=tate.labels.tsv

200 labels are held out of the recipe's training data: not those of most documents, and each with six
documents or more. A model is trained without them; it gets them back by their texts, by five documents of
each, or by all. P@k and PSP@k are measured on all labels, and on the held-out labels alone: documents that
have one, and a ranking of these labels.

Rules are chosen with `--measure validation`: on the documents that the training set aside, with other
labels held out (`--draw 0`). The result is measured with `--measure test` (`--draw 1`), once. The encoder of
the recipe must be frozen: a document's embedding is then the same in all trainings, and is copied.
"""

import argparse
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import xmcpipe
from xmcpipe.api.chains import ModelFolders, open_chain
from xmcpipe.api.growing import run_grow
from xmcpipe.data.embeddings import EmbeddingTable, EmbeddingWriter, embeddings_path
from xmcpipe.data.shards.files import SPLITS, Shards
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.modeling.saved import load_model
from xmcpipe.modeling.topk import top_labels_of
from xmcpipe.recipe import Recipe, load
from xmcpipe.stages.chain import Chain
from xmcpipe.stages.runner import Runner
from xmcpipe.training.schedule import divided, num_held_out

HELD_OUT, FREQUENT, LEAST = 200, 100, 6
K = (1, 3, 5)
Names = list[list[str]]
COPIED = """extends = "{recipe}"

[import]
train = "train.parquet"
test = "test.parquet"
label_table = "labels.parquet"
no_labels = "keep"
repeated = "keep"
leaked = "keep"
min_label_count = 0
"""


@dataclass(frozen=True)
class World:
    """The recipe's data and model, and where artifacts are."""

    recipe: Recipe
    store: Path
    measure: str
    read: dict[str, tuple[list[str], Names]] = field(default_factory=dict)

    @cached_property
    def chain(self) -> Chain:
        chain = open_chain(self.recipe, self.store)
        list(Runner(chain).run(stop="train"))
        return chain

    def folder(self, kind: str) -> Path:
        artifact = self.chain.input(kind)[1]
        assert artifact is not None, "the chain has run"
        return artifact.path

    @cached_property
    def names(self) -> list[str]:
        found: list[str] = self.labels["label"].to_pylist()
        return found

    @cached_property
    def labels(self) -> pa.Table:
        return pq.read_table(self.folder("raw") / "labels.parquet")

    def documents(self, split: str) -> tuple[list[str], Names]:
        """Texts and label names of a split."""
        if split not in self.read:
            self.read[split] = self._documents(split)
        return self.read[split]

    def _documents(self, split: str) -> tuple[list[str], Names]:
        table = pq.read_table(self.folder("raw") / f"{split}.parquet")
        ids = table["labels"].to_pylist()
        return table["text"].to_pylist(), [[self.names[each] for each in row] for row in ids]

    @cached_property
    def rows(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The training documents that are set aside, and those that are trained on."""
        config = self.recipe.configs["train"]
        total = len(Shards(self.folder("shards"), "train"))
        return divided(total, num_held_out(config, total), config.seed)

    @cached_property
    def measured(self) -> tuple[str, npt.NDArray[np.int64]]:
        """The split and rows on which is measured."""
        if self.measure == "validation":
            return "train", self.rows[0]
        return "test", np.arange(len(Shards(self.folder("shards"), "test")))


def counts_of(names: list[str], rows: Names) -> npt.NDArray[np.int64]:
    """The number of documents of each label."""
    place = {name: number for number, name in enumerate(names)}
    ids = [place[name] for row in rows for name in row]
    return np.bincount(ids, minlength=len(names))


def held_out(world: World, draw: int) -> list[str]:
    """The labels that are held out; those of other draws are others."""
    train = world.documents("train")[1]
    trained = counts_of(world.names, [train[row] for row in world.rows[1]])
    usable = trained >= LEAST
    usable[np.argsort(-trained, kind="stable")[:FREQUENT]] = False
    taken: npt.NDArray[np.int64] = np.empty(0, np.int64)
    for seed in range(draw + 1):
        on_validation = seed == 0
        truth = [train[row] for row in world.rows[0]] if on_validation else world.documents("test")[1]
        possible = usable & (counts_of(world.names, truth) > 0)
        possible[taken] = False
        drawn = np.random.default_rng(seed).choice(np.flatnonzero(possible), HELD_OUT, replace=False)
        taken = np.concatenate([taken, np.sort(drawn)])
    return [world.names[each] for each in taken[-HELD_OUT:]]


def train_without(world: World, labels: list[str], folder: Path, recipe: Path) -> Path:
    """The model of the recipe, trained without `labels`; its tables are in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    gone = set(labels)
    # The stage needs a test split; nothing is measured on it.
    for split, most in (("train", None), ("test", 200)):
        table = pq.read_table(world.folder("raw") / f"{split}.parquet").slice(0, most)
        kept = [[name for name in row if name not in gone] for row in world.documents(split)[1][:most]]
        labelled = pa.array(kept, pa.list_(pa.string()))
        table = pa.table({"id": table["id"], "text": table["text"], "labels": labelled})
        if most is not None:
            table = table.filter(pa.array([bool(row) for row in kept])).slice(0, 64)
        pq.write_table(table, folder / f"{split}.parquet")
    mask = pa.array([name not in gone for name in world.names])
    pq.write_table(world.labels.filter(mask), folder / "labels.parquet")
    (folder / "without.toml").write_text(COPIED.format(recipe=recipe.resolve()))
    chain = open_chain(load(str(folder / "without.toml")), world.store)
    list(Runner(chain).run(stop="tokenize"))
    copy_embeddings(world, chain)
    *_, last = Runner(chain).run(stop="train")
    return last.artifact.path


def copy_embeddings(world: World, chain: Chain) -> None:
    """Put the embeddings of equal documents where the stage `embed` continues from."""
    step, shards = chain.step(chain.stage("embed")), chain.input("shards")[1]
    assert step.fingerprint is not None
    assert shards is not None
    if step.artifact is not None:
        return
    scratch = world.store / ".scratch" / f"embeddings-{step.fingerprint[:16]}"
    scratch.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        mine, whole = Shards(shards.path, split), Shards(world.folder("shards"), split)
        place = {key: row for row, key in enumerate(keys(whole))}
        table = EmbeddingTable(world.folder("embeddings"), split)
        rows = np.array([place[key] for key in keys(mine)], np.int64)
        writer = EmbeddingWriter(embeddings_path(scratch, split), len(mine), table.width)
        if not writer.done:
            writer.write(table.gather(rows).astype(np.float16))


def keys(shards: Shards) -> list[bytes]:
    """The tokens of each document as bytes."""
    values, lengths = shards.tokens.gather(np.arange(len(shards)))
    ends = np.cumsum(lengths)
    return [values[end - length : end].tobytes() for end, length in zip(ends, lengths, strict=True)]


def grown(
    world: World, model: Path, labels: list[str], folder: Path, documents: int, keys_: list[str]
) -> Path:
    """The model with `labels` by `documents` documents of each (0: by text), of those trained on."""
    texts = dict(zip(world.names, world.labels["text"].to_pylist(), strict=True))
    pq.write_table(
        pa.table({"label": labels, "text": [texts[name] for name in labels]}), folder / "new.parquet"
    )
    tables = {"labels": str(folder / "new.parquet")}
    if documents:
        train_texts, names = world.documents("train")
        random, wanted = np.random.default_rng(7), set(labels)
        chosen: dict[str, list[int]] = {name: [] for name in labels}
        for row in random.permutation(world.rows[1]).tolist():
            for name in wanted.intersection(names[row]):
                if len(chosen[name]) < documents:
                    chosen[name].append(row)
        given = sorted({row for rows in chosen.values() for row in rows})
        columns = {
            "text": [train_texts[row] for row in given],
            "labels": [[name for name in names[row] if row in chosen.get(name, [row])] for row in given],
        }
        pq.write_table(pa.table(columns), folder / f"documents-{documents}.parquet")
        tables["documents"] = str(folder / f"documents-{documents}.parquet")
    return run_grow(ModelFolders(model), tables, world.store, keys_).artifact.path


def ranked(world: World, folder: Path, only: list[str] | None = None) -> Names:
    """The five best labels of each measured document: of all, or of `only` some."""
    model, _ = load_model(folder)
    names: list[str] = pq.read_table(folder / "labels.parquet")["label"].to_pylist()
    split, rows = world.measured
    shards = Shards(world.folder("shards"), split)
    embedding_NE = torch.from_numpy(EmbeddingTable(world.folder("embeddings"), split).gather(rows))
    added = None
    if only is not None:
        place = {name: number for number, name in enumerate(names)}
        added = torch.full((len(names),), -torch.inf)
        added[[place[name] for name in only]] = 0.0
    vocabulary = None if model.words is None else WordVocabulary(*model.words.arrays())
    found: Names = []
    for begin in range(0, len(rows), 256):
        part, words = slice(begin, begin + 256), None
        if vocabulary is not None and model.words is not None:
            words = model.words.batch(*vocabulary.weigh(shards.terms(rows[part])), len(rows[part]))
        with torch.inference_mode():
            best, _ = top_labels_of(model, model.features(embedding_NE[part]), max(K), 32_768, words, added)
        found += [[names[each] for each in row] for row in best.tolist()]
    return found


def figures(world: World, folder: Path, labels: list[str]) -> dict[str, dict[str, float]]:
    """P@k and PSP@k in %, over all labels and over `labels` alone (if the model has them)."""
    split, rows = world.measured
    of_split, of_train = world.documents(split)[1], world.documents("train")[1]
    truth, train = [of_split[row] for row in rows], [of_train[row] for row in world.rows[1]]
    found = {"all": measured(ranked(world, folder), truth, train)}
    if labels[0] in pq.read_table(folder / "labels.parquet")["label"].to_pylist():
        wanted = set(labels)
        some = [[name for name in row if name in wanted] for row in truth]
        best = ranked(world, folder, labels)
        pairs = [(one, two) for one, two in zip(best, some, strict=True) if two]
        predicted, right = [one for one, _ in pairs], [two for _, two in pairs]
        found["new"] = {**measured(predicted, right, train), "documents": len(pairs)}
    return found


def measured(predicted: Names, truth: Names, train: Names) -> dict[str, float]:
    found = xmcpipe.evaluate(predicted, truth, train=train, k=K).figures
    return {name: round(100 * found[name], 2) for m in ("P", "PSP") for k in K if (name := f"{m}@{k}")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="for tables, artifacts and the result")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--grow", action="append", default=[], metavar="grow.KEY=VALUE")
    parser.add_argument("--measure", choices=["validation", "test"], default="test")
    parser.add_argument("--draw", type=int, default=1, help="which 200 labels are held out")
    parser.add_argument("--documents", type=int, nargs="*", default=[0, 5, 1 << 30])
    options = parser.parse_args()
    torch.set_num_threads(1)
    world = World(load(str(options.recipe), options.settings), options.folder / "artifacts", options.measure)
    labels, folder = held_out(world, options.draw), options.folder / f"draw-{options.draw}"
    model = train_without(world, labels, folder, options.recipe)
    result: dict[str, Any] = {"without": figures(world, model, labels)}
    for count in options.documents:
        name = "text" if not count else "all documents" if count == 1 << 30 else f"{count} documents"
        result[name] = figures(world, grown(world, model, labels, folder, count, options.grow), labels)
        print(name, json.dumps(result[name]), flush=True)
    result["trained with all"] = figures(world, world.folder("model"), labels)
    text = json.dumps(
        {"settings": vars(options) | {"folder": "", "recipe": options.recipe.name}, **result}, indent=1
    )
    (options.folder / f"growth-{options.measure}-{options.draw}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
