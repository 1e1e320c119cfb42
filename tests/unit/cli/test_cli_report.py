"""`xmcpipe report`: its arguments, its output and its errors."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.report_store import make_runs
from xmcpipe.cli.app import app


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    store, metrics = make_runs(tmp_path_factory.mktemp("shelf") / "store")
    return store.root, metrics


@pytest.fixture
def call(shelf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XMCPIPE_STORE", str(shelf[0]))
    return lambda *arguments: CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_it_writes_a_page_and_prints_its_path(call: Any, shelf: Any) -> None:
    Path("report.html").write_text("an old one")
    result = call(*shelf[1], "--bootstrap", 20, "--documents", 7)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("report.html  ")
    assert "ffi, dense · 7 documents" in result.stdout
    assert "No published rows" in result.stderr
    assert Path("report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in Path().iterdir()] == ["report.html"]


def test_json_describes_the_page(call: Any, shelf: Any) -> None:
    result = call(shelf[1][1], "-o", "one.html", "--name", "ours", "--bootstrap", 0, "--json")
    facts = json.loads(result.stdout)
    assert facts["path"] == "one.html"
    assert facts["bytes"] == Path("one.html").stat().st_size
    assert [run["name"] for run in facts["runs"]] == ["ours"]
    assert facts["runs"][0]["metrics"][:16] == shelf[1][1].name


RECIPE = '[download]\ndataset = "debian"\n[tokenize]\nencoder = "x"\n[train]\n[predict]\n[eval]\n'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-run"], "there is no recipe 'no-such-run'"),
        (["no-such.toml"], "no-such.toml does not exist"),
        (["r.toml"], "r.toml has no metrics in the store"),
        (["short.toml"], "short.toml has no table [eval]"),
        (["RAW"], "expected a run, got an artifact of raw"),
        (["."], "is not an artifact"),
        (["FIRST", "FIRST"], "expected distinct runs"),
        (["FIRST", "-o", "nowhere/page.html"], "the folder nowhere does not exist"),
        (["FIRST", "-o", "."], "expected a file, got the folder"),
        (["FIRST", "--name", "a", "--name", "b"], "expected one --name per run, got 2"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    call: Any, shelf: Any, arguments: list[str], message: str
) -> None:
    Path("r.toml").write_text(RECIPE)
    Path("short.toml").write_text(RECIPE.partition("[predict]")[0])
    (raw,) = (shelf[0] / "raw").iterdir()
    places = {"FIRST": str(shelf[1][0]), "RAW": str(raw)}
    result = call(*(places.get(each, each) for each in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["r.toml", "short.toml"]


def test_a_recipe_that_ran_elsewhere_is_an_error_with_the_command_to_run(call: Any) -> None:
    Path("r.toml").write_text(RECIPE)
    assert "run `xmcpipe run r.toml` first" in call("r.toml").stderr


def test_no_run_is_a_usage_error(call: Any) -> None:
    assert call().exit_code == 2


def test_a_broken_manifest_is_a_known_error(call: Any, shelf: Any, tmp_path: Path) -> None:
    shutil.copytree(shelf[1][0], tmp_path / "broken")
    (tmp_path / "broken" / "manifest.json").write_text("{")
    result = call("broken")
    assert result.exit_code == 2
    assert "can't be read as a manifest" in result.stderr


def test_a_flipped_bit_is_found_before_anything_is_shown(call: Any, shelf: Any, tmp_path: Path) -> None:
    shutil.copytree(shelf[0], tmp_path / "store")
    run = tmp_path / "store" / shelf[1][0].relative_to(shelf[0])
    shards = next((tmp_path / "store/shards").rglob("test*"))
    content = bytearray(shards.read_bytes())
    content[len(content) // 2] ^= 4
    shards.write_bytes(content)
    result = call(run, "--no-baselines", "--bootstrap", 0, "--store", tmp_path / "store")
    assert result.exit_code == 2, result.output
    assert f"{shards} was changed" in result.stderr.replace("\n", "")
    assert "xmcpipe tokenize --force" in result.stderr
    assert not Path("report.html").exists()
