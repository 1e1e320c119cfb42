"""The keys of recipes: their list, their JSON schema, and hints on wrong ones."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xmcpipe.cli.app import app
from xmcpipe.config import documentation, from_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.keys import SYNONYMS, json_schema, keys
from xmcpipe.recipe import load, packaged_recipes
from xmcpipe.stages.catalog import CATALOG

TABLES = {stage.name: stage.config for stage in CATALOG}


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["keys", *arguments])


@pytest.mark.parametrize("name", TABLES)
def test_every_key_has_a_type_a_sentence_and_a_default_that_a_recipe_may_hold(name: str) -> None:
    found = keys(TABLES[name])
    assert [key.name for key in found] == list(documentation(TABLES[name]))
    for key in found:
        assert key.text, key.name
        assert key.type, key.name
        if key.choices and key.default is not None:
            assert key.default in key.choices


def test_all_keys_one_table_and_one_key() -> None:
    every = json.loads(call("--json").stdout)
    assert len(every) == sum(len(keys(config)) for config in TABLES.values())
    head = json.loads(call("train.head", "--json").stdout)
    assert all(each["key"].startswith("train.head.") for each in head)
    (device,) = json.loads(call("train.device", "--json").stdout)
    assert (device["type"], device["default"], device["required"]) == ("string", "auto", False)
    (encoder,) = json.loads(call("tokenize.encoder", "--json").stdout)
    assert encoder["required"]
    (epochs,) = json.loads(call("train.epochs", "--json").stdout)
    assert (epochs["type"], epochs["default"]) == ('integer or "auto"', "auto")
    (memory,) = json.loads(call("train.memory", "--json").stdout)
    assert memory["choices"] == ["paper", "light"]
    text = call("train.memory").stdout
    assert 'train.memory: one of "paper", "light"; default "paper"' in text
    assert "What is in memory" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "there is no table 'trian' (did you mean 'train'?)"),
        (["import.text_column"], "import: there is no key 'text_column' (did you mean import.text?)"),
        (["train", "--schema"], "expected --schema or train, got both"),
    ],
)
def test_a_wrong_name_is_one_line(arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("import.text_column=title", "did you mean import.text?"),
        ("import.labels_column=x", "did you mean import.labels?"),
        ("train.lr=0.1", "did you mean train.encoder.lr or train.head.lr or train.auxiliary.lr?"),
        ("train.learning_rate=0.1", "did you mean train.encoder.lr or"),
        ("train.fan_in=64", "did you mean train.head.fan_in?"),
        ("train.max_length=64", "did you mean tokenize.max_length?"),
        ("tokenize.max_len=64", "did you mean tokenize.max_length?"),
        ("train.batch_sizes=64", "did you mean 'batch_size'?"),
        ("train.zzzzzz=1", "`xmcpipe keys train` lists the keys of [train]"),
    ],
)
def test_a_wrong_key_in_a_recipe_gets_the_right_one(setting: str, hint: str) -> None:
    with pytest.raises(XmcpipeError) as error:
        load(None, [setting])
    assert error.value.hint is not None
    assert error.value.hint.startswith(hint)


def test_every_synonym_leads_to_a_key() -> None:
    last = {key.name.split(".")[-1] for config in TABLES.values() for key in keys(config)}
    for word, meant in SYNONYMS.items():
        assert set(meant) <= last, word


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether `value` fits the parts of a JSON schema that ours uses."""
    if "enum" in schema:
        return value in schema["enum"]
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    if "const" in schema:
        return bool(value == schema["const"])
    if schema["type"] == "object":
        known = schema["properties"]
        return value.keys() <= known.keys() and all(fits(value[key], known[key]) for key in value)
    if schema["type"] == "array":
        return isinstance(value, list) and all(fits(each, schema["items"]) for each in value)
    types: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "string": (str,)}
    return type(value) in {**types, "boolean": (bool,)}[schema["type"]]


SCHEMA = json_schema(TABLES)


@pytest.mark.parametrize("name", packaged_recipes())
def test_every_packaged_recipe_fits_the_schema(name: str) -> None:
    assert fits(tomllib.loads(packaged_recipes()[name].read_text(encoding="utf-8")), SCHEMA)


