"""A new stage is one object and one line of the catalog: everything else reads it from there."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner
from typer.testing import Result as CliResult

from tests.unit.fake_stages import World
from xmcpipe.cli.app import build_app
from xmcpipe.config import documentation, require_at_least
from xmcpipe.errors import XmcpipeError
from xmcpipe.recipe import load
from xmcpipe.stages import catalog
from xmcpipe.stages.stage import Option, Result, Stage

RECIPE = "[download]\n[tokenize]\n[longest]\ncount = 2\n"


@dataclass(frozen=True)
class LongestConfig:
    count: int = 1
    """Number of documents to list."""

    order: str = "length"
    """Order of the list: "length" or "id"."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "count")


def run_longest(config: LongestConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    shards = (inputs["shards"] / "out.txt").read_text()
    (out / "longest.txt").write_text(f"{config.count} by {config.order} of {shards}")
    return Result({"listed": config.count}, {"longest.txt": 1})


LONGEST = Stage(
    name="longest",
    kind="list",
    config=LongestConfig,
    schema_version=1,
    inputs=("shards",),
    run=run_longest,
    help="List the longest documents.",
    options=(
        Option("--count", key="count", type=int, metavar="N", least=1, help="Number of documents to list."),
        Option("--by-id", key="order", value="id", help="List the documents by id."),
    ),
)


@pytest.fixture
def xmcpipe(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., CliResult]:
    """The command line with the new stage, in a folder with a recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XMCPIPE_STORE", raising=False)
    monkeypatch.setattr(catalog, "CATALOG", (*world.catalog, LONGEST))
    Path("r.toml").write_text(RECIPE)
    app = build_app()

    def invoke(*arguments: str, code: int = 0) -> CliResult:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == code, result.output
        return result

    return invoke


def test_its_command_has_its_help_and_its_options(xmcpipe: Callable[..., CliResult]) -> None:
    assert "List the longest documents." in xmcpipe("--help").output
    shown = xmcpipe("longest", "--help").output
    assert "List the longest documents." in shown
    for option in ("--recipe", "--set", "--shards", "--count", "--by-id", "--store", "--force", "--json"):
        assert option in shown


def test_it_runs_with_the_chain_and_status_shows_it(xmcpipe: Callable[..., CliResult]) -> None:
    missing = json.loads(xmcpipe("status", "r.toml", "--json").stdout)["stages"][-1]
    assert (missing["stage"], missing["kind"], missing["state"]) == ("longest", "list", "missing")
    made = json.loads(xmcpipe("run", "r.toml", "--json").stdout)["stages"][-1]
    assert (made["stage"], made["state"], made["figures"]) == ("longest", "made", {"listed": 2})
    assert (Path(made["path"]) / "longest.txt").read_text() == "2 by length of tokenize(1download())"
    present = json.loads(xmcpipe("status", "r.toml", "--verify", "--json").stdout)["stages"][-1]
    assert (present["state"], present["faults"]) == ("present", [])


def test_its_options_set_its_keys(xmcpipe: Callable[..., CliResult]) -> None:
    xmcpipe("run", "r.toml", "--to", "tokenize")
    command = ("longest", "--recipe", "r.toml", "--json")
    by_options = json.loads(xmcpipe(*command, "--count", "3", "--by-id").stdout)
    settings = ("--set", "longest.count=3", "--set", "longest.order=id")
    by_settings = json.loads(xmcpipe(*command, *settings).stdout)
    assert (by_settings["state"], by_settings["path"]) == ("reused", by_options["path"])
    shards = next(Path("artifacts/shards").iterdir())
    alone = json.loads(xmcpipe("longest", "--shards", str(shards), "--count", "2", "--json").stdout)
    assert alone["figures"] == {"listed": 2}
    xmcpipe("longest", "--count", "0", code=2)


def test_its_keys_are_checked_and_documented(xmcpipe: Callable[..., CliResult]) -> None:
    with pytest.raises(XmcpipeError, match=r"there is no key 'cuont' .did you mean 'count'"):
        load("r.toml", ["longest.cuont=1"])
    with pytest.raises(XmcpipeError, match="longest: expected count >= 1, got count = 0"):
        load("r.toml", ["longest.count=0"])
    assert documentation(LONGEST.config) == {
        "count": "Number of documents to list.",
        "order": 'Order of the list: "length" or "id".',
    }


def test_an_older_schema_version_is_another_artifact(
    xmcpipe: Callable[..., CliResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.loads(xmcpipe("run", "r.toml", "--json").stdout)["stages"][-1]
    newer = (*catalog.CATALOG[:-1], replace(LONGEST, schema_version=2))
    monkeypatch.setattr(catalog, "CATALOG", newer)
    second = json.loads(xmcpipe("run", "r.toml", "--json").stdout)["stages"][-1]
    assert second["state"] == "made"
    assert second["path"] != first["path"]
