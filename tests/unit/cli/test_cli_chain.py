"""The commands with a catalog of fake stages: their output, their files and their exit codes."""

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.fake_stages import World
from xmcpipe.artifacts.owner import machine
from xmcpipe.artifacts.store import Store
from xmcpipe.cli.app import app
from xmcpipe.stages import catalog

RECIPE = """
name = "small"
[download]
[tokenize]
size = 3
[cluster]
[train]
"""


@pytest.fixture
def cli(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Invoke the command line in a folder that holds r.toml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "CATALOG", world.catalog)
    monkeypatch.delenv("XMCPIPE_STORE", raising=False)
    Path("r.toml").write_text(RECIPE)
    return lambda *arguments, **more: CliRunner().invoke(app, [str(a) for a in arguments], **more)


def lines(result: Any) -> list[str]:
    return str(result.stdout).splitlines()


def test_run_prints_one_line_per_stage_and_reuses_artifacts(cli: Any, world: World) -> None:
    first = cli("run", "r.toml")
    assert first.exit_code == 0, first.output
    assert [line.split()[0] for line in lines(first)] == ["download", "tokenize", "cluster", "train"]
    assert all(line.split()[2] == "made" for line in lines(first))
    assert "documents 49,677 · share 0.25" in lines(first)[0]
    assert "tokenize: running" in first.stderr
    second = cli("run", "--recipe", "r.toml")
    assert [line.split()[:2] for line in lines(second)] == [line.split()[:2] for line in lines(first)]
    assert all(line.split()[2] == "reused" for line in lines(second))
    assert second.stderr == ""
    assert world.runs == ["download", "tokenize", "cluster", "train"]


def test_run_as_json_is_one_document(cli: Any) -> None:
    facts = json.loads(cli("run", "r.toml", "--to", "tokenize", "--json").stdout)
    assert facts["recipe"] == "small"
    assert [stage["stage"] for stage in facts["stages"]] == ["download", "tokenize"]
    tokenize = facts["stages"][1]
    assert tokenize["state"] == "made"
    assert tokenize["bytes"] == len("tokenize(3download())")
    assert (Path(tokenize["path"]) / "manifest.json").is_file()
    assert facts["metrics"] is None


def test_from_and_force_and_set_reach_the_runner(cli: Any, world: World) -> None:
    cli("run", "r.toml")
    world.runs.clear()
    cli("run", "r.toml", "--from", "cluster")
    assert world.runs == ["cluster", "train"]
    world.runs.clear()
    cli("run", "r.toml", "--force", "--to", "tokenize")
    assert world.runs == ["download", "tokenize"]
    world.runs.clear()
    cli("run", "r.toml", "--set", "train.size=9")
    assert world.runs == ["train"]


def test_from_a_path_is_an_archive_of_the_recipes_dataset(cli: Any, world: World) -> None:
    Path("mini").mkdir()
    Path("train").mkdir()
    for given in ("mini", "nowhere/a", "b.tar.gz"):
        made = json.loads(cli("run", "r.toml", "--from", given, "--force", "--json").stdout)["stages"][0]
        manifest = json.loads((Path(made["path"]) / "manifest.json").read_text())
        assert manifest["made_by"]["runtime"]["archive"] == given
    world.runs.clear()
    cli("run", "r.toml", "--from", "train")  # a stage, though there is a folder of that name
    assert world.runs == ["train"]


@pytest.mark.parametrize(
    ("recipe", "given", "message"),
    [
        (
            "r",
            "trian",
            "expected a stage of this chain, a file or a folder, got 'trian' (did you mean 'train'?",
        ),
        (
            "imports",
            "mini",
            "--from mini: expected a recipe with a table [download], got one without (name the files to im",
        ),
        ("imports", "trian", "a file or a folder, got 'trian'"),
        (
            "debian",
            "a.html",
            "--from a.html: the dataset debian can't be read from a file (omit --from, or",
        ),
        ("debian", "cluster", "there is no stage 'cluster' in this chain"),
        ("flat", "a.html", "flat.toml: download: expected a table, got 3"),
    ],
)
def test_from_that_does_not_fit_the_recipe_is_one_clear_line(
    cli: Any, world: World, recipe: str, given: str, message: str
) -> None:
    Path("mini").mkdir()
    Path("imports.toml").write_text("[import]\n[tokenize]\n")  # the files to import are set with --set
    Path("debian.toml").write_text('[download]\ndataset = "debian"\n[tokenize]\n')
    Path("flat.toml").write_text("download = 3\n")
    result = cli("run", f"{recipe}.toml", "--from", given)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert world.runs == []


