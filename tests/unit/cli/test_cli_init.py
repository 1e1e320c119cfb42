"""`xmcpipe init`: it says what it saw, writes a recipe that the other commands run, overwrites nothing."""

import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xmcpipe.cli.app import app
from xmcpipe.config import auto_keys, from_table, to_table
from xmcpipe.recipe import load
from xmcpipe.training.config import TrainConfig

DOCUMENTS = 120
WORDS = ["red", "green", "blue", "one", "two", "three"]


def write_table(path: Path, column: str = "text") -> None:
    rows = [
        {
            "id": str(number),
            column: " ".join([WORDS[number % 6], WORDS[number % 5], f"w{number % 40}"] * (1 + number % 9)),
            "labels": [f"label {number % 6}", f"label {6 + number % 5}"],
        }
        for number in range(DOCUMENTS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def cli(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Invoke a command in a folder that holds papers.jsonl."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XMCPIPE_STORE", str(tmp_path / "store"))
    write_table(tmp_path / "papers.jsonl")
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def init(cli: Any, tiny_encoder: Path) -> Any:
    """Invoke `init` for the tiny encoder."""
    return lambda *arguments: cli("init", "--encoder", tiny_encoder, *arguments)


def test_the_recipe_runs_as_it_is(cli: Any, init: Any) -> None:
    done = init("--train", "papers.jsonl")
    assert done.exit_code == 0, done.output
    assert "wrote      recipe.toml" in done.stdout
    ran = cli("run", "recipe.toml", "--json")
    assert ran.exit_code == 0, ran.output
    stages = {stage["stage"]: stage for stage in json.loads(ran.stdout)["stages"]}
    assert list(stages) == ["import", "tokenize", "train", "predict", "eval"]
    found = json.loads(init("--train", "papers.jsonl", "--force", "--json").stdout)
    assert stages["import"]["figures"] == found["found"]["figures"]
    figures, train = stages["train"]["figures"], found["train"]
    assert figures["steps"] == found["steps"]["all"]
    assert figures["auto"]["warmup_steps"] == train["warmup_steps"]
    assert figures["auto"]["head.fan_in"] == train["head"]["fan_in"]
    # The model and its log have the chosen values too.
    model = Path(stages["train"]["path"])
    made = from_table(TrainConfig, train, "train")
    kept = json.loads((model / "model.json").read_text())["recipe"]["train"]
    assert kept == to_table(made, keys="computed")
    settings = json.loads((model / "log" / "metrics.jsonl").read_text().splitlines()[0])
    assert (settings["kind"], settings["step"]) == ("settings", 0)
    assert settings["train"] == to_table(made, keys="identity")
    assert settings["steps"] == figures["steps"]


def test_it_runs_beside_its_files_in_another_folder(cli: Any, init: Any, tmp_path: Path) -> None:
    (tmp_path / "my data").mkdir()
    write_table(tmp_path / "my data" / "~papers.jsonl")
    done = init("--train", "my data/~papers.jsonl", "-o", "my data/a recipe.toml")
    assert done.exit_code == 0, done.output
    assert "next       xmcpipe run 'my data/a recipe.toml'" in done.stdout
    (tmp_path / "my data").rename(tmp_path / "moved")
    ran = cli("run", "moved/a recipe.toml", "--to", "import", "--json")
    assert ran.exit_code == 0, ran.output
    assert (
        json.loads(ran.stdout)["stages"][0]["figures"]
        == json.loads(init("--train", "papers.jsonl", "--json").stdout)["found"]["figures"]
    )


def test_files_elsewhere_are_named_by_their_whole_path(init: Any, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    assert init("--train", "papers.jsonl", "-o", "recipes/a.toml").exit_code == 0
    made = tomllib.loads((tmp_path / "recipes" / "a.toml").read_text())
    assert made["import"]["train"] == str(tmp_path / "papers.jsonl")


def test_run_ends_with_commands_that_work(cli: Any, init: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    init("--train", "papers.jsonl", "-o", "my recipe.toml")
    ran = cli("run", "my recipe.toml", "--set", "train.epochs=1", "--store", "another store")
    assert ran.exit_code == 0, ran.output
    *_, predict, report = ran.stdout.splitlines()
    assert predict.startswith(
        "next  xmcpipe predict 'my recipe.toml' --set train.epochs=1 --store 'another store' "
    )
    labelled = cli(*shlex.split(predict)[2:], "--json")
    assert labelled.exit_code == 0, labelled.output
    assert json.loads(labelled.stdout)["labels"]
    reported = cli(*shlex.split(report)[1:])
    assert reported.exit_code == 0, reported.output
    assert Path("report.html").is_file()


def test_plan_says_the_same_values(cli: Any, init: Any) -> None:
    found = json.loads(init("--train", "papers.jsonl", "--json").stdout)
    sizes = ("--labels", found["found"]["labels"], "--documents", found["found"]["documents"])
    planned = cli("plan", "recipe.toml", *sizes, "--device", "cpu", "--json")
    assert planned.exit_code == 0, planned.output
    facts = json.loads(planned.stdout)
    assert facts["warnings"] == []
    assert facts["auto"]["epochs"] == found["train"]["epochs"]
    assert facts["steps"]["all"] == found["steps"]["all"]
    late = cli("plan", "recipe.toml", *sizes, "--device", "cpu", "--set", "train.warmup_steps=1000")
    assert "warning: train.warmup_steps = 1,000 is not less than" in late.stderr
    assert f"chosen: epochs {found['train']['epochs']}" in late.stdout


def test_everything_fits_80_columns_and_every_auto_has_its_value(init: Any) -> None:
    done = init("--train", "papers.jsonl", "-o", "mine.toml")
    text = Path("mine.toml").read_text()
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in [*lines, *done.stdout.splitlines()] if "/" not in line)
    autos = [number for number, line in enumerate(lines) if line.endswith('= "auto"')]
    assert autos
    for number in autos:
        above = " ".join(lines[max(0, number - 3) : number])
        assert "# Here " in above, lines[number]
    assert set(auto_keys(load("mine.toml").configs["train"])) >= {"epochs", "warmup_steps", "head.fan_in"}


def test_options_of_the_import_are_in_the_recipe(init: Any, tmp_path: Path) -> None:
    write_table(tmp_path / "train.jsonl", "title")
    write_table(tmp_path / "test.jsonl", "title")
    Path("names.tsv").write_text("".join(f"label {number}\tname\n" for number in range(11)))
    done = init(
        "--train", "train.jsonl", "--test", "test.jsonl", "--text-column", "title", "--leaked", "keep",
        "--labels", "names.tsv", "--no-label-header",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    table = tomllib.loads(Path("recipe.toml").read_text())["import"]
    assert table == {
        "train": "train.jsonl", "test": "test.jsonl", "text": ["title"],
        "leaked": "keep", "label_table": "names.tsv", "label_header": False,
    }  # fmt: skip


def test_it_overwrites_only_with_force(init: Any) -> None:
    Path("recipe.toml").write_text("mine")
    refused = init("--train", "papers.jsonl")
    assert (refused.exit_code, Path("recipe.toml").read_text()) == (2, "mine")
    assert "recipe.toml exists already" in refused.stderr
    assert init("--train", "papers.jsonl", "--force").exit_code == 0
    assert "[train]" in Path("recipe.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--train", "absent.jsonl"], "absent.jsonl does not exist"),
        ([], "expected either train (a table) or folder"),
        (["--train", "papers.jsonl", "--text-column", "titel"], "expected a column 'titel'"),
        (["--train", "papers.jsonl", "-o", "recipe.txt"], "ends with .toml"),
        (["--train", "papers.jsonl", "-o", "nowhere/r.toml"], "there is no folder nowhere"),
        (["--train", "papers.jsonl", "--min-label-count", "1000"], "papers"),
        (["--train", "papers.jsonl", "--encoder", "./absent"], "there is no such folder"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(init: Any, arguments: list[str], expected: str) -> None:
    done = init(*arguments)
    assert done.exit_code == 2, done.output
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0] or expected == "papers"
    assert not list(Path().glob("*.toml"))
