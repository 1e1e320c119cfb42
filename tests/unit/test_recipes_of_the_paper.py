"""The recipes against the paper's tables of settings, transcribed: Ullah et al., NeurIPS 2024, Tables 8, 9.

A dash: no such setting.
"""

import dataclasses
from pathlib import Path

import pytest

from xmcpipe.recipe import Recipe, load, packaged_recipes

TABLE_8 = """
wiki10_31k          google-bert/bert-base-uncased                    32  0.5  100 1e-5 0.01  1000 128
lf_amazontitles131k sentence-transformers/msmarco-distilbert-base-v4 512 0.7  200 1e-5 0.08  5000  32
wiki500k            google-bert/bert-base-uncased                    128 0.5   50 5e-5 0.05  1000 128
amazon670k          google-bert/bert-base-uncased                    64  0.6  110 1e-5 0.01  1000 128
amazon3m            google-bert/bert-base-uncased                    128 0.35  50 5e-5 0.05 10000 128
"""
TABLE_9 = """
wiki10_31k           64 0.92 fraction  -    0.25  300  - 4096
lf_amazontitles131k 128 0.83 fraction  -    0.15 1000 12    -
wiki500k            128 0.83 threshold 0.05 -     600  8    -
amazon670k          128 0.83 threshold 0.01 -     800 15    -
amazon3m            256 0.67 fraction  -    0.25 1500  8    -
"""
# Tables 2 and 3: P@1, P@3, P@5 and GiB of SPARTEX, as docs/recipes.md quotes them
PUBLISHED = """
wiki10_31k          88.6 77.7 67.4  2.1
wiki500k            76.7 57.8 44.5  4.1
amazon670k          47.1 41.8 38.0  3.7
amazon3m            50.2 47.1 44.8 13.5
lf_amazontitles131k 44.5 29.8 21.3  2.2
lf_wikiseealso320k  46.0 29.9 22.1  6.1
"""
PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
WIDTH = 768  # of the encoders' features
PROPENSITY = {"wiki": (0.5, 0.4), "amazon": (0.6, 2.6), "eurlex": (0.55, 1.5)}
SETS = [
    "wiki10_31k",
    "wiki500k",
    "amazon670k",
    "amazon3m",
    "lf_amazontitles131k",
    "lf_wikiseealso320k",
    "eurlex4k",
]


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


@pytest.mark.parametrize("row", rows(TABLE_8), ids=lambda row: row[0])
def test_table_8(row: list[str]) -> None:
    name, encoder, batch, dropout, epochs, encoder_rate, head_rate, warm_up, tokens = row
    recipe = load(name)
    train, tokenize = recipe.configs["train"], recipe.configs["tokenize"]
    assert recipe.configs["download"].dataset == name
    assert (tokenize.encoder, tokenize.max_length) == (encoder, int(tokens))
    assert (train.batch_size, train.epochs, train.warmup_steps) == (int(batch), int(epochs), int(warm_up))
    assert (train.encoder.dropout, train.encoder.lr) == (float(dropout), float(encoder_rate))
    assert (train.encoder.weight_decay, train.head.weight_decay) == (0.01, 1e-4)
    assert train.head.lr == float(head_rate)
    with_labels = name == "lf_amazontitles131k"
    optimizers = ("adam", "sgd") if with_labels else ("adamw", "adamw")
    assert (train.encoder.optimizer, train.head.optimizer) == optimizers
    assert train.loss == ("bce" if with_labels else "squared_hinge")
    assert train.precision == ("bfloat16" if name in ("amazon3m", "lf_amazontitles131k") else "float16")
    assert train.memory == "paper"
    if with_labels:
        assert (train.bce_reduction, train.head.momentum, train.label_features) == ("sum", 0.9, True)


