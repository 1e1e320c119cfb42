"""`xmcpipe grow` and `train.start_from` on the command line: from files to models that all commands read."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tests.pipeline.places import LIGHT, Workplace, settings
from xmcpipe.modeling.saved import load_model

FREQUENT = ["tokenize.words=pairs", "train.head.word_fan_in=16", "train.epochs=2"]
FREQUENT += ["train.head.frequent_labels=5", "train.head.frequent_word_fan_in=64"]


def model_of(place: Workplace, *options: str) -> Path:
    """The model of the recipe with these settings."""
    done = json.loads(place.call("train", "tiny.toml", "--json", *options).stdout)
    return place.folder / str(done["path"])


def documents(place: Workplace, count: int) -> list[tuple[str, str]]:
    """Texts of the training, and the name of a label of each."""
    (raw,) = place.store.glob("raw/*")
    names = pq.read_table(raw / "labels.parquet")["label"].to_pylist()
    rows = pq.read_table(raw / "train.parquet").slice(0, count).to_pylist()
    return [(row["text"], names[row["labels"][0]]) for row in rows]


def grow(place: Workplace, model: Path | str, *options: str) -> dict[str, Any]:
    done: dict[str, Any] = json.loads(place.call("grow", str(model), "--json", *options).stdout)
    return done


MODES: dict[str, list[str]] = {
    "plain": [],
    "words-frequent-light": [*FREQUENT, *LIGHT],
    "groups": ["train.head.group=4", "train.head.group_by=random", "train.epochs=2"],
    "8 bits": [*LIGHT, "train.head.weight_dtype=float8", "train.epochs=2"],
}


def same_rows(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether `two` begins with the bits of `one`."""
    return torch.equal(one.detach().view(torch.uint8), two.detach()[: len(one)].view(torch.uint8))


@pytest.mark.slow
def test_a_training_of_groups_starts_from_a_model(workplace: Workplace) -> None:
    """Labels stay together, although groups by frequency would be others, and read the same features."""
    short = ["train.rewire.interval=0", "train.max_steps=3", "train.warmup_steps=1"]
    options = settings([*MODES["groups"], *short])
    workplace.call("cluster", "tiny.toml", *options)
    first = model_of(workplace, *options)
    still = settings(["train.head.lr=1e-30", "train.encoder.lr=0", "train.head.group_by=frequency"])
    second = model_of(workplace, *options, *still, "--set", f"train.start_from={first}")
    groups = groups_of(first)
    assert groups_of(second) == groups
    counts = pq.read_table(first / "labels.parquet")["documents"].to_numpy()
    by_frequency = counts.argsort(stable=True)[::-1]
    assert {frozenset(by_frequency[begin : begin + 4].tolist()) for begin in (0, 4, 8)}.isdisjoint(groups)


def groups_of(folder: Path) -> dict[frozenset[int], set[int]]:
    """The features that each group of labels reads."""
    model, _ = load_model(folder)
    order, group = model.head.order, model.head.shape.group
    assert order is not None
    members = [frozenset(order[begin : begin + group].tolist()) for begin in range(0, len(order), group)]
    return {labels: set(row) for labels, row in zip(members, model.head.index.tolist(), strict=True)}


