"""What every command prints fits a terminal of 80 columns, and says the same there as on a wide one.

A command is run once per width. On a narrow terminal tables are folded or split into blocks, so the lines
differ; the words, among them every name and number, must be the same, and none may be cut.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.report_store import make_runs
from tests.small_models import write_model
from tests.unit.cli.test_cli_chain import RECIPE as FAKE_RECIPE
from tests.unit.cli.test_cli_plan import RECIPE as PLAN_RECIPE
from tests.unit.fake_stages import World
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.benchmark import grid, run, timing
from xmcpipe.cli.app import app
from xmcpipe.cli.commands import baseline
from xmcpipe.cli.commands.machine import bench
from xmcpipe.cli.output import print_metrics
from xmcpipe.cli.text_table import print_table, say
from xmcpipe.measuring.metrics_json import read_metrics
from xmcpipe.modeling.devices import pick_device
from xmcpipe.serving import server
from xmcpipe.stages import catalog
from xmcpipe.training import used_memory

GROUP: Any = typer.main.get_command(app)
WIDTHS = [80, 100, 200]
SIZE_WIDTH = 12
UNLIMITED = 5000
DRAWN = re.compile("[─━│╭╮╰╯]+")  # the lines of tables and of help texts
# Commands that the tests of this file run; those of stages print one line by `print_outcome`.
AGE = re.compile(r"(?<![\d.])\d+ s\b")  # a second may begin between two outputs
STAGES = {stage.name for stage in catalog.CATALOG}
CHECKED = {"datasets", "init", "report", "export", "run", "status", "gc", "plan", "bench", "kernels", "keys"}
CHECKED |= {"serve", "doctor"}


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a function, or else the command line with these arguments, prints on so many columns."""

    def of(width: int, call: Callable[[], object] | None, *arguments: object) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        if call is not None:
            call()
            return capsys.readouterr().out
        result = CliRunner().invoke(app, [*map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result.stdout

    return of


@pytest.fixture
def check(printed: Callable[..., str], width: int) -> Callable[..., None]:
    """Check what a function or a command prints on `width` columns."""

    def check(*arguments: object) -> None:
        call = arguments if callable(arguments[0]) else (None, *arguments)
        narrow, wide = (AGE.sub("0 s", printed(size, *call)) for size in (width, UNLIMITED))
        assert wide.strip()
        assert set(words(narrow)) == set(words(wide))
        for line in narrow.splitlines():  # a path, which is not cut, may be longer, with its size before it
            longest = max(map(len, line.split()), default=0)
            assert len(line.rstrip()) <= width or longest > width - SIZE_WIDTH, line

    return check


def words(text: str) -> Iterator[str]:
    for word in text.split():
        if not DRAWN.fullmatch(word):
            assert not re.search("\\d…|…\\d", word), word
            yield word


def test_every_command_is_checked() -> None:
    assert {*GROUP.commands} == CHECKED | STAGES


COMMANDS = [[], *([name] for name in GROUP.commands), ["kernels", "build"], ["kernels", "list"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "none")
def test_help(printed: Callable[..., str], width: int, command: list[str]) -> None:
    text = printed(width, None, *command, "--help")
    assert max(map(len, text.splitlines())) <= width
    found = GROUP
    for name in command:
        found = found.commands[name]
    options = [option for each in found.params for option in each.opts if option.startswith("-")]
    shown = text.replace(",", " ").split()
    assert [option for option in options if option not in shown] == []
    assert [name for name in getattr(found, "commands", ()) if name not in shown] == []


@pytest.fixture
def fake(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with r.toml, whose stages have run: they print what they reuse."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "CATALOG", world.catalog)
    monkeypatch.delenv("XMCPIPE_STORE", raising=False)
    Path("r.toml").write_text(FAKE_RECIPE)
    assert CliRunner().invoke(app, ["run", "r.toml"]).exit_code == 0


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("command", ["run", "status", "download", "tokenize", "cluster", "train"])
def test_lines_of_stages(check: Callable[..., None], command: str) -> None:
    check(command, "--recipe", "r.toml")


@pytest.mark.usefixtures("fake")
def test_gc(check: Callable[..., None]) -> None:
    check("gc", "--all", "--dry-run")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Path]]:
    return make_runs(tmp_path_factory.mktemp("runs") / "store")


def predictions_of(store: Store, metrics: Path) -> Path:
    """The folder of the predictions that were measured."""
    return store.place("predictions", Artifact.at(metrics).manifest.inputs["predictions"])


def test_metrics_by_eval(check: Callable[..., None], runs: tuple[Store, list[Path]]) -> None:
    store, (first, second) = runs
    metrics = read_metrics(first)
    for counted in metrics["by_frequency"]:  # as long as those of a large dataset
        counted |= {"labels": 1_798_431, "most": 1_812_345, "test_positives": 12_345_678}
    check(lambda: print_metrics(metrics))
    systems = [predictions_of(store, at) for at in (first, second)]
    check("eval", "--compare", *systems, "--store", store.root, "--rounds", 20)


def test_baseline(check: Callable[..., None], runs: tuple[Store, list[Path]]) -> None:
    metrics = read_metrics(runs[1][0])
    own = {**metrics, "head": "bottleneck"}
    check(lambda: print_table(*baseline._table("napkinxc-plt", metrics, own)))
    check(lambda: say(baseline._note("recipe", metrics, own)))


def test_report(check: Callable[..., None], runs: tuple[Store, list[Path]], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    check("report", *runs[1], "--bootstrap", 0, "--documents", 0, "-o", out, "--store", runs[0].root)


def test_export(check: Callable[..., None], runs: tuple[Store, list[Path]], tmp_path: Path) -> None:
    predictions = predictions_of(runs[0], runs[1][0])

    def export() -> None:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        GROUP.main(["export", str(predictions), "-o", str(tmp_path / "out")], standalone_mode=False)

    check(export)


def test_datasets(check: Callable[..., None], tmp_path: Path) -> None:
    check("datasets", "--store", tmp_path)


def test_plan(
    check: Callable[..., None], tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text(PLAN_RECIPE.replace("ENCODER", str(tiny_encoder)))
    monkeypatch.setattr(used_memory, "host_bytes", lambda: 123_456_789)  # what this process has grows
    stated = ("--labels", 2_812_281, "--documents", 1_717_899, "--bandwidth", 4800, "--tflops", 400)
    check("plan", "r.toml", *stated)


def test_kernels(check: Callable[..., None]) -> None:
    check("kernels", "list")


def test_bench(check: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COPIED_BYTES", "SWEPT_BYTES"):
        monkeypatch.setattr(timing, name, {"cpu": 1 << 20, "cuda": 1 << 20})
    sizes = {"labels": (60,), "fan_in": (4,), "features": (16,), "batch": (3,), "repeats": 1}
    cpu = pick_device("cpu")
    for shape, comparisons in run.bench(grid.choose("cpu", True, sizes), cpu):
        check(lambda shape=shape, done=comparisons: bench._print_table(shape, done))


def test_init(check: Callable[..., None], tiny_encoder: Path, tmp_path: Path) -> None:
    documents = [{"id": str(at), "text": f"word{at} word1", "labels": [f"l{at % 7}"]} for at in range(60)]
    file = tmp_path / "documents.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in documents))
    out = tmp_path / "r.toml"
    check("init", "--train", file, "--encoder", tiny_encoder, "-o", out, "--force")


@pytest.mark.parametrize("name", ["import", "train.head"])
def test_keys(check: Callable[..., None], name: str) -> None:
    check("keys", name)


def test_serve(
    check: Callable[..., None], tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "run", lambda *_: None)
    monkeypatch.setattr(server, "address_of", lambda _: "http://127.0.0.1:8000")
    check("serve", write_model(tmp_path / ("a long name " * 8).strip(), tiny_encoder), "--port", 0)