def test_a_stage_command_reads_existing_inputs_and_names_missing_ones(cli: Any, world: World) -> None:
    missing = cli("tokenize", "--recipe", "r.toml")
    assert missing.exit_code == 2
    assert missing.stdout == ""
    assert missing.stderr.startswith(
        "error: tokenize needs raw, which isn't in the store artifacts yet (run `xmcpipe download`"
    )
    assert missing.stderr.count("\n") == 1
    assert cli("download", "--recipe", "r.toml").exit_code == 0
    assert cli("tokenize", "--recipe", "r.toml").exit_code == 0
    assert lines(cli("tokenize", "--recipe", "r.toml"))[0].split()[2] == "reused"
    assert lines(cli("tokenize", "--recipe", "r.toml", "--force"))[0].split()[2] == "made"


def test_stages_run_without_a_recipe_on_named_artifacts_in_a_named_store(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = json.loads(cli("download", "large", "--json", "--store", "one").stdout)
    assert raw["path"].startswith("one/raw/")
    monkeypatch.setenv("XMCPIPE_STORE", "two")
    shards = json.loads(cli("tokenize", "--raw", raw["path"], "--set", "tokenize.size=8", "--json").stdout)
    assert shards["path"].startswith("two/shards/")
    assert (Path(shards["path"]) / "out.txt").read_text() == "tokenize(8download())"
    wrong = cli("train", "--shards", raw["path"])
    assert wrong.exit_code == 2
    assert "expected an artifact of kind 'shards', got one of kind 'raw'" in wrong.stderr
    assert cli("train", "--shards", shards["path"]).exit_code == 0


def test_status_lists_artifacts_and_verify_finds_faults(cli: Any) -> None:
    before = cli("status", "--recipe", "r.toml")
    assert before.exit_code == 0
    assert [line.split()[0] for line in lines(before)] == ["download", "tokenize", "cluster", "train"]
    assert all("missing" in line and "not known yet" in line for line in lines(before))
    cli("run", "r.toml", "--to", "tokenize")
    present = lines(cli("status", "r.toml"))
    assert "present" in present[1]
    assert " B " in present[1]
    assert "documents 49,677" in present[1]
    assert "missing" in present[2]
    assert "not known" not in present[2]
    good = cli("status", "r.toml", "--verify")
    assert good.exit_code == 0
    assert lines(good)[-1] == "verified: all files of 2 artifacts are unchanged"
    facts = json.loads(cli("status", "r.toml", "--json").stdout)["stages"]
    assert [stage["state"] for stage in facts] == ["present", "present", "missing", "missing"]
    assert 0 <= facts[1]["age_seconds"] < 60
    (Path(facts[1]["path"]) / "out.txt").write_text("tokenize(3d0wnload())")
    bad = cli("status", "r.toml", "--verify")
    assert bad.exit_code == 2
    assert bad.stderr.startswith("error: tokenize: out.txt was changed")
    bad_json = cli("status", "r.toml", "--verify", "--json")
    assert bad_json.exit_code == 2
    assert "out.txt" in json.loads(bad_json.stdout)["stages"][1]["faults"][0]
    next(Path("artifacts").glob("raw/*/manifest.json")).unlink()
    assert "manifest.json is missing" in cli("status", "r.toml", "--verify").stderr


@pytest.mark.parametrize("arguments", [["run"], ["run", "r.toml", "--recipe", "r.toml"], ["status"]])
def test_exactly_one_recipe_is_expected(cli: Any, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert "expected one recipe" in result.stderr


def test_gc_lists_removes_and_keeps(cli: Any, tmp_path: Path) -> None:
    cli("run", "r.toml")
    cli("run", "r.toml", "--set", "train.size=9")
    store = Store(tmp_path / "artifacts")
    (left := store.root / ".building" / f"model.here.{machine()}.999999999-1.abc").mkdir(parents=True)
    nothing_named = cli("gc", "--yes")
    assert "5 artifacts are kept" in nothing_named.stderr
    assert not left.exists()
    assert len(list(store.all())) == 5
    listed = cli("gc", "--keep", "r.toml", "--dry-run")
    assert len(lines(listed)) == 1
    assert "/model/" in lines(listed)[0]
    unconfirmed = cli("gc", "--keep", "r.toml")
    assert unconfirmed.exit_code == 2
    assert "--yes" in unconfirmed.stderr
    assert len(list(store.all())) == 5
    removed = json.loads(cli("gc", "--keep", "r.toml", "--yes", "--json").stdout)
    assert [row["stage"] for row in removed["removes"]] == ["train"]
    assert len(list(store.all())) == 4
    assert all("reused" in line for line in lines(cli("run", "r.toml")))
    assert cli("gc", "--keep", "r.toml", "--all").exit_code == 2
    assert cli("gc", "--all", "--yes").exit_code == 0
    assert list(store.all()) == []
    assert lines(cli("gc", "--all", "--yes")) == ["nothing to remove"]


def test_gc_keeps_checkpoints_of_a_killed_training_of_a_kept_recipe(
    cli: Any, world: World, tmp_path: Path
) -> None:
    world.faults["train"] = RuntimeError("killed")
    cli("run", "r.toml")
    (scratch,) = (tmp_path / "artifacts" / ".scratch").glob("model-*/")
    for path in (scratch, *scratch.iterdir()):
        os.utime(path, (0, 0))
    assert lines(cli("gc", "--keep", "r.toml", "--yes")) == ["nothing to remove"]
    assert "left by a killed stage" in cli("gc", "--yes").stdout
    assert not scratch.exists()


def test_an_interrupt_is_one_line_and_130(cli: Any, world: World, tmp_path: Path) -> None:
    world.faults["tokenize"] = KeyboardInterrupt()
    result = cli("run", "r.toml")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1].startswith("stopped by SIGINT: to go on, run the same command")
    assert list(Store(tmp_path / "artifacts").all("shards")) == []


def test_an_error_of_many_lines_is_one_line(cli: Any, world: World) -> None:
    world.faults["tokenize"] = OSError(28, "No space left on device")
    result = cli("run", "r.toml")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("error: disk full: tokenize")


def test_an_unknown_error_keeps_its_traceback(cli: Any, world: World) -> None:
    world.faults["tokenize"] = ZeroDivisionError("ours")
    result = cli("run", "r.toml")
    assert isinstance(result.exception, ZeroDivisionError)


def test_an_unfinished_attempt_is_in_status_and_gc(
    cli: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("run", "r.toml", "--to", "cluster")
    world.faults["train"] = RuntimeError("killed")
    assert cli("run", "r.toml").exit_code == 1
    (scratch,) = Path("artifacts/.scratch").iterdir()
    monkeypatch.setattr(
        catalog,
        "CATALOG",
        tuple(
            dataclasses.replace(stage, how_far=lambda _: {"step": 70, "steps": 1270, "checkpoint": 65})
            for stage in world.catalog
        ),
    )
    line = lines(cli("status", "r.toml"))[3]
    assert line.split()[2:5] == ["stopped", "0", "s"]
    assert line.endswith("step 70 of 1,270 · checkpoint at step 65")
    facts = json.loads(cli("status", "r.toml", "--json").stdout)["stages"][3]
    assert facts["state"] == "missing"
    assert facts["attempt"]["running"] is False
    assert (facts["attempt"]["step"], facts["attempt"]["bytes"]) == (70, len("kept by train"))
    with Store(Path("artifacts")).exclusive("model", facts["fingerprint"]):
        assert lines(cli("status", "r.toml"))[3].split()[2] == "running"
        assert "kept: a process uses it" in cli("gc", "--dry-run").stderr
    listed = cli("gc", "--dry-run")
    expected = f"{scratch}  scratch  13 B  kept: its stage can be resumed; gc removes it after "
    assert listed.stderr.splitlines()[-1] in (f"{expected}1 d more", f"{expected}24 h more")
    assert "kept: a recipe of --keep can resume it" in cli("gc", "--keep", "r.toml", "--dry-run").stderr
    (kept,) = json.loads(cli("gc", "--dry-run", "--json").stdout)["keeps"]
    assert 86_000 < kept["seconds_left"] <= 86_400
    old = time.time() - 90_000
    for path in (*scratch.iterdir(), scratch):
        os.utime(path, (old, old))
    assert json.loads(cli("gc", "--dry-run", "--json").stdout)["keeps"] == []


@pytest.mark.parametrize("command", ["download", "tokenize", "cluster", "train"])
def test_a_stage_takes_the_recipe_as_run_does(cli: Any, command: str) -> None:
    assert cli("run", "r.toml").exit_code == 0
    by_position, by_option = cli(command, "r.toml"), cli(command, "--recipe", "r.toml")
    assert by_position.exit_code == 0, by_position.output
    assert by_position.stdout == by_option.stdout
    both = cli(command, "r.toml", "--recipe", "r.toml")
    assert both.exit_code == 2
    assert "expected one recipe, got two" in both.stderr