@pytest.mark.parametrize(
    "mode",
    [
        "plain",
        "words-frequent-light",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("groups", "8 bits")),
    ],
)
def test_a_grown_model_is_read_by_all_commands(workplace: Workplace, mode: str) -> None:
    options = settings(MODES[mode])
    if options:
        workplace.call("tokenize", "tiny.toml", *options)
        workplace.call("cluster", "tiny.toml", *options)
    model = model_of(workplace, *options)
    (workplace.folder / "new.tsv").write_text("label\ttext\nharbours\tships in a harbour\nbridges\t\n")
    lines = [{"text": text, "labels": ["bridges", name]} for text, name in documents(workplace, 6)]
    (workplace.folder / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = grow(workplace, model, "--labels", "new.tsv", "--documents", "some.jsonl")
    assert done["figures"]["new_labels"] == 2
    assert done["figures"]["labels_without_documents"] == 1
    grown = workplace.folder / done["path"]
    (old, facts), (new, grown_facts) = load_model(model), load_model(grown)
    for one, two in zip(old.heads, new.heads, strict=True):
        assert same_rows(one.weight, two.weight)
        assert one.weight.dtype == two.weight.dtype
        assert same_rows(one.index, two.index)
    assert grown_facts["documents"] == facts["documents"]
    assert pq.read_table(grown / "labels.parquet")["documents"].to_pylist()[-2:] == [0, 6]
    text = lines[0]["text"]
    named = workplace.call("predict", "--model", str(grown), "--text", str(text), "--top", "100", "--json")
    scores = {each["label"]: each["score"] for each in json.loads(named.stdout)["labels"]}
    assert {"bridges", "harbours"} <= scores.keys()
    assert scores["bridges"] > scores["harbours"]
    tables = ["--labels", "new.tsv", "--documents", "some.jsonl"]
    assert grow(workplace, model, *tables)["state"] == "reused"
    trained = load_model(workplace.folder / grow(workplace, model, *tables, "--epochs", "1")["path"])[0]
    for one, two, three in zip(old.heads, trained.heads, new.heads, strict=True):
        assert same_rows(one.weight, two.weight)
        assert one.num_labels == two.num_labels or not same_rows(two.weight, three.weight)


def test_the_recipe_names_the_model_and_its_calibration(workplace: Workplace) -> None:
    recipe = workplace.folder / "tiny.toml"
    recipe.write_text(recipe.read_text() + "\n[calibrate]\n")
    workplace.call("calibrate", "tiny.toml")
    (workplace.folder / "names.txt").write_text("harbours\nbridges\n")
    done = grow(workplace, "tiny.toml", "--labels", "names.txt")
    grown = workplace.folder / done["path"]
    (calibration,) = workplace.store.glob("calibration/*")
    before, after = (pq.read_table(folder / "calibration.parquet") for folder in (calibration, grown))
    assert after.slice(0, len(before)).equals(before)
    assert len(after) == len(before) + 2
    text = ["--text", "a text", "--threshold", "f1", "--json"]
    assert workplace.call("predict", "--model", str(grown), *text).returncode == 0


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ("label,text\n", [], "expected labels to add, got none"),
        ("label,text\na,x\na,y\n", [], "expected distinct labels, got 'a' in rows 1 and 2"),
        ("label,text\na,\n", [], "no text and no documents for 'a'"),
        ("label,text\n,x\n", [], "a blank one in row 1"),
        ("name,text\na,x\n", [], "expected a column 'label', got name, text"),
        ("label,text\na,x\n", ["--documents", "missing.jsonl"], "missing.jsonl"),
        ("label,text\na,x\n", ["--epochs", "2"], "expected documents to train on with epochs"),
        ("label,text\na,x\n", ["--rows", "old"], "grow.rows: expected one of 'new', 'all', got 'old'"),
    ],
)
def test_bad_tables_are_one_line(finished: Workplace, table: str, options: list[str], message: str) -> None:
    (model,) = finished.store.glob("model/*")
    (finished.folder / "bad.csv").write_text(table)
    before = sorted(finished.store.rglob("model/*"))
    done = finished.call("grow", str(model), "--labels", "bad.csv", *options, code=2)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert sorted(finished.store.rglob("model/*")) == before


def test_another_kind_of_head_is_refused(workplace: Workplace) -> None:
    model = model_of(workplace, *settings(["train.head.kind=bottleneck", "train.epochs=1"]))
    (workplace.folder / "names.txt").write_text("harbours\n")
    done = workplace.call("grow", str(model), "--labels", "names.txt", code=2)
    assert "labels can" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_training_starts_from_a_model(workplace: Workplace) -> None:
    (model,) = workplace.store.glob("model/*")
    one = ["--set", "train.max_steps=3", "--set", "train.warmup_steps=1", "--set", "train.encoder.lr=0"]
    anew = model_of(workplace, *one)
    started = model_of(workplace, *one, "--set", f"train.start_from={model}")
    again = model_of(workplace, *one, "--set", "train.start_from=tiny.toml")
    assert len({model.name, anew.name, started.name}) == 3
    assert again == started  # the recipe stands for its model
    manifests = [json.loads((each / "manifest.json").read_text()) for each in (anew, started)]
    assert "source" not in manifests[0]["inputs"]
    assert (
        manifests[1]["inputs"]["source"] == json.loads((model / "manifest.json").read_text())["fingerprint"]
    )
    values = [each["figures"]["validation"]["P@1"] for each in manifests]
    assert values[1] > values[0] + 0.1  # after three steps


def test_a_model_that_is_not_there_or_damaged_is_one_line(workplace: Workplace) -> None:
    done = workplace.call("train", "tiny.toml", "--set", "train.start_from=none.toml", code=2)
    assert "train.start_from: none.toml is neither the folder of a model nor a recipe" in done.stderr
    workplace.call("plan", "tiny.toml", "--set", "train.start_from=none.toml")  # plans the same training
    (model,) = workplace.store.glob("model/*")
    damaged = workplace.folder / "damaged"
    shutil.copytree(model, damaged)
    content = bytearray((damaged / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (damaged / "model.safetensors").write_bytes(content)
    done = workplace.call("train", "tiny.toml", "--set", f"train.start_from={damaged}", code=2)
    assert "model.safetensors" in done.stderr
    assert "Traceback" not in done.stderr
    wider = ["--set", "train.head.fan_in=9", "--set", f"train.start_from={model}"]
    done = workplace.call("train", "tiny.toml", *wider, code=2)
    assert "expected head.fan_in = 8, as in" in done.stderr