@pytest.mark.parametrize("row", rows(TABLE_9), ids=lambda row: row[0])
def test_table_9(row: list[str]) -> None:
    name, fan_in, sparsity, prune, threshold, fraction, interval, cutoff, width = row
    train = load(name).configs["train"]
    assert train.head.kind == "ffi"
    assert train.head.fan_in == int(fan_in)
    assert round(1 - int(fan_in) / WIDTH, 2) == float(sparsity)
    assert (train.rewire.mode, train.rewire.interval, train.rewire.until) == (prune, int(interval), 0.66)
    if prune == "threshold":
        assert (train.rewire.threshold, train.rewire.final_threshold) == (float(threshold), 1e-4)
    else:
        assert train.rewire.fraction == float(fraction)
    assert train.auxiliary.weight == (0.0 if cutoff == "-" else 0.4)
    if cutoff != "-":
        assert (train.auxiliary.cutoff_epoch, train.auxiliary.lr) == (float(cutoff), 5.01e-4)
        assert "cluster" in load(name).configs
    assert train.head.intermediate == (0 if width == "-" else int(width))
    assert width == "-" or train.head.intermediate_lr == 2.01e-4


@pytest.mark.parametrize("row", rows(PUBLISHED), ids=lambda row: row[0])
def test_the_page_quotes_the_published_figures(row: list[str]) -> None:
    name, at_1, at_3, at_5, memory = row
    assert f"| `{name}` | {at_1} / {at_3} / {at_5} | {memory} GiB |" in PAGE.read_text("utf-8")


def test_wikiseealso_follows_the_text_and_otherwise_the_nearest_dataset() -> None:
    recipe, nearest = load("lf_wikiseealso320k"), load("lf_amazontitles131k").configs["train"]
    train, tokenize = recipe.configs["train"], recipe.configs["tokenize"]
    assert round(1 - train.head.fan_in / WIDTH, 2) == 0.67
    assert (tokenize.encoder, tokenize.max_length) == (
        "sentence-transformers/paraphrase-distilroberta-base-v2",
        32,
    )
    assert recipe.configs["download"].titles_only
    assert (train.loss, train.precision, train.label_features) == ("squared_hinge", "float16", True)
    assert (train.encoder.optimizer, train.head.optimizer) == ("adamw", "adamw")
    assert _differing(train, nearest) == {"loss", "bce_reduction", "precision", "encoder", "head"}
    assert _differing(train.encoder, nearest.encoder) == {"optimizer"}
    assert _differing(train.head, nearest.head) <= {"fan_in", "lr", "optimizer", "momentum"}


@pytest.mark.parametrize("name", SETS)
def test_propensities_are_those_of_the_papers_figures(name: str) -> None:
    evaluation = load(name).configs["eval"]
    family = next(part for part in PROPENSITY if part in name)
    assert (evaluation.a, evaluation.b) == PROPENSITY[family]
    assert evaluation.propensity == ("paper" if name.startswith("lf_") else "standard")


@pytest.mark.parametrize("name", [*SETS, "debian", "tate"])
def test_the_light_variant_differs_only_in_memory_and_its_requirements(name: str) -> None:
    """Data, encoder, schedule, topology and rewiring are the same."""
    settings = ["import.train=x"] if name == "tate" else []
    paper, light = load(name, settings), load(f"{name}-light", settings)
    assert light.name == f"{name}-light"
    train = light.configs["train"]
    assert train.memory == "light"
    changed = {"memory", "precision", "loss", "bce_reduction", "encoder", "head"}
    assert _differing(paper.configs["train"], train) <= changed
    assert _differing(paper.configs["train"].encoder, train.encoder) <= {"optimizer", "checkpointing"}
    assert _differing(paper.configs["train"].head, train.head) <= {
        "optimizer", "lr", "momentum", "weight_decay", "bias", "bias_init",
    }  # fmt: skip
    assert _others(paper) == _others(light)


def test_every_recipe_that_comes_along_loads() -> None:
    for name in packaged_recipes():
        assert load(name, [] if "download" in load_table(name) else ["import.train=x"]).configs["train"]


def load_table(name: str) -> str:
    """The text of a recipe and of the one it extends."""
    base = name.removesuffix("-light").removesuffix("-frozen").removesuffix("-grouped")
    return packaged_recipes()[name].read_text() + packaged_recipes()[base].read_text()


def _differing(one: object, other: object) -> set[str]:
    fields = dataclasses.fields(one)  # type: ignore[arg-type]
    names = [field.name for field in fields if field.name != "run_name"]  # the recipe's own
    return {name for name in names if getattr(one, name) != getattr(other, name)}


def _others(recipe: Recipe) -> dict[str, object]:
    return {stage: config for stage, config in recipe.configs.items() if stage != "train"}