def test_the_schema_refuses_what_a_recipe_refuses() -> None:
    wrong = [{"train": {"lr": 1}}, {"train": {"epochs": "x"}}, {"train": {"memory": "heavy"}}, {"trian": {}}]
    assert [fits(each, SCHEMA) for each in wrong] == [False] * 4
    assert fits({"train": {"epochs": "auto", "head": {"lr": 1}}}, SCHEMA)
    assert json.loads(call("--schema").stdout) == json.loads(json.dumps(SCHEMA))


@pytest.mark.parametrize("name", [name for name in TABLES if name != "download"])  # its defaults vary
def test_defaults_are_what_a_recipe_without_the_key_has(name: str) -> None:
    flat = [key for key in keys(TABLES[name]) if not key.required and key.default is not None]
    table: dict[str, Any] = {}
    for key in flat:
        *path, last = key.name.split(".")
        inner = table
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = key.default
    needed: dict[str, Any] = {
        "import": {"train": "x"},
        "tokenize": {"encoder": "e"},
        "grow": {"labels": "x"},
    }.get(name, {})
    made: Any = from_table(TABLES[name], {**table, **needed}, name)
    assert made == from_table(TABLES[name], needed, name)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder beside a folder of recipes, each with data.jsonl and a folder encoder."""
    for name in ("here", "recipes", "recipes/base"):
        (tmp_path / name / "encoder").mkdir(parents=True)
        (tmp_path / name / "data.jsonl").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


RECIPE = """
[import]
train = "data.jsonl"
label_table = "/absolute.tsv"
[tokenize]
encoder = "encoder"
[train]
"""


def test_paths_in_a_recipe_are_relative_to_it(folders: Path) -> None:
    (folders / "recipes/r.toml").write_text(RECIPE)
    configs = load("../recipes/r.toml").configs
    assert Path(configs["import"].train).resolve() == folders / "recipes/data.jsonl"
    assert configs["import"].label_table == "/absolute.tsv"
    assert Path(configs["tokenize"].encoder).resolve() == folders / "recipes/encoder"


def test_paths_of_an_extended_recipe_are_relative_to_that_one(folders: Path) -> None:
    (folders / "recipes/base/b.toml").write_text(RECIPE)
    (folders / "recipes/r.toml").write_text('extends = "base/b.toml"\n[import]\ntest = "test.jsonl"\n')
    configs = load(str(folders / "recipes/r.toml")).configs
    assert Path(configs["import"].train).resolve() == folders / "recipes/base/data.jsonl"
    assert Path(configs["import"].test).resolve() == folders / "recipes/test.jsonl"


def test_paths_of_set_are_relative_to_the_working_folder(folders: Path) -> None:
    (folders / "recipes/r.toml").write_text(RECIPE)
    settings = ["import.train=data.jsonl", "tokenize.encoder=encoder"]
    configs = load("../recipes/r.toml", settings).configs
    assert Path(configs["import"].train).resolve() == folders / "here/data.jsonl"
    assert configs["tokenize"].encoder == "encoder"


def test_a_recipe_in_the_working_folder_and_a_hub_id_stay_as_they_are(folders: Path) -> None:
    text = RECIPE.replace('"encoder"', '"google-bert/bert-base-uncased"')
    (folders / "here/r.toml").write_text(text)
    (folders / "recipes/r.toml").write_text(text)
    assert load("r.toml").configs["import"].train == "data.jsonl"
    for recipe in ("r.toml", "../recipes/r.toml"):
        assert load(recipe).configs["tokenize"].encoder == "google-bert/bert-base-uncased"


def test_the_run_has_the_name_of_the_recipe(folders: Path) -> None:
    (folders / "here/r.toml").write_text('name = "my run"\n' + RECIPE)
    assert load("r.toml").configs["train"].run_name == "my run"
    assert load("r.toml", ["train.run_name=other"]).configs["train"].run_name == "other"
    (folders / "here/r.toml").write_text(RECIPE)
    assert load("r.toml").configs["train"].run_name == "r"
    assert load(None, ["train.epochs=1"]).configs["train"].run_name == ""
