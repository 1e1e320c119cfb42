"""The choices of a first recipe, from small data to large, and its text."""

import tomllib
from dataclasses import replace

import pytest

from xmcpipe.draft.recipe import draft
from xmcpipe.draft.survey import Survey
from xmcpipe.draft.text import recipe_text
from xmcpipe.draft.words import plan_words
from xmcpipe.stages.importing import ImportConfig

SMALL = Survey(
    figures={}, documents=2_000, test=200, labels=60, labels_a_document=2.5, singles=3, frequent=40,
    tokens_median=20, tokens_95=45, tokens_max=300, tokens_estimated=False,
)  # fmt: skip
MIDDLE = replace(SMALL, documents=40_000, labels=7_000)
LARGE = replace(SMALL, documents=1_700_000, labels=2_800_000, tokens_95=900, tokens_estimated=True)
FILES = ImportConfig(train="/data/papers.jsonl")


def tables(found: Survey, width: int = 384) -> dict[str, dict[str, object]]:
    drafted = draft(FILES, found, "package:tiny", width)
    return {table.name: {key.name: key.value for key in table.keys} for table in drafted.tables}


def test_small_data() -> None:
    found = tables(SMALL)
    assert "cluster" not in found
    assert "train.auxiliary" not in found
    assert found["tokenize"]["max_length"] == 48
    assert found["train"]["validation"] == 0.2
    assert "memory" not in found["train"]


def test_many_labels_are_clustered() -> None:
    found = tables(MIDDLE)
    assert found["cluster"] == {}  # its own default follows the number of labels
    assert found["train.auxiliary"] == {"weight": "auto", "cutoff_epoch": "auto"}
    assert found["train"]["validation"] == 0.05


def test_large_data_train_in_little_memory() -> None:
    found = tables(LARGE, width=768)
    assert found["train"]["memory"] == "light"
    assert found["train"]["batch_size"] == 128
    assert found["tokenize"]["max_length"] == 256


def test_labels_read_words() -> None:
    found = tables(MIDDLE)
    assert found["tokenize"]["words"] == "pairs"
    assert found["embed"] == {"pooling": "mean"}
    assert found["train.rewire"] == {"prune": "row", "interval": "auto"}
    head = found["train.head"]
    assert (head["topology"], head["word_fan_in"], head["frequent_labels"]) == ("informed", 48, 40)
    connections = 7_000 * (144 + 48) + 40 * (384 + 1024)  # 144: see the rule for fan_in
    assert connections / 7_000 <= 144 + 48 + 16


def test_labels_of_a_small_layer_read_all_features() -> None:
    found = tables(SMALL)
    assert "embed" not in found
    assert found["train.rewire"] == {"interval": "auto"}
    assert "topology" not in found["train.head"]
    assert found["train.head"]["frequent_labels"] == 40


@pytest.mark.parametrize(
    ("labels", "fan_in", "frequent", "count"),
    [
        (10, 384, 10, 9),  # one stays
        (10, 384, 0, 0),
        (1_000, 384, 1_000, 437),  # (2^20 - 1,000 * 432) / 1,408
        (7_273, 64, 400, 166),  # (2^20 - 7,273 * 112) / 1,408
        (21_257, 64, 400, 241),  # 16 a label
    ],
)
def test_the_frequent_labels_fit_into_the_layer(labels: int, fan_in: int, frequent: int, count: int) -> None:
    found = replace(SMALL, labels=labels, frequent=frequent)
    assert plan_words(found, fan_in, 384).frequent_labels == count


def test_large_layers_read_features_alone() -> None:
    found = tables(LARGE, width=768)
    assert "words" not in found["tokenize"]
    assert "embed" not in found
    assert found["train.head"].keys() == {"fan_in", "lr"}


@pytest.mark.parametrize("found", [SMALL, MIDDLE, LARGE])
def test_the_text_is_the_tables(found: Survey) -> None:
    drafted = draft(FILES, found, "package:tiny", 384)
    text = recipe_text('the "name"', ["First."], drafted.tables)
    read = tomllib.loads(text)
    assert read["name"] == 'the "name"'
    assert read["import"]["train"] == "/data/papers.jsonl"
    assert read["train"]["head"]["fan_in"] == "auto"
    assert max(map(len, text.splitlines())) <= 80
    assert ("estimated from" in text) == found.tokens_estimated


def test_other_characters_survive() -> None:
    imported = ImportConfig(train="/data/ü “x” \\ \x7f.jsonl", label_separator=";\t")
    drafted = draft(imported, SMALL, "package:tiny", 384)
    read = tomllib.loads(recipe_text("n", [], drafted.tables))["import"]
    assert (read["train"], read["label_separator"]) == (imported.train, imported.label_separator)
